"""Packs: small, the same bytes every time, restorable to the ledger's hash; bombs and names from outside are refused."""

from __future__ import annotations

import hashlib
import lzma
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.catalog.lookup import Catalog
from harness.core.errors import StoreError
from harness.store.entries import Chain
from harness.store.files import PACKED, compress, read_kept
from harness.store.layout import Project
from harness.store.ledger import Ledger, read_chain
from harness.store.packs import LEDGER, PACK, Baseline, ParentScript, check_pack, restore_log, settle, write_pack
from harness.store.scrub import own_names, scrub_log
from harness.submission import packing
from tests.ledgers import declared
from tests.named import find_subject

SCRIPT = b"import torch\n" * 3000


def a_run(folder: Path, seed: int) -> Path:
    """A run folder with a log of 100 kB behind its source, one stamp a line, and what an observer writes."""
    rolls = random.Random(seed)
    lines, clock, at = [], ["line,monotonic_ns", "start,1000000000"], 1_000_000_000
    for step in range(1700):
        lines.append(
            f"step:{step}/1700 train_time:{step * 57 + rolls.randrange(9)}ms step_avg:{57 + rolls.random():.2f}ms"
        )
    for number in range(1, len(lines) + 3001):
        at += rolls.randrange(50_000_000, 60_000_000)
        clock.append(f"{number},{at}")
    folder.mkdir(parents=True)
    (folder / "log.txt").write_bytes(SCRIPT + "\n".join(lines).encode() + b"\n")
    (folder / "clock.csv").write_text("\n".join(clock) + "\n")
    (folder / "reads.csv").write_text("monotonic_ns,kind,name,value\n")
    (folder / "run.json").write_text("{}\n")
    return folder


