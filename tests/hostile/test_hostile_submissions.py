"""What an attacker may put into a submission's folder: each gives one named error, soon, in little memory, and changes
nothing outside; nothing that he writes reaches a terminal, a page or a workflow as more than text.

Most cases are checked in this process, under a limit of time; what could take memory or hang runs in a process of its
own with a limit of 1.5 GB and 20 s. A tripwire file beside the project is watched for being read, and the folder around
the project for being written to.
"""

from __future__ import annotations

import functools
import hashlib
import html
import json
import lzma
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.catalog.lookup import Catalog
from harness.catalog.manifests import load_manifest
from harness.cli import main
from harness.core.errors import HarnessError
from harness.core.task import Manifest
from harness.store.layout import Project
from harness.submission import inspection
from harness.ui import check_report
from harness.verdict.scan.scanner import scan
from tests.faults.projects import HONEST, ROOT, Small, make_project

SLUG = "2026-11-20_attack"
README = "# A title\n\nWhat, why and how: all answered.\n"
LIMITS = (
    "    program_text: {total_bytes: 512000, data_bytes: 32000}\n"  # of the newest rulesets: R2 to R4 judge as well
)
SECONDS = 600  # a hang; what could take long takes a few seconds

Attack = Callable[[Path], object]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An honest submission without a run, under all rules about its text, and a limit of time on whatever is done to it."""
    project = make_project(tmp_path / "project")
    track = tmp_path / "project" / "tracks" / "tiny.yaml"
    track.write_text(track.read_text() + LIMITS)
    made = project.submit(HONEST, SLUG)
    (made / "README.md").write_text(README)
    (tmp_path / "secret.txt").write_text("title: the secret of another\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def too_long(*_: object) -> None:
        raise TimeoutError(f"it took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    yield made
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def project_of(folder: Path) -> Project:
    return Project(folder.parents[1])


def checked(folder: Path) -> inspection.Checked:
    return inspection.check(Catalog(project_of(folder)), folder)


def manifest(old: str, new: str) -> Attack:
    """Change one thing in the manifest."""

    def attack(folder: Path) -> None:
        text = (folder / "manifest.yaml").read_text()
        assert old in text
        (folder / "manifest.yaml").write_text(text.replace(old, new, 1))

    return attack


def hash_in(folder: Path) -> str:
    """The hash that the manifest gives its script."""
    return re.findall(r"[0-9a-f]{64}", (folder / "manifest.yaml").read_text())[0]


def no_utf8(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.py")).write_bytes(b"x")


def written(content: bytes | str) -> Attack:
    """Another manifest altogether."""
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / "manifest.yaml").write_bytes(data)


def linked(name: str, target: str) -> Attack:
    def attack(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target.replace("SECRET", str(folder.parents[2] / "secret.txt")))

    return attack


def added(name: str, content: bytes = b"x") -> Attack:
    def attack(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return attack


def grown(name: str, size: int) -> Attack:
    """A sparse file that looks large."""

    def attack(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("wb") as file:
            file.truncate(size)

    return attack


def hard_linked(folder: Path) -> None:
    (folder / "train_gpt.py").unlink()
    os.link(folder.parents[2] / "secret.txt", folder / "train_gpt.py")


def a_records_script(folder: Path) -> None:
    """A record of another with the very same script."""
    copy = folder.parents[1] / "records" / "tiny" / "2026-01-01_first" / "script" / "run.py"
    copy.parent.mkdir(parents=True)
    copy.write_bytes((folder / "train_gpt.py").read_bytes())


def with_socket(folder: Path) -> None:
    here = os.getcwd()
    os.chdir(folder)  # a socket's path may have 108 letters
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("listen.py")
    finally:
        os.chdir(here)


def with_evidence(**files: bytes) -> Attack:
    """An evidence folder; `ledger`, `log`, `clock`, `run` name its files."""
    names = {
        "ledger": "ledger.jsonl",
        "log": "runs/r1/log.txt.xz",
        "plain": "runs/r1/log.txt",
        "clock": "runs/r1/clock.csv",
        "run": "runs/r1/run.json",
        "reads": "runs/r1/reads.csv",
    }

    def attack(folder: Path) -> None:
        for kind, content in files.items():
            added(f"evidence/{names[kind]}", content)(folder)
            if kind == "ledger":
                sums = f"{hashlib.sha256(content).hexdigest()}  ledger.jsonl\n"
                added("evidence/ledger.sha256", sums.encode())(folder)

    return attack


def chain(**changes: object) -> bytes:
    """A ledger of one run, with a change in its start entry."""
    from harness.store.ledger import Ledger
    from tests.ledgers import declared, ended, started

    path = Path(os.environ["XDG_CACHE_HOME"]) / "ledger.jsonl"
    path.unlink(missing_ok=True)
    ledger = Ledger(path)
    ledger.append(declared(n_max=3))
    ledger.append(started("r1"))
    ledger.append(ended("r1", log_sha256=None))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1] |= changes
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def evidence_with(**changes: object) -> Attack:
    return lambda folder: with_evidence(ledger=chain(**changes))(folder)


def run_file(content: bytes) -> Attack:
    return lambda folder: with_evidence(ledger=chain(), run=content)(folder)


@functools.cache
def bomb() -> bytes:
    """300 MB of zeros; made by the tests that need it, as collecting them should cost nothing."""
    return lzma.compress(b"\0" * (300 << 20), preset=0)


MANIFESTS: dict[str, tuple[Attack, str]] = {
    "a key twice": (manifest("claim: ml", "claim: ml\nclaim: ml"), "twice"),
    "an unknown key": (manifest("claim: ml", "claim: ml\nval_loss: 3.2"), "unknown"),
    "a date of its own": (manifest("claim: ml", "claim: ml\ndate: 2031-01-01"), "unknown"),
    "a missing key": (manifest("title: a test\n", ""), "missing"),
    "anchors that explode": (
        written(
            "a: &a [x,x]\n"
            + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)},*{chr(97 + n)}]\n" for n in range(20))
        ),
        "anchors",
    ),
    "a merge key": (manifest("claim: ml", "<<: {claim: ml}\nclaim: ml"), "<<"),
    "a Python object": (manifest("a test", "!!python/object/apply:os.system [id]"), "tag .* is not allowed"),
    "two documents": (manifest("claim: ml", "---\nclaim: ml"), "document"),
    "nested 5,000 deep": (written("a: " + "[" * 5000), "deeper"),
    "50 MB of YAML": (written("a: " + "x" * (50 << 20)), "keep it below"),
    "a binary file": (written(bytes(range(256)) * 10), "UTF-8"),
    "UTF-16": (written("schema: 1\n".encode("utf-16")), "UTF-8"),
    "NUL bytes": (written(b"schema: 1\ntitle: a\0b\n"), "control character"),
    "no mapping": (written("[1, 2]"), "mapping|keys"),
    "nothing": (written(""), "empty"),
    "a number for a title": (manifest("title: a test", "title: 7"), "title"),
    "a list for a title": (manifest("title: a test", "title: [a]"), "title"),
    "a title of 10,000 letters": (manifest("a test", "a" * 10_000), "title|long"),
    "an empty title": (manifest("title: a test", "title: ''"), "title"),
    "contributors as text": (manifest("['@somebody']", "somebody"), "list"),
    "no contributor": (manifest("['@somebody']", "[]"), "contributors"),
    "a claim of its own": (manifest("claim: ml", "claim: best"), "one of"),
    "infinity for a schema": (manifest("schema: 1", "schema: .inf"), "schema"),
    "a schema of the future": (manifest("schema: 1", "schema: 99"), "unknown"),
    "yes for a schema": (manifest("schema: 1", "schema: yes"), "schema"),
    "another track": (manifest("track: tiny", "track: ../../etc"), "track"),
    "another track's rules": (manifest("tiny@1", "short@1"), "ruleset"),
    "rules that do not exist": (manifest("tiny@1", "tiny@9"), "known rulesets"),
    "a parent outside": (manifest("claim: ml", "claim: ml\nparent: ../../../etc/passwd"), "parent"),
    "a parent that is no record": (manifest("claim: ml", "claim: ml\nparent: tiny/77"), "is not a record"),
    "an absolute entry": (manifest("entry: train_gpt.py", "entry: /etc/passwd"), "file name"),
    "an entry above": (manifest("entry: train_gpt.py", "entry: ../secret.txt"), "file name"),
    "an entry that is not listed": (
        manifest("entry: train_gpt.py", "entry: other.py"),
        "other.py is not in the folder",
    ),
    "an absolute file": (manifest("  train_gpt.py:", "  /etc/passwd:"), "plain file name"),
    "a file above": (manifest("  train_gpt.py:", "  ../../../secret.txt:"), "plain file name"),
    "a file name with an escape": (manifest("  train_gpt.py:", '  "a\\e[2Jb.py":'), "control|plain file name"),
    "a file name with a newline": (manifest("  train_gpt.py:", '  "a\\nb.py":'), "control|plain file name"),
    "a homoglyph file name": (manifest("  train_gpt.py:", "  trаin_gpt.py:"), "plain file name"),
    "a hash that is none": (
        lambda f: manifest(re.findall(r"[0-9a-f]{64}", (f / "manifest.yaml").read_text())[0], "0x1")(f),
        "sha256",
    ),
    "another hash": (lambda f: manifest(hash_in(f), "f" * 64)(f), "has sha256"),
    "escapes in a title": (manifest("a test", '"a\\e]0;x\\a"'), "control"),
    "a title that shows nothing": (manifest("a test", '"\\u3164\\u2800"'), "has no visible characters"),
    "a contributor that shows nothing": (manifest("'@somebody'", '"\\u3164"'), "contributors"),
    "a right-to-left title": (manifest("a test", '"a\\u202egpj.exe"'), "control"),
}
FILES: dict[str, tuple[Attack, str]] = {
    "a script that is a link": (linked("train_gpt.py", "SECRET"), "link"),
    "a manifest that is a link": (linked("manifest.yaml", "SECRET"), "link"),
    "a README that is a link": (linked("README.md", "SECRET"), "link"),
    "an evidence folder that is a link": (linked("evidence", "/etc"), "link"),
    "a dangling link": (linked("kernels.py", "/nowhere"), "link"),
    "a link to itself": (linked("kernels.py", "kernels.py"), "link"),
    "a hard link out": (hard_linked, "hard link"),
    "a pipe": (lambda f: os.mkfifo(f / "pipe.py"), "special file"),
    "a socket": (with_socket, "special file"),
    "a folder": (added("deep/er/x.py"), "folder"),
    "a file that nobody named": (added("extra.py"), "not among the frozen files"),
    "a hidden file": (added(".env", b"A=1"), "not among the frozen files"),
    "a file name with escapes": (added("a\x1b[2J.py"), "not among the frozen files"),
    "a file name with a newline": (added("a\n::error::b.py"), "not among the frozen files"),
    "a file name that is no UTF-8": (no_utf8, "not among the frozen files"),
    "a thousand files": (lambda f: [added(f"f{n}.py")(f) for n in range(1000)], "more than"),
    "a script of 5 GB": (grown("train_gpt.py", 5 << 30), "bytes"),
    "a README of 5 GB": (grown("README.md", 5 << 30), "bytes"),
    "a token": (added("README.md", README.encode() + b"hf_" + b"a" * 30), "an access token"),
    "a private key": (added("README.md", README.encode() + b"-----BEGIN RSA PRIVATE KEY-----"), "a private key"),
    "a home folder": (added("README.md", README.encode() + b"see /home/ada/data"), "home folder"),
    "no README": (lambda f: (f / "README.md").unlink(), "is missing"),
    "an unanswered README": (added("README.md", b"<!-- why: -->"), "has no answers"),
    "a README of headings and blank signs": (added("README.md", "# A title\n\n## Why?\n\n\u3164\n".encode()), "has no answers"),
    "a README of a million headings": (added("README.md", b"## " + b" " * 1_000_000 + b"x" * 1_000_000), "has no answers"),
    "a record's script": (a_records_script, "is the script of records/tiny/"),
}  # fmt: skip
EVIDENCE: dict[str, tuple[Attack, str]] = {
    "a ledger of noise": (with_evidence(ledger=b"\xff\n"), "not a ledger entry"),
    "a ledger nested deep": (with_evidence(ledger=b"[" * 100_000 + b"\n"), "not a ledger entry"),
    "a run's name that leads out": (evidence_with(run="../../../../secret"), "not a ledger entry"),
    "a run's name that is a list": (evidence_with(run=["r1"]), "not a ledger entry"),
    "a seed that is a text": (evidence_with(seed="1"), "not a ledger entry"),
    "a seed of a thousand digits": (evidence_with(seed=10**1000), "not a ledger entry"),
    "an archive bomb": (lambda f: with_evidence(ledger=chain(), log=bomb(), run=b"{}")(f), "unpacks to more|JSON|key"),
    "a log of 5 GB": (grown("evidence/runs/r1/log.txt", 5 << 30), "bytes"),
    "a ledger of 5 GB": (grown("evidence/ledger.jsonl", 5 << 30), "bytes"),
    "a file that no pack holds": (added("evidence/runs/r1/run.sh", b"id"), "no file of a pack"),
    "a folder that no pack holds": (added("evidence/more/x"), "no folder of a pack"),
    "a link to a run": (lambda f: (added("evidence/ledger.jsonl")(f), (f / "evidence" / "runs").symlink_to("/etc")), "link"),
    "evidence without its ledger": (with_evidence(run=b"{}"), "holds evidence without its ledger"),
    "an empty evidence folder": (lambda f: (f / "evidence").mkdir(), "holds evidence without its ledger"),
    "a run that the ledger does not know": (
        lambda f: (with_evidence(ledger=chain())(f), added("evidence/runs/r2/run.json")(f)),
        "is not a run of the ledger",
    ),
    "a run file of noise": (run_file(b"\xff"), "run.json"),
    "a run file nested deep": (run_file(b"[" * 200_000), "run.json"),
    "a run file with a number of 5,000 digits": (run_file(b'{"schema": ' + b"9" * 5000 + b"}"), "run.json"),
    "a run file with a number of 4,000 digits": (run_file(b'{"schema": ' + b"9" * 4000 + b"}"), "run.json"),
    "a seed of 5,000 digits": (
        lambda f: with_evidence(ledger=chain().replace(b'"seed": 1', b'"seed": ' + b"9" * 5000))(f),
        "not a ledger entry",
    ),
    "a run file with NaN": (run_file(b'{"schema": NaN}'), "run.json"),
    "a run file with nothing in it": (run_file(b"{}"), "run.json"),
}  # fmt: skip
NAMES = {
    "no date": "attack",
    "a date that is none": "2026-13-45_attack",
    "a date of the future": "2999-01-01_attack",
    "capitals": "2026-11-20_Attack",
    "a homoglyph": "2026-11-20_аttack",
    "a newline": "2026-11-20_a\nb",
    "an escape": "2026-11-20_a\x1b[2J",
    "Markdown": "2026-11-20_[a](b)",
}
CASES = {f"manifest: {k}": v for k, v in MANIFESTS.items()} | {f"file: {k}": v for k, v in FILES.items()}
CASES |= {f"evidence: {k}": v for k, v in EVIDENCE.items()}


def everything_below(folder: Path) -> dict[str, int]:
    """All paths around the project but the submission's own, with their times of change."""
    found = {}
    for path in sorted(folder.parents[2].rglob("*")):
        if folder not in path.parents and "cache" not in path.parts:
            found[str(path)] = path.lstat().st_mtime_ns
    return found


