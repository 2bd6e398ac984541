"""Compile caches that a priming run fills: real runs in every tier, and what a kill or a hostile script leaves."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.core.errors import HarnessError, RunError, StoreError
from harness.core.measurement import RunOutcome
from harness.dataset import fetching, probe_data, shard
from harness.launch.launcher import LaunchPlan
from harness.launch.torchrun import TorchrunLauncher
from harness.machine import computer
from harness.run import ending, execution, priming
from harness.store import caches, run_files
from harness.store.layout import Project
from harness.store.ledger import Ledger
from tests.confinement.test_tricks import TIERS, usable
from tests.faults.projects import HONEST, make_project
from tests.named import find_subject
from tests.warm import python_with_small_torch

# Tells what it finds in its cache, as every script may, and "compiles" what is missing.
COMPILES = """\
import pathlib
CACHE = pathlib.Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
log(f"cache:{CACHE} {sorted(path.name for path in CACHE.glob('*/*'))}")
(CACHE / "ab").mkdir(parents=True, exist_ok=True)
for name in ("kernel.py", "kernel.so"):
    with (CACHE / "ab" / name).open("a") as file:
        file.write("compiled\\n")
log(f"read:{(CACHE / 'ab' / 'kernel.py').read_text().split()}")
ID = os.environ["SPEEDRUN_RUN_ID"]
(CACHE / "ab" / f"of-{ID}").touch()
os.symlink("/etc/passwd", CACHE / "ab" / f"link-{ID}")
os.mkfifo(CACHE / "ab" / f"pipe-{ID}")
log("tokens:" + repr(list(pathlib.Path("data/tiny/tiny_train_000001.bin").read_bytes()[1024:1424])))
"""
WAITS = """\
if not CACHE_WAS_FULL:
    log("clock:start")
    time.sleep(600)  # whoever waits for its end, waits for it
