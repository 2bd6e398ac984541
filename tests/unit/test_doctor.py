"""doctor: an answer in less than 5 seconds whatever nvidia-smi does, each line with its light and its fix.

A script of the test plays nvidia-smi, and folders with package metadata play an installed torch for CUDA.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.catalog.lookup import Catalog
from harness.doctor import host as host_lines
from harness.doctor.wanted import find_wanted
from harness.replay import venv
from harness.replay.plan import TRAINING
from harness.store.layout import Project
from tests import warm

ROOT = Path(__file__).parents[2]
IDEA = "the submission of the fixture `idea`"
H100 = "NVIDIA H100 80GB HBM3"
FAKE = """#!/bin/sh
here=$(dirname "$0")
case "$1" in
  --query-gpu=index*) file=full ;;
  --query-gpu=name*) file=plain ;;
  --query-compute-apps=*) file=users ;;
  topo) file=topo ;;
esac
[ -f "$here/$file" ] || { echo "Field \\"compute_cap\\" is not a valid field to query."; exit 2; }
cat "$here/$file"
"""


class Host:
    """A machine as its nvidia-smi tells of it."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.site, self.cache = folder / "bin", folder / "site", folder / "cache"
        self.settings: dict[str, str] = {}
        for path in (self.bin, self.site):
            path.mkdir()
        self.package("torch", "2.13.0+cu126")
        self.package("nvidia_nccl_cu12", "2.27.5")

    def package(self, name: str, version: str) -> None:
        for old in self.site.glob(f"{name}-*"):
            shutil.rmtree(old)
        folder = self.site / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")

    def program(self, text: str) -> None:
        (self.bin / "nvidia-smi").write_text(text)
        (self.bin / "nvidia-smi").chmod(0o755)

    def gpus(self, count: int, **changes: object) -> None:
        """`count` equal GPUs, linked by NVLink, with nobody on them."""
        told: dict[str, Any] = {
            "name": H100,
            "memory": 81559,
            "used": 4,
            "capability": "9.0",
            "driver": "550.54.15",
            "cap": "700.00",
            "link": "NV18",
            "users": "",
        }
        told |= changes
        self.program(FAKE)
        full = "{i}, GPU-{i}, {name}, {memory}, {used}, {capability}, {driver}, {cap}, 700.00\n"
        plain = "{name}, {memory}, {cap}, 96.00.74.00.0D, {driver}\n"
        (self.bin / "full").write_text("".join(full.format(i=i, **told) for i in range(count)))
        (self.bin / "plain").write_text("".join(plain.format(**told) for _ in range(count)))
        (self.bin / "users").write_text(told["users"])
        heading = "\t\x1b[4m" + "\t".join(f"GPU{i}" for i in range(count)) + "\tCPU Affinity\tNUMA Affinity\x1b[0m\n"
        rows = "".join(
            f"GPU{i}\t" + "\t".join(" X " if i == j else told["link"] for j in range(count)) + "\t0-51\t0\n"
            for i in range(count)
        )
        (self.bin / "topo").write_text(heading + rows + "\nLegend:\n\n  X    = Self\n  NV#  = Connection by NVLinks\n")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "PYTHONPATH": f"{self.site}:{ROOT}",
            "XDG_CACHE_HOME": str(self.cache),
            "HOME": str(self.cache),
            **self.settings,
        }
        return warm.speedrun("--root", str(ROOT), "doctor", *arguments, cwd=ROOT, env=environment)

    def lines(self, *arguments: str, status: int) -> dict[str, dict[str, Any]]:
        """The lines by name."""
        done = self.run(*arguments, "--json")
        assert done.returncode == status, done.stderr
        return {line["name"]: line for line in json.loads(done.stdout)["lines"]}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_eight_free_h100_are_green_in_every_line(host: Host) -> None:
    host.gpus(8)
    lines = host.lines("short/12", status=0)
    values = {
        "GPUs": f"8× {H100}",
        "GPU memory": "81,559 MiB each",
        "capability": "9",
        "driver": "550.54.15 (the original's torch is built for CUDA 12)",
        "NVLink": "28 pairs by NV18",
        "power cap": "700 W",
        "GPU users": "nobody else",
        "torch": "2.13.0+cu126 here; a replay makes an environment of its own",
        "NCCL": "2.27.5",
    }
    assert {name: (lines[name]["state"], lines[name]["value"]) for name in values} == {
        name: ("green", value) for name, value in values.items()
    }
    assert lines["data"]["value"] == "0 of 11 shards verified (11 missing)"
    assert lines["data"]["fix"] == "speedrun fetch short/12, or the first run does it"
    assert "2.2 GB of tokens to fetch" in lines["disk"]["value"]
    assert lines["original"]["value"] == "ran with torch 2.6.0.dev20241119+cu124"
    assert "torch==2.6.0.dev20241119+cu124, then torch==2.6.0" in lines["original"]["fix"]
    assert not host.cache.exists(), "a doctor touches nothing"