def test_the_table_is_long_enough() -> None:
    assert len(CASES) + len(NAMES) >= 60


@pytest.mark.parametrize("name", CASES)
def test_each_attack_gives_a_named_error_and_touches_nothing(folder: Path, name: str) -> None:
    attack, words = CASES[name]
    attack(folder)
    before = everything_below(folder)
    found = checked(folder)
    assert any(re.search(words, str(p)) for p in found.problems), [str(p) for p in found.problems]
    assert not found.in_order
    assert everything_below(folder) == before
    said = "".join(map(str, found.problems))
    assert "the secret of another" not in said
    assert said.isprintable() or not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", said)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_name_that_is_no_slug_is_refused(folder: Path, name: str) -> None:
    moved = folder.with_name(NAMES[name])
    folder.rename(moved)
    found = checked(moved)
    assert any("rename the folder" in p.todo for p in found.problems)


def test_an_honest_folder_has_no_problem(folder: Path) -> None:
    found = checked(folder)
    assert found.problems == ()
    assert found.in_order


@pytest.mark.parametrize("name", ["50 MB of YAML", "nested 5,000 deep", "anchors that explode"])
def test_what_could_take_memory_takes_little(folder: Path, name: str) -> None:
    MANIFESTS[name][0](folder)
    done = limited(folder)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_an_archive_bomb_takes_little_memory(folder: Path) -> None:
    with_evidence(ledger=chain(), log=bomb(), clock=b"line,monotonic_ns\n", run=b"{}")(folder)
    done = limited(folder)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr


