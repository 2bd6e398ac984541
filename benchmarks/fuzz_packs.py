"""Fuzz the judge: damaged packs, and whether any of them crashes it or passes with a change that means anything.

    python benchmarks/fuzz_packs.py [--packs N] [--seed N] [--jobs N] [--seconds N]

The pack is one of real runs in a small project: a submission with an aborted run and an earlier script of the same
folder, and the runs of its parent beside it. Each trial damages it once or a few times (bytes, lines, values of JSON,
files removed, added or exchanged; compressed files inside as well) and checks it as a pull request is checked. Every
fifth trial damages a pack of the old form, of records/smoke, which holds few hashes: there only crashes are findings.

A change means something if any file of the pack, unpacked, has other bytes than before, is gone or is new. The hashes of
the ledgers are computed anew in a quarter of the trials: what passes then was forged, not damaged, and must only not
crash. Exit status 1 where anything is found.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from harness.catalog.lookup import Catalog  # noqa: E402
from harness.core.errors import HarnessError  # noqa: E402
from harness.run import judging  # noqa: E402
from harness.store.layout import Project  # noqa: E402
from harness.submission import inspection  # noqa: E402
from harness.ui import check_report, run_report  # noqa: E402
from tests.faults.projects import Small, make_project  # noqa: E402
from tests.flow.repositories import ANSWERS  # noqa: E402
from tests.ledgers import sum_up  # noqa: E402

PARENT, CHILD, OLD = "2026-11-20_parent", "2026-11-21_child", "2026-11-21_muon"
BODY = """\
time.sleep(PAUSE)
for n in range(5): step(n, 5, 5.0 if n == 0 else None)
step(5, 5, 2.90 + SEED % 9973 / 1e7)
"""
BATCH = 100
TRIES = 5  # to make packs that pass
Files = dict[str, bytes]  # of a pack, by their paths in it
Draw = random.Random


# ------------------------------------------------------------------------------------------------ the packs


def make_packs(root: Path) -> None:
    """Make the small project: a record, and a submission with evidence of everything that a pack can hold."""
    small = make_project(root)
    for name in (PARENT, CHILD):
        folder = small.submit(BODY.replace("PAUSE", "0.0"), name)
        (folder / "README.md").write_text(ANSWERS)
        manifest = (folder / "manifest.yaml").read_text().partition("files:")[0].replace("schema: 1", "schema: 2")
        if name == CHILD:
            manifest = manifest.replace("claim: ml\n", "claim: ml\nparent: tiny/1\n")
        (folder / "manifest.yaml").write_text(manifest)
        command = f"submissions/{name}"
        if name == CHILD:
            small.run("run", command, "--runs", "1")  # by the earlier script
            script = (folder / "train_gpt.py").read_text()
            (folder / "train_gpt.py").write_text(script.replace("sleep(0.0)", "sleep(1.5)"))
            small.run("new", "--refresh", command)
            abort_a_run(small, command)
        for verb in ("run", "pack", "accept") if name == PARENT else ("run", "pack", "check"):
            done = small.run(verb, command)
            # Status 1 is no failure of the evidence: the child is valid and does not beat the record of the parent.
            good = done.returncode == 0 or "valid, but no record" in done.stdout or "not a new record" in done.stdout
            assert good, done.stdout + done.stderr
    shutil.copytree(ROOT / "records" / "smoke" / OLD, root / "records" / "smoke" / OLD)
    shutil.copy(ROOT / "tracks" / "smoke.yaml", root / "tracks" / "smoke.yaml")


def abort_a_run(small: Small, submission: str) -> None:
    """Start runs and end one by a signal, which on a busy machine may come too late for some."""
    for count in range(1, 20):
        begun = len(list(small.root.glob(".runs/*/log.txt")))
        harness = small.start("run", submission, "--runs", str(count))
        while len(list(small.root.glob(".runs/*/log.txt"))) == begun and harness.poll() is None:
            time.sleep(0.05)
        harness.send_signal(signal.SIGTERM)
        harness.communicate()
        if "stopped" in small.ends():
            return
    raise AssertionError("no run was aborted")


@cache
def bench(root: str, process: int) -> tuple[Path, dict[bool, Files]]:
    """Copy the project for one process alone, without its runs, and read its two packs (True: the old one)."""
    own = Path(tempfile.mkdtemp(prefix=f"packs-{process}-", dir=root)) / "project"
    for name in ("tracks", "records", "submissions"):
        shutil.copytree(Path(root) / "project" / name, own / name)
    return own, {old: read_files(pack_of(own, old)) for old in (False, True)}


def pack_of(project: Path, old: bool) -> Path:
    return (project / "records" / "smoke" / OLD if old else project / "submissions" / CHILD) / "evidence"


def read_files(pack: Path) -> Files:
    return {str(path.relative_to(pack)): path.read_bytes() for path in sorted(pack.rglob("*")) if path.is_file()}


def write_files(pack: Path, now: Files, then: Files) -> None:
    """Turn the pack `then` that lies there into `now`."""
    for name in then.keys() - now.keys():
        (pack / name).unlink()
    for name, content in now.items():
        if then.get(name) != content:
            (pack / name).parent.mkdir(parents=True, exist_ok=True)
            (pack / name).write_bytes(content)
    for folder in sorted((path for path in pack.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def unpacked(files: Files) -> Files:
    """The files as they are read; one that cannot be unpacked stays as it is."""
    return {name.removesuffix(".xz"): inside(name, content) for name, content in files.items()}


def inside(name: str, content: bytes) -> bytes:
    try:
        return lzma.decompress(content) if name.endswith(".xz") else content
    except (lzma.LZMAError, EOFError):
        return content


# ------------------------------------------------------------------------------------------------ damages


def bytes_of(content: bytes, draw: Draw) -> bytes:
    at, length = draw.randrange(len(content) + 1), draw.choice((1, 1, 1, 2, 8, 100))
    noise = draw.choice(
        (bytes([draw.randrange(256)]), b"\n", b"\r", b"0", b"\0", b"\xff", b",", b" ", draw.randbytes(4))
    )
    match draw.randrange(6):
        case 0 if content:  # one bit
            at %= len(content)
            return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]
        case 1:
            return content[:at] + noise + content[at:]
        case 2:
            return content[:at] + noise + content[at + len(noise) :]
        case 3:
            return content[:at]
        case 4:
            return content[: at + length] + content[at:]
        case _:
            return content[:at] + content[at + length :]


def lines_of(content: bytes, draw: Draw) -> bytes:
    lines = content.splitlines(keepends=True)
    if not lines:
        return b"\n"
    first, second = draw.randrange(len(lines)), draw.randrange(len(lines))
    match draw.randrange(5):
        case 0:
            del lines[first]
        case 1:
            lines.insert(second, lines[first])
        case 2:
            lines[first], lines[second] = lines[second], lines[first]
        case 3:
            del lines[first:]
        case _:
            draw.shuffle(lines)
    return b"".join(lines)


ODD: tuple[Callable[[Any, Draw], Any], ...] = (
    lambda value, draw: draw.choice([None, True, [], {}, "", 0, -1, 1.5, [value], {"x": value}, str(value), "é" * 9]),
    lambda value, draw: draw.choice([10**30, 1e308, float("nan"), float("inf"), "0" * 64, "a" * 64, "judged", "dry"]),
    lambda value, draw: value + 1 if isinstance(value, int | float) else value,
    lambda value, draw: value[::-1] if isinstance(value, str | list) else value,
)


def value_of(data: Any, draw: Draw) -> Any:
    """Change one value, key or item somewhere in plain data."""
    if isinstance(data, dict) and data and draw.random() < 0.9:
        key = draw.choice(sorted(data))
        match draw.randrange(8):
            case 0:
                return {name: value for name, value in data.items() if name != key}
            case 1:
                return data | {draw.choice(("host", "purpose", "files", "launched", "sitting", "x")): data[key]}
            case _:
                return data | {key: value_of(data[key], draw)}
    if isinstance(data, list) and data and draw.random() < 0.9:
        at = draw.randrange(len(data))
        return [*data[:at], value_of(data[at], draw), *data[at + draw.randrange(3) :]]
    return draw.choice(ODD)(data, draw)


def json_of(content: bytes, draw: Draw) -> bytes:
    """Change a value in a file that is JSON, or in one line that is."""
    try:
        return json.dumps(value_of(json.loads(content), draw), indent=1, ensure_ascii=False).encode() + b"\n"
    except ValueError:
        lines = content.splitlines()
    try:
        at = draw.randrange(len(lines))
        lines[at] = json.dumps(value_of(json.loads(lines[at]), draw), sort_keys=True).encode()
    except (ValueError, RecursionError):
        return bytes_of(content, draw)
    return b"".join(line + b"\n" for line in lines)


def words_of(content: bytes, draw: Draw) -> bytes:
    """Change what a log, a clock or a list of reads says: numbers, names and marks."""
    words = content.split(b" ") if content.count(b" ") > content.count(b",") else content.split(b",")
    at = draw.randrange(len(words))
    odd = (b"0", b"-1", b"1e9", b"9" * 30, b"nan", b"", b"open", b"start", b"exit", b"clock:start", b"clock:stop")
    words[at] = draw.choice((*odd, words[draw.randrange(len(words))], words[at] + b"0"))
    return (b" " if content.count(b" ") > content.count(b",") else b",").join(words)


def files_of(files: Files, draw: Draw) -> Files:
    """Remove, add, exchange or move whole files."""
    names = sorted(files)
    first, second = draw.choice(names), draw.choice(names)
    folder = draw.choice(
        [name.rpartition("/")[0] for name in names if name.count("/") == 2 or name.startswith("runs/")]
    )
    match draw.randrange(6):
        case 0:
            return {name: content for name, content in files.items() if name != first}
        case 1:
            return files | {first: files[second], second: files[first]}
        case 2:
            return files | {first: files[second]}
        case 3:  # as it is beside its compressed form, or the other way round
            other = first.removesuffix(".xz") if first.endswith(".xz") else first + ".xz"
            return files | {
                other: inside(first, files[first]) if first.endswith(".xz") else lzma.compress(files[first])
            }
        case 4:
            kept = {name: content for name, content in files.items() if not name.startswith(f"{folder}/")}
            moved = {name.replace(folder, folder + "0"): files[name] for name in files.keys() - kept.keys()}
            return kept | draw.choice(({}, moved))
        case _:
            name = draw.choice(("telemetry.csv", "reads.csv", "clock.csv", "log.txt", "run.json", "notes.txt"))
            return files | {f"{folder}/{name}": draw.choice((files[first], b"", b"line,monotonic_ns\n"))}


def damage(files: Files, draw: Draw) -> Files:
    """Damage a pack once, in a fifth of the trials up to three times."""
    for _ in range(draw.choice((1, 1, 1, 1, draw.randrange(1, 4)))):
        if draw.random() < 0.2 or not files:
            files = files_of(files, draw) if files else files
            continue
        name = draw.choice(sorted(files))
        content = files[name]
        change = draw.choice((bytes_of, lines_of, json_of, words_of))
        if name.endswith(".xz") and draw.random() < 0.8:
            content = lzma.compress(change(inside(name, content), draw), preset=0)
        else:
            content = change(content, draw)
        files = files | {name: content}
    return files


# ------------------------------------------------------------------------------------------------ judging


def passes(project: Path, old: bool) -> bool:
    """Judge the pack that lies in the project, and write all that is shown of it."""
    catalog = Catalog(Project(project))
    if old:
        try:
            gathered, verdict = judging.verify(catalog, catalog.subject(catalog.find(f"smoke/{OLD}")))
        except HarnessError:
            return False
    else:
        checked = inspection.check(catalog, project / "submissions" / CHILD)
        check_report.markdown(catalog, checked)
        check_report.workflow_lines(checked)
        if not checked.in_order or checked.gathered is None or checked.verdict is None:
            return False
        gathered, verdict = checked.gathered, checked.verdict
    for run in gathered.runs:
        run_report.run_figures(run)
    return verdict.outcome == "pass"


def trial(root: str, seed: int) -> str | None:
    """Judge one damaged pack; say how that ended: "refused", "passed" (nothing was changed), or what was found."""
    draw = Draw(seed)
    project, packs = bench(root, os.getpid())
    old, sealed = draw.random() < 0.2, draw.random() < 0.25
    pack, whole = pack_of(project, old), packs[old]
    damaged = damage(whole, draw)
    write_files(pack, damaged, whole)
    try:
        if sealed and not old:
            sum_up(pack)
        passed = passes(project, old)
    except Exception:  # whatever it is, it is a finding
        return "crash: " + traceback.format_exc(limit=-3)
    finally:
        write_files(pack, whole, read_files(pack))
    if not passed:
        return "refused"
    if unpacked(damaged) == unpacked(whole) and len(damaged) == len(whole):
        return "passed"
    changed = sorted(name for name in {*damaged, *whole} if damaged.get(name) != whole.get(name))
    return "forged" if sealed else "of the old form" if old else f"passed with another {', '.join(changed)}"


def batch(root: str, first: int, count: int, until: float) -> tuple[Counter[str], list[tuple[int, str]]]:
    """Judge so many packs, or those that time allows; count how they ended, and list the findings."""
    ends: Counter[str] = Counter()
    findings = []
    for seed in range(first, first + count):
        if time.monotonic() > until:
            break
        said = trial(root, seed)
        if said in ("refused", "passed", "forged", "of the old form"):
            ends[said] += 1
        else:
            ends["found"] += 1
            findings.append((seed, said or ""))
    return ends, findings


def main() -> int:
    parser = argparse.ArgumentParser(description="fuzz the judge with damaged packs")
    parser.add_argument("--packs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no pack after so many")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-packs-") as root:
        for tries in range(1, TRIES + 1):
            try:
                make_packs(Path(root) / "project")
                break
            except AssertionError:  # a run that the machine disturbed is failed by the timing rules
                if tries == TRIES:
                    raise
                shutil.rmtree(Path(root) / "project")
        project, _ = bench(root, os.getpid())
        assert passes(project, False) and passes(project, True), "the undamaged packs do not pass"
        began = time.monotonic()
        ends: Counter[str] = Counter()
        findings = []
        starts = range(args.seed, args.seed + args.packs, BATCH)
        counts = [min(BATCH, args.seed + args.packs - start) for start in starts]
        until = began + args.seconds
        with ProcessPoolExecutor(args.jobs) as pool:
            for got, found in pool.map(batch, [root] * len(starts), starts, counts, [until] * len(starts)):
                ends += got
                findings += found
    print(
        f"{ends.total():,} packs in {time.monotonic() - began:.0f} s: {ends['refused']:,} refused or not passed; "
        f"passed: {ends['passed']:,} without any change, {ends['of the old form']:,} of the old form, "
        f"{ends['forged']:,} forged; {len(findings)} findings"
    )
    for seed, text in findings[:20]:
        print(f"  seed {seed}: {text}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