"""


def prepare(project: Project) -> execution.Prepared:
    subject = find_subject(project, f"{project.root}/submissions/2026-11-21_test")
    return dataclasses.replace(
        execution.prepare(subject, computer.capture()), python=python_with_small_torch(), purpose="judged"
    )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    small = make_project(tmp_path / "project")
    full = "CACHE_WAS_FULL = (CACHE / 'ab' / 'kernel.py').read_text().count('compiled') > 1\n"
    small.submit(COMPILES + full + WAITS + HONEST)
    return Project(small.root)


def make_run(project: Project, ready: execution.Prepared) -> tuple[RunOutcome, Path]:
    run_id = run_files.new_run_id(ready.subject.script_sha256)
    outcome = execution.execute(project, ready, run_id, "s", TorchrunLauncher(ready.python), lambda line: None)
    return outcome, run_files.run_folder(project, run_id)


def said(folder: Path, word: str) -> str:
    lines = (folder / "log.txt").read_text().splitlines()
    return next(line.removeprefix(word) for line in lines if line.startswith(word))


@pytest.mark.parametrize("tier", TIERS)
def test_a_primed_script_finds_its_own_copy_of_the_cache_at_one_path_in_every_run(
    tier: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (why := usable(tier)) is not None:
        pytest.skip(f"this machine has no {tier}: {why}")
    monkeypatch.setenv("SPEEDRUN_CONFINEMENT", tier)
    ready = prepare(project)
    started: list[str] = []

    def watcher(run_id: str) -> object:
        started.append(run_id)
        return lambda line: None

    launcher = TorchrunLauncher(ready.python)
    stored = priming.prime(project, ready, launcher, watcher)
    [primed] = started
    folder = run_files.run_folder(project, primed)
    outcome = run_files.read_run_file(folder).outcome
    assert outcome is not None and (outcome.state, outcome.reason) == ("stopped", priming.PRIMED)
    assert Ledger(project.ledger).read().starts[primed].purpose == "prime"
    assert not (folder / "cache").exists() and not (folder / "work").exists()
    names = {"kernel.py", "kernel.so", f"of-{primed}"}
    kept = caches.folder_of(project, stored.made_with) / "files" / "inductor" / "ab"
    assert {path.name for path in kept.iterdir()} == names, "links and pipes are left behind"

    ready = dataclasses.replace(ready, cache=stored)
    paths = {said(folder, "cache:").partition(" ")[0]}
    for _ in range(2):
        outcome, folder = make_run(project, ready)
        assert outcome.state == "finished", (folder / "stderr.txt").read_text()
        path, _, found = said(folder, "cache:").partition(" ")
        paths.add(path)
        assert found == repr(sorted(names)), "nothing is written back"
        assert said(folder, "read:") == "['compiled', 'compiled']"
        assert run_files.read_run_file(folder).cache == stored.digest
    assert paths == {str(caches.current(project) / "inductor")}
    assert priming.prime(project, ready, launcher, watcher) == stored and len(started) == 1
    assert caches.find(project, stored.made_with) == stored


def test_a_priming_run_sees_nothing_of_the_tracks_text(project: Project, tmp_path: Path) -> None:
    ready = prepare(project)
    noise = priming.write_noise(ready.track, ready.fetched, tmp_path / "noise")
    for made, official in zip(noise.paths, ready.fetched.paths, strict=True):
        drawn, own = shard.read_tokens(made), shard.read_tokens(official)
        assert made.name == official.name and len(drawn) == len(own)
        assert set(np.unique(drawn)) <= {*probe_data.alphabet(ready.track), shard.DOCUMENT_START}
        starts = [set(np.flatnonzero(tokens == shard.DOCUMENT_START)) for tokens in (drawn, own)]
        assert drawn[0] == shard.DOCUMENT_START
        assert len(starts[0]) == pytest.approx(len(starts[1]), rel=0.9)
        assert len(starts[0] & starts[1]) < 0.2 * len(starts[1]), "documents start elsewhere"
        assert (np.asarray(drawn) == np.asarray(own)).mean() < 0.05
    assert noise.receipt.shards == ()


def test_training_shards_of_one_length_are_one_file_of_noise(project: Project, tmp_path: Path) -> None:
    ready = prepare(project)
    validation, train = ready.fetched.paths
    (tmp_path / "other.bin").write_bytes(train.read_bytes())
    fetched = fetching.Fetched((validation, train, tmp_path / "other.bin"), ready.fetched.receipt, pinned=False)
    made = priming.write_noise(ready.track, fetched, tmp_path / "noise").paths
    assert os.path.samefile(made[1], made[2]) and not os.path.samefile(made[0], made[1])


class Interrupts:
    """A launcher whose run fills its cache and is then ended from outside."""

    def __init__(self, how: BaseException | RunOutcome, size: int = 1000, *, starts: bool = False) -> None:
        self.how, self.size, self.starts = how, size, starts

    def confined_by(self, plan: LaunchPlan) -> None:
        return None

    def run(self, plan: LaunchPlan, watch: Callable[[bytes], None]) -> RunOutcome:
        folder = plan.folder / run_files.CACHE / "triton"
        folder.mkdir(parents=True)
        (folder / "kernel.cubin").write_bytes(b"\0" * self.size)
        for name in (run_files.LOG, run_files.CLOCK):
            (plan.folder / name).write_bytes(b"")
        if isinstance(self.how, BaseException):
            raise self.how
        if self.starts:
            with contextlib.suppress(priming.Enough):
                watch(b"clock:start")
        return self.how


@pytest.mark.parametrize(
    ("how", "raised"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (RunOutcome("failed", 1, 3.0, "exit code 1"), RunError),
        (RunOutcome("stopped", None, 3.0, "stopped by the user"), RunError),
        (RunOutcome("hung", None, 3.0, "no output for 600 s"), RunError),
    ],
    ids=["Ctrl-C", "failed", "stopped", "hung"],
)
def test_a_priming_run_that_does_not_reach_its_clock_leaves_nothing_stored(
    project: Project, how: BaseException | RunOutcome, raised: type[BaseException]
) -> None:
    ready = prepare(project)
    with pytest.raises(raised):
        priming.prime(project, ready, Interrupts(how), lambda run_id: lambda line: None)
    assert caches.find(project, priming.made_with(project, ready)) is None
    assert [path.name for path in (project.runs / "caches").iterdir() if path.is_dir() and path.name != "current"] == []
    assert not list((project.runs).glob("2*/cache"))
    assert not list((Path(os.environ["XDG_CACHE_HOME"]) / "speedrun" / "data" / "prepared").iterdir())


def test_a_script_that_breaks_on_noise_once_its_clock_runs_is_primed(project: Project) -> None:
    broken = Interrupts(RunOutcome("failed", 1, 3.0, "exit code 1"), starts=True)
    stored = priming.prime(project, prepare(project), broken, lambda run_id: lambda line: None)
    outcome = run_files.read_run_file(run_files.run_folder(project, stored.run)).outcome
    assert outcome is not None and outcome.state == "failed", "it is recorded as what it is"


def test_what_a_killed_harness_left_of_a_priming_run_is_removed_by_the_next_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = prepare(project)
    wanted = priming.made_with(project, ready)
    half = caches.folder_of(project, wanted).with_name(f".{wanted.key}.x7")
    (half / "files").mkdir(parents=True)
    (half / "files" / "kernel.cubin").write_bytes(b"half")
    # The entry of a run that nobody ended, as kill -9 leaves it.
    with monkeypatch.context() as patch:
        patch.setattr(execution, "record_end", lambda *_: None)
        with pytest.raises(SystemExit):
            priming.prime(project, ready, Interrupts(SystemExit()), lambda run_id: lambda line: None)
    assert Ledger(project.ledger).read().open
    ending.settle(project)
    assert not Ledger(project.ledger).read().open and not list(project.runs.glob("2*/cache"))
    done = RunOutcome("stopped", None, 3.0, priming.PRIMED)
    stored = priming.prime(project, ready, Interrupts(done, starts=True), lambda run_id: lambda line: None)
    assert (stored.files, stored.bytes) == (1, 1000)
    assert not half.exists()


def test_a_cache_that_does_not_fit_its_digest_is_refused_and_made_again(project: Project) -> None:
    ready = prepare(project)
    play = Interrupts(RunOutcome("stopped", None, 3.0, priming.PRIMED), starts=True)
    stored = priming.prime(project, ready, play, lambda run_id: lambda line: None)
    kept = caches.folder_of(project, stored.made_with) / "files" / "triton" / "kernel.cubin"
    for change in (lambda: kept.write_bytes(b"other"), lambda: kept.with_name("more").touch(), kept.unlink):
        change()
        assert caches.find(project, stored.made_with) is None
        with pytest.raises(StoreError, match="its digest does not fit"):
            make_run(project, dataclasses.replace(ready, cache=stored))
        assert not [entry for entry in Ledger(project.ledger).read().starts.values() if entry.purpose == "judged"]
        stored = priming.prime(project, ready, play, lambda run_id: lambda line: None)
        assert caches.find(project, stored.made_with) == stored


def test_a_cache_without_measure_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "MOST_BYTES", 999)
    ready = prepare(project)
    done = RunOutcome("stopped", None, 3.0, priming.PRIMED)
    with pytest.raises(HarnessError, match="compare with --cold"):
        priming.prime(project, ready, Interrupts(done, starts=True), lambda run_id: lambda line: None)
    assert caches.find(project, priming.made_with(project, ready)) is None
    assert Ledger(project.ledger).read().open == ()


def test_another_script_build_gpu_or_driver_has_a_cache_of_its_own(project: Project) -> None:
    ready = prepare(project)
    made = priming.made_with(project, ready)
    others = [
        dataclasses.replace(made, **{name: value})
        for name, value in (
            ("script", "0" * 64), ("torch", "2.9.1"), ("triton", "3.5"), ("gpus", ("H100",) * 8), ("driver", "575"),
            ("cpu", "other"), ("path", "/elsewhere"), ("python", "3.99"),
        )
    ]  # fmt: skip
    assert len({other.key for other in (made, *others)}) == 9


@pytest.mark.parametrize("mark", [b"  clock:start ", b"step:0/1390 val_loss:10.8258 train_time:0ms step_avg:0.03ms"])
def test_the_first_line_of_its_clock_or_with_a_metric_ends_a_priming_run_but_no_line_of_the_script(mark: bytes) -> None:
    script = b'print("clock:start")\nstep:1/5 train_time:0ms step_avg:0.00ms\n'
    seen: list[bytes] = []
    take = priming.UntilClock(script, seen.append).take
    for line in (*script.splitlines(), b"Running Python 3.11", b"clock:stop", b"val_tokens:10"):
        take(line)
    with pytest.raises(priming.Enough):
        take(mark)
    assert len(seen) == 6, "what is watched sees all"