def test_a_ledger_of_forty_thousand_aborted_runs_is_read_and_refused(folder: Path) -> None:
    entry = {"at": "2026-11-20T00:00:00Z", "before": "0" * 64, "script": "a" * 64}
    start = entry | {"kind": "start", "sitting": "s", "seed": 1}
    end = entry | {"kind": "end", "state": "lost", "exit_code": None, "last_step": 1, "log_sha256": None}
    pairs = (json.dumps(half | {"run": f"r{n}"}) + "\n" for n in range(40_000) for half in (start, end))
    with_evidence(ledger="".join(pairs).encode())(folder)
    checked = inspection.check(Catalog(Project(folder.parents[1])), folder)
    assert not checked.in_order
    assert checked.verdict is None or checked.verdict.outcome == "fail"


def limited(folder: Path) -> subprocess.CompletedProcess[str]:
    """`check` in a process that may use 1.5 GB."""
    project = Small(folder.parents[1])

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000, 1_500_000_000))

    environment = project.env() | {"OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "harness", "--root", str(project.root), "check", str(folder)],
        env=environment, cwd=ROOT, preexec_fn=limit, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


def test_a_script_that_doubles_a_text_forty_times_takes_little_memory(folder: Path) -> None:
    """Each way to make a long text of short ones: the scan of the script follows none of them."""
    lines = ["a0='x'*10**9", *(f"a{n}=a{n - 1}+a{n - 1}" for n in range(1, 41)), "import os", "os.environ[a40]='1'"]
    lines += ["b0='xx'", *(f"b{n}=f'{{b{n - 1}}}{{b{n - 1}}}'" for n in range(1, 41)), "train_files=b40+'*'"]
    lines += ["c0=torch.x", *(f"c{n}=getattr(c{n - 1}, b11)" for n in range(1, 3000)), "setattr(c2999, a40, 1)"]
    lines += [f"d{n}=b11+b10" for n in range(20_000)]
    lines += ["e0=torch.x", *(f"e{n}=e{n - 1}.x" for n in range(1, 20_000))]
    script = "\n".join(lines).encode()
    before = hash_in(folder)
    (folder / "train_gpt.py").write_bytes(script)
    manifest(before, hashlib.sha256(script).hexdigest())(folder)
    with_evidence(ledger=chain(), run=b"{}")(folder)
    done = limited(folder)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    found = scan("train_gpt.py", script)  # under this test's limit of time
    assert found.unreadable is None or "text" in found.unreadable


# ------------------------------------------------------------------------------------------------ what a person types

LONG = "a" * 5000
VERBS = [
    ["check", LONG],
    ["verify", LONG],
    ["diff", LONG],
    ["pack", LONG],
    ["accept", LONG],
    ["run", LONG],
    ["probe", LONG],
    ["fetch", LONG],
    ["compare", LONG, LONG],
    ["new", "idea", "--from", LONG],
]


@pytest.mark.parametrize("words", VERBS, ids=lambda words: words[0])
def test_a_name_of_5000_letters_is_one_clear_error(
    folder: Path, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parents[1])
    assert main(["--root", str(folder.parents[1]), *words]) == 2
    said = capsys.readouterr().err
    assert said.strip()
    assert len(said) < 1000


def test_a_report_can_be_printed_where_only_ascii_is_known(folder: Path) -> None:
    manifest("a test", '"ü ✓ a\ttest"'.replace("\t", " "))(folder)
    project = Small(folder.parents[1], {"PYTHONIOENCODING": "ascii"})
    done = project.run("check", str(folder), "--markdown")
    assert done.returncode == 0, done.stderr
    assert "ü ✓ a test" in done.stdout


def test_what_a_killed_pack_left_is_put_right_by_the_next_reader(folder: Path) -> None:
    with_evidence(ledger=chain())(folder)
    before = (folder / "evidence" / "ledger.jsonl").read_bytes()
    (folder / "evidence").rename(folder / ".evidence.old")
    checked(folder)
    assert (folder / "evidence" / "ledger.jsonl").read_bytes() == before
    assert not (folder / ".evidence.old").exists()


def test_a_link_in_the_place_of_an_old_pack_is_left_alone(folder: Path) -> None:
    outside = folder.parents[2] / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (folder / ".evidence.old").symlink_to(outside)
    assert any("link" in str(problem) for problem in checked(folder).problems)
    assert (outside / "kept").read_text() == "kept"


def test_a_link_for_the_evidence_is_not_followed_by_verify(folder: Path) -> None:
    outside = folder.parents[2] / "evidence"
    with_evidence(ledger=chain())(folder)
    (folder / "evidence").rename(outside)
    (folder / "evidence").symlink_to(outside)
    done = Small(folder.parents[1]).run("verify", str(folder))
    assert done.returncode == 1
    assert "evidence: is a link, a folder or a special file" in done.stdout
    assert "verdict" not in done.stdout, "nothing behind the link was judged"


# ------------------------------------------------------------------------------------------------ injection

POISON = [
    "::set-output name=a::b",
    "::error file=a,line=1::b",
    "##[set-env name=A]b",
    "</td><script>alert(1)</script>",
    "[a](javascript:alert(1)) | b | `c`",
    "![a](https://example.org/x.png) <img src=x onerror=y>",
    "@everyone #1 https://example.org",
    "www.example.org @org/team ada@example.org GH-1",
    "a\u200bb\u2066c",
    "%0A::error::b",
]


@pytest.mark.parametrize("poison", POISON)
def test_a_title_means_nothing_but_itself(folder: Path, poison: str) -> None:
    manifest("title: a test", f"title: {json.dumps(poison)}")(folder)
    manifest("'@somebody'", json.dumps(poison))(folder)
    found = checked(folder)
    page = check_report.markdown(project_of(folder), found)
    assert "<script" not in page
    assert "<img" not in page
    assert "](javascript" not in page
    assert "\x1b" not in page
    assert not re.search(r"://|www\.|@\w|#\d|GH-\d", html.unescape(page))
    for line in page.splitlines():
        assert not line.lstrip().startswith(("::", "##["))
    for line in check_report.workflow_lines(found):
        assert re.match(r"::(error|warning|notice) file=[^,:]*,line=\d+::", line)
        assert "##[" not in line
        assert line.count("::") == 2 or "%3A" in line or line.partition("::")[2].partition("::")[2]


def test_a_poisoned_file_name_cannot_end_an_annotation(folder: Path) -> None:
    added("x,line=9::b\n::error::c.py")(folder)
    lines = check_report.workflow_lines(checked(folder))
    assert len(lines) == 1
    assert "\n" not in lines[0]
    assert lines[0].startswith(f"::error file=submissions/{SLUG}/x%2Cline=9%3A%3Ab\\n%3A%3Aerror%3A%3Ac.py,line=1::")


def test_poison_in_what_is_printed_cannot_move_the_cursor(folder: Path) -> None:
    (folder / "a\x1b[2J\r\x07.py").write_text("x")
    project = Small(folder.parents[1])
    done = project.run("check", str(folder), "--format", "github", "--markdown")
    assert done.returncode == 1
    for text in (done.stdout, done.stderr):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)