@pytest.mark.parametrize(
    ("target", "status", "state", "said"),
    [
        ("short/12", 0, "yellow", "--gpus 4"),
        ("short/88", 0, "yellow", "`speedrun replay short/88 --original --gpus 4` compares its loss"),
        ("optimization/46", 2, "red", "the script asserts 8 ranks"),
        ("smoke", 0, "green", "the track smoke needs none"),
        (None, 0, "green", f"4× {H100}"),
    ],
)
def test_four_gpus_serve_for_the_loss_of_a_script_that_allows_it(
    host: Host, target: str | None, status: int, state: str, said: str
) -> None:
    host.gpus(4)
    line = host.lines(*([target] if target else []), status=status)["GPUs"]
    assert line["state"] == state
    assert said in line["value"] + (line["fix"] or "")


@pytest.fixture
def idea(tmp_path: Path) -> str:
    """A submission to the short track, which `run` runs in this environment."""
    [record] = sorted((ROOT / "records" / "short").glob("2024-11-19_flex-attention"))
    folder = tmp_path / "2026-11-21_idea"
    shutil.copytree(record / "script", folder)
    digest = (folder / "script.yaml").read_text().split("train_gpt.py: ")[1].split()[0]
    (folder / "script.yaml").unlink()
    (folder / "manifest.yaml").write_text(
        "schema: 1\ntrack: short\nruleset: short@2\ntitle: t\ncontributors: ['@a']\nclaim: ml\nentry: train_gpt.py\n"
        f"files:\n  train_gpt.py: {digest}\n"
    )
    return str(folder)


def test_a_submission_needs_the_whole_machine(host: Host, idea: str) -> None:
    host.gpus(4)
    line = host.lines(idea, status=2)["GPUs"]
    assert line["state"] == "red"
    assert f"use a machine with 8× {H100}" in line["fix"]


@pytest.mark.parametrize(
    ("changes", "target", "name", "state", "value", "fix"),
    [
        ({"users": "GPU-3, 1, python, 71234\n"}, "short/12", "GPU users", "red", "python", "ask them"),
        ({"users": "GPU-3, 1, python, [N/A]\n"}, None, "GPU users", "yellow", "memory not reported", "ask them"),
        (
            {"used": 60000},
            "short/12",
            "GPU users",
            "red",
            "GPU0: 60,000 MiB used by a process that is not visible",
            "ask them",
        ),
        ({"cap": "500.00"}, "short/12", "power cap", "yellow", "500 W of 700 W", "sudo nvidia-smi -pl 700"),
        ({"cap": "[N/A]"}, "short/12", "power cap", "yellow", "not reported", "owns the host"),
        ({"link": "PHB"}, "short/12", "NVLink", "yellow", "28 pairs by PHB", "GPU0 and GPU1 are connected by PHB"),
        ({"driver": "470.82.01"}, "short/12", "driver", "red", "too old for the original's torch", "525 or newer"),
        ({"capability": "8.0"}, "short/12", "capability", "yellow", "no FP8", "H100 has 9.0"),
        ({"memory": 40960}, "short/12", "GPU memory", "yellow", "40,960 MiB", "80 GB"),
        ({"driver": "470.82.01"}, IDEA, "driver", "red", "too old for torch 2.13.0+cu126", "525 or newer"),
        ({"name": "NVIDIA H200"}, IDEA, "GPUs", "red", "8× NVIDIA H200", f"use a machine with 8× {H100}"),
        (
            {"name": "NVIDIA H200"},
            "short/12",
            "GPUs",
            "yellow",
            f"a time counts on 8× {H100} only",
            "compares its loss",
        ),
    ],
)
def test_every_trouble_has_its_light_and_its_fix(
    host: Host, idea: str, changes: dict[str, object], target: str | None, name: str, state: str, value: str, fix: str
) -> None:
    host.gpus(8, **changes)
    done = host.run(*([idea if target == IDEA else target] if target else []), "--json")
    report = json.loads(done.stdout)
    line = next(line for line in report["lines"] if line["name"] == name)
    assert line["state"] == state
    assert value in line["value"]
    assert fix in line["fix"]
    assert done.returncode == (2 if report["state"] == "red" else 0)
    assert (state == "red") <= (report["state"] == "red")