def parents(chain: Chain, folders: list[Path]) -> Baseline:
    """Two of the runs, as if they were the parent's."""
    script = ParentScript("records/tiny/first", "a" * 64, "a" * 64, SCRIPT, True)
    return Baseline(script, chain, tuple(folders[:2]))


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with twenty runs and their pack."""
    folder = tmp_path_factory.mktemp("twenty")
    ledger = Ledger(folder / "runs" / "ledger.jsonl")
    ledger.append(declared(n_max=3))
    folders = [a_run(folder / "runs" / run_name(n), n) for n in range(20)]
    (folder / "submission").mkdir()
    write_pack(folder / "submission", ledger.read(), folders, SCRIPT, parents(ledger.read(), folders))
    return folder


def run_name(number: int) -> str:
    return f"20261121T00000{number % 10}Z-{number:08x}-0000"


@pytest.fixture
def packed(twenty: Path, tmp_path: Path) -> tuple[Path, list[Path]]:
    """A copy of the pack that a test may change, and the folders of the runs."""
    for name in ("runs", "submission"):
        shutil.copytree(twenty / name, tmp_path / name)
    return tmp_path / "submission" / PACK, [tmp_path / "runs" / run_name(n) for n in range(20)]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_twenty_runs_of_100_kb_logs_pack_under_a_megabyte(packed: tuple[Path, list[Path]]) -> None:
    pack, folders = packed
    assert sum((folder / "log.txt").stat().st_size - len(SCRIPT) for folder in folders) > 1_500_000
    assert sum(len(data) for name, data in files(pack).items() if not name.startswith("baseline")) < 1_000_000
    check_pack(pack, "evidence")


def test_packing_twice_gives_the_same_bytes(packed: tuple[Path, list[Path]]) -> None:
    pack, folders = packed
    before = files(pack)
    write_pack(
        pack.parent,
        read_chain((pack / LEDGER).read_bytes(), LEDGER),
        folders,
        SCRIPT,
        parents(read_chain((pack / LEDGER).read_bytes(), LEDGER), folders),
    )
    assert files(pack) == before


def test_every_file_comes_back_byte_for_byte(packed: tuple[Path, list[Path]]) -> None:
    pack, folders = packed
    for folder in folders:
        raw = (folder / "log.txt").read_bytes()
        restored = restore_log(pack / "runs" / folder.name, SCRIPT)
        assert hashlib.sha256(restored).digest() == hashlib.sha256(scrub_log(raw, SCRIPT, own_names())).digest()
        for name in ("clock.csv", "reads.csv"):
            assert read_kept(pack / "runs" / folder.name / name) == (folder / name).read_bytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: lzma.compress(b"\0" * (200 << 20), preset=0), "unpacks to more than"),
        (lzma.compress(b"x")[:-3], "torn"),
        (lzma.compress(b"x") + b"tail", "more behind its end"),
        (b"this is no archive", "cannot be unpacked"),
        (lzma.compress(b"x", format=lzma.FORMAT_ALONE), "cannot be unpacked"),
        (lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]), "cannot be unpacked"),
        (b"", "torn"),
    ],
    ids=["bomb", "torn", "tail", "noise", "other format", "gigabyte of dictionary", "empty"],
)
def test_an_archive_that_is_not_ours_is_refused_by_name(
    tmp_path: Path, content: bytes | Callable[[], bytes], said: str
) -> None:
    (tmp_path / f"log.txt{PACKED}").write_bytes(content if isinstance(content, bytes) else content())
    with pytest.raises(StoreError, match=said):
        read_kept(tmp_path / "log.txt", name="log.txt")


def test_a_sparse_log_of_5_gb_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "log.txt").open("wb") as file:
        file.truncate(5 << 30)
    with pytest.raises(StoreError, match="5,368,709,120 bytes"):
        read_kept(tmp_path / "log.txt")


def test_compression_is_the_same_every_time() -> None:
    data = random.Random(1).randbytes(10_000) * 3
    assert compress(data) == compress(data)


@pytest.mark.parametrize(
    "name",
    [
        "extra.py",
        "runs/x/extra.txt",
        "runs/x/y/log.txt",
        "runs/.hidden/log.txt",
        "runs/a b/log.txt",
        "runs/x/log.txt.gz",
    ],
)
def test_a_file_that_no_pack_holds_is_named(packed: tuple[Path, list[Path]], name: str) -> None:
    pack, _ = packed
    (pack / name).parent.mkdir(parents=True, exist_ok=True)
    (pack / name).write_bytes(b"x")
    with pytest.raises(StoreError, match=r"is no (file|folder) of a pack"):
        check_pack(pack, "evidence")


def test_links_pipes_and_too_many_files_are_named(packed: tuple[Path, list[Path]]) -> None:
    pack, folders = packed
    (pack / "runs" / "link").symlink_to("/etc")
    os.mkfifo(pack / "runs" / folders[0].name / "log.txt")
    with pytest.raises(StoreError) as error:
        check_pack(pack, "evidence")
    assert len(error.value.problems) == 2
    for number in range(1100):
        (pack / "runs" / f"n{number}").mkdir()
    with pytest.raises(StoreError, match="more than 1000 files"):
        check_pack(pack, "evidence")


def test_a_pack_that_was_killed_at_any_moment_leaves_a_whole_one(
    packed: tuple[Path, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rename and each removal is the last thing that happens, once; the next reader finds a whole pack."""
    pack, folders = packed
    old = files(pack)
    chain = read_chain((pack / LEDGER).read_bytes(), LEDGER)
    seen = set()
    for moment in range(1, 8):
        with monkeypatch.context() as patched:
            kill_at(patched, moment)
            try:
                write_pack(pack.parent, chain, folders[: 9 - moment], SCRIPT)
            except Killed:
                pass
            else:
                break
        settle(pack.parent)
        now = files(pack)
        new = {name.split("/")[1] for name in now if name.startswith("runs/")}
        assert now == old or new == {folder.name for folder in folders[: 9 - moment]}
        assert [path.name for path in pack.parent.iterdir() if path.name == ".evidence.old"] == []
        seen.add(now == old)
        old = now
    assert moment > 3
    assert seen == {True, False}
    write_pack(pack.parent, chain, folders[:9], SCRIPT, parents(chain, folders[:9]))
    assert [path.name for path in pack.parent.iterdir()] == [PACK]


class Killed(BaseException):
    """The process ends here; nothing is cleaned up."""


def kill_at(patched: pytest.MonkeyPatch, moment: int) -> None:
    """Stop before the n-th change of the submission's folder, and let nothing be removed afterwards."""
    count = 0
    rename, rmtree = Path.rename, shutil.rmtree

    def next_one() -> None:
        nonlocal count
        count += 1
        if count >= moment:
            raise Killed

    def renamed(path: Path, target: Path) -> Path:
        next_one()
        return rename(path, target)

    def removed(path: Path, *, ignore_errors: bool = False) -> None:
        next_one()
        rmtree(path, ignore_errors=ignore_errors)

    patched.setattr(Path, "rename", renamed)
    patched.setattr(shutil, "rmtree", removed)


def test_the_evidence_of_a_record_is_never_packed_over() -> None:
    project = Project(Path(__file__).parents[2])
    with pytest.raises(StoreError, match="is no submission"):
        packing.pack(Catalog(project), find_subject(project, "smoke/2"))


def test_a_link_is_no_evidence_folder(packed: tuple[Path, list[Path]], tmp_path: Path) -> None:
    pack, _ = packed
    (tmp_path / "evidence").symlink_to(pack)
    with pytest.raises(StoreError, match="is a link or no folder"):
        check_pack(tmp_path / "evidence", "evidence")