# ------------------------------------------------------------------------------------------------ any manifest

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["schema", "track", "ruleset", "title", "contributors", "parent", "claim", "entry", "files", "notes"]
)


@settings(max_examples=150, deadline=None)
@given(data=st.dictionaries(KEYS | st.text(max_size=8), VALUES, max_size=10), noise=st.binary(max_size=30))
def test_the_reader_of_manifests_gives_a_manifest_or_a_named_error(
    data: dict[str, object], noise: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import yaml

    folder = tmp_path_factory.getbasetemp() / "any" / SLUG
    folder.mkdir(parents=True, exist_ok=True)
    for content in (yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "replace"), noise):
        (folder / "manifest.yaml").write_bytes(content)
        try:
            read: Manifest | None = load_manifest(folder)
            problems = ()
        except HarnessError as error:
            read, problems = None, error.problems
        assert (read is None) == bool(problems)
        for problem in problems:
            assert problem.where
            assert problem.what
            assert problem.todo


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = \u202e1", "train_gpt.py:1: is not Python (invalid non-printable character U+202E)"),
        ("x = \x1b[31m", "train_gpt.py: holds other than text"),
        ("# coding: rot13\nx", "train_gpt.py: declares another encoding than UTF-8"),
        ("(" * 100_000, "train_gpt.py:1: is not Python (too many nested parentheses)"),
        ("-" * 200_000 + "1", None),
        ("x = 9**9**9**9, 'a' * (1 << 60)", None),
    ],
    ids=["an override", "an escape", "another encoding", "parentheses", "too deep to tell", "large constants"],
)
def test_a_script_is_compiled_before_a_run_and_nothing_of_it_is_executed_or_shown(
    folder: Path, capfd: pytest.CaptureFixture[str], source: str, said: str | None
) -> None:
    (folder / "train_gpt.py").write_text(source)
    root = str(project_of(folder).root)
    assert main(["--root", root, "run", str(folder), "--screening", "--plan"]) == (0 if said is None else 2)
    printed = capfd.readouterr()
    text = printed.out + printed.err
    assert "\x1b" not in text and "\u202e" not in text and "Traceback" not in text
    assert said is None or said in text