def test_a_machine_without_nvidia_smi_serves_for_the_smoke_track_only(host: Host) -> None:
    assert host.lines(status=0)["GPUs"]["state"] == "yellow"
    assert host.lines("smoke", status=0)["GPUs"]["state"] == "green"
    line = host.lines("short/12", status=2)["GPUs"]
    assert line["state"] == "red"
    assert line["value"] == "none (there is no nvidia-smi)"


def test_a_driver_that_hangs_is_given_up_after_a_limit_and_leaves_no_process(host: Host, tmp_path: Path) -> None:
    host.program(f"#!/bin/sh\ntrap '' TERM\nsleep 3117 & echo $! $$ >>{tmp_path}/pids\nwait\n")
    line = host.lines("short/12", status=2)["GPUs"]
    assert "did not answer within 3.5 s" in line["value"]
    assert "restart the machine" in line["fix"]
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 8  # four questions, each a shell and its sleep
    assert _gone(pids)


def _gone(pids: list[str]) -> bool:
    end = time.monotonic() + 600
    while time.monotonic() < end:
        if not any(_lives(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def _lives(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_an_old_driver_that_knows_fewer_fields_still_names_its_gpus(host: Host) -> None:
    host.gpus(8)
    (host.bin / "full").unlink()
    lines = host.lines("short/12", status=0)
    assert lines["GPUs"]["value"] == f"8× {H100}"
    assert lines["capability"]["value"] == "not reported"


@pytest.mark.parametrize(
    "program",
    [
        "#!/bin/sh\nhead -c 300000 /dev/urandom\n",
        "#!/bin/sh\nexec yes '0, 0, 0, 0, 0, 0, 0, 0, 0'\n",
        "#!/bin/sh\nexec yes ''\n",
        "#!/bin/sh\nprintf '0, \\000, \\033[2J::error::gotcha\\n, 1, 1, 1, 1, 1, 1\\n'\n",
        "#!/bin/sh\nprintf '\\033[2J\\r::error::NVIDIA-SMI has failed\\n' >&2\nexit 9\n",
        f"#!/bin/sh\necho '{'9' * 5000}, u, x, {'9' * 5000}, ², nan, {'9' * 5000}, inf, -inf'\n",
        "#!/bin/sh\nkill -9 $$\n",
        "not a program at all",
    ],
    ids=["noise", "endless", "empty-lines", "escapes", "failed", "numbers", "dies", "no-program"],
)
def test_whatever_calls_itself_nvidia_smi_is_answered_and_never_believed(host: Host, program: str) -> None:
    host.program(program)
    done = host.run("short/12", "--json")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert not any(ord(char) < 32 and char != "\n" for char in done.stderr)
    assert not any(line.startswith("::") for line in done.stderr.splitlines())
    first = json.loads(done.stdout, parse_constant=lambda constant: pytest.fail(constant))["lines"][0]
    assert first["state"] == "red"


def test_a_name_from_a_driver_or_a_process_cannot_move_the_cursor(host: Host) -> None:
    host.gpus(8, name="H100\x1b[2J\x1b[1;1H", users="GPU-0, 1, evil\x1b]0;title\x07, 9\n")
    done = host.run()
    assert "\x1b" not in done.stdout and "\x07" not in done.stdout
    assert "\\x1b[2J" in done.stdout


def test_the_report_reads_without_colours(host: Host) -> None:
    host.gpus(8, cap="500.00")
    done = host.run("short/12")
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert any(line.startswith("✓ green   GPUs ") for line in lines)
    [at] = [number for number, line in enumerate(lines) if line.startswith("! yellow  power cap ")]
    assert lines[at + 1].strip() == "→ sudo nvidia-smi -pl 700"
    assert lines[-1] == "doctor: yellow for short/12"


def test_a_torch_that_cannot_use_the_gpus_is_red_where_a_run_would_use_it(host: Host, idea: str) -> None:
    host.gpus(8)
    host.package("torch", "2.13.0+cpu")
    assert "built without CUDA" in host.lines(idea, status=2)["torch"]["value"]
    assert host.lines("short/12", status=0)["torch"]["state"] == "green"


def test_an_environment_that_was_made_before_is_found(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.gpus(8)
    monkeypatch.setenv("XDG_CACHE_HOME", str(host.cache))
    assert "not made yet" in host.lines("short/12", status=0)["environment"]["value"]
    for wish in (TRAINING, ("torch==2.6.0.dev20241119+cu124", "numpy", "huggingface-hub")):
        folder = venv.folder_of(wish)
        folder.mkdir(parents=True)
        (folder / venv.LOCK_FILE).write_text(f"{wish[0]}\n")
    lines = host.lines("short/12", status=0)
    assert lines["environment"]["state"] == lines["original"]["state"] == "green"
    assert lines["original"]["value"].endswith("an environment with torch==2.6.0.dev20241119+cu124 is made")


def test_gpus_that_a_setting_hides_are_named(host: Host) -> None:
    host.gpus(8)
    host.settings["CUDA_VISIBLE_DEVICES"] = "0,1"
    line = host.lines("short/12", status=2)["visible"]
    assert line["value"] == "CUDA_VISIBLE_DEVICES=0,1 shows a script 2 of 8 GPUs"
    assert line["fix"] == "unset CUDA_VISIBLE_DEVICES"


def test_a_record_that_is_not_there_is_bad_input(host: Host) -> None:
    done = host.run("short/4711")
    assert done.returncode == 2
    assert "there is no such record" in done.stderr


@pytest.mark.parametrize(
    ("free_gb", "state", "said"),
    [(2.0, "red", "2.2 GB of tokens"), (9.0, "yellow", "8 GB more"), (40.0, "green", "40.0 GB free")],
)
def test_the_disk_is_measured_against_what_is_still_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_gb: float, state: str, said: str
) -> None:
    free = SimpleNamespace(free=int(free_gb * 1e9))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "there"))
    project = Project(ROOT)
    line = host_lines.disk(project, find_wanted(Catalog(project), "short/12"))
    assert line.state == state
    assert said in line.value


@pytest.mark.parametrize(
    ("free_gib", "total_gib", "said"),
    [(20, 64, "; stop other programs"), (20, 24, "more than this machine has; the run may be killed"), (40, 64, None)],
)
def test_memory_that_a_machine_never_has_is_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, free_gib: int, total_gib: int, said: str | None
) -> None:
    monkeypatch.setattr(host_lines, "available_memory", lambda: (free_gib << 30, total_gib << 30))
    line = host_lines.memory(find_wanted(Catalog(Project(ROOT)), "short/12"))
    assert line.state == ("green" if said is None else "yellow")
    assert said is None or (said in (line.fix or "") and "8 ranks need about 32 GiB" in (line.fix or ""))


@pytest.mark.parametrize(
    ("used", "here", "said"),
    [
        ("3.12.7", "3.11.7", "SPEEDRUN_PYTHON=python3.12 ./run_record.sh … makes .venv anew"),
        ("3.10.12", "3.11.7", "this program needs 3.11 or newer"),
        ("3.11.2", "3.11.7", None),
    ],
)
def test_the_advice_on_another_python_can_be_followed(
    monkeypatch: pytest.MonkeyPatch, used: str, here: str, said: str | None
) -> None:
    monkeypatch.setattr(host_lines.platform, "python_version", lambda: here)
    wanted = find_wanted(Catalog(Project(ROOT)), "short/12")
    assert wanted.needs is not None
    line = host_lines.python(replace(wanted, needs=replace(wanted.needs, python=used)))
    assert (line.fix is None) == (said is None)
    assert said is None or said in (line.fix or "")


def test_no_light_is_without_a_fix_but_green(host: Host) -> None:
    host.gpus(2, cap="300", link="SYS", used=5000, capability="[N/A]", driver="1.0")
    done = host.run("short/12", "--json")
    lines = json.loads(done.stdout)["lines"]
    assert {line["name"] for line in lines if (line["state"] == "green") != (line["fix"] is None)} == set()
    assert sum(line["state"] != "green" for line in lines) >= 6


def test_it_answers_on_this_machine() -> None:
    command = [sys.executable, "-m", "harness", "--root", str(ROOT), "doctor", "short/88"]
    done = subprocess.run(command, capture_output=True, check=False, cwd=ROOT, env=dict(os.environ), timeout=600)
    assert done.returncode in (0, 2)
