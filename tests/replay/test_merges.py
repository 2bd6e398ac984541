"""The program that holds a record: found in a history of squashed, merged, pushed and late pull requests, or not told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.catalog.checkout import Checkout
from harness.catalog.mainline import read_history
from harness.core.errors import StoreError
from harness.core.record import Claimed, Merged, Original, Record, RecordRun
from harness.maintain.merges import find_merged
from harness.runlog.source import embed
from harness.store.records import add_merged, read_record, write_record
from tests.replay.upstream import KERNELS, REPOSITORY, Upstream, log_of, make_upstream, sha256

IMPORTS = b"import torch\nfrom triton_kernels import XXT\n\n"


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    return make_upstream(tmp_path)


def script(name: str) -> bytes:
    return IMPORTS + f"print('{name}')\n".encode()


def program(name: str) -> dict[str, bytes]:
    return {"train_gpt.py": script(name), "triton_kernels.py": KERNELS}


def log(number: int, name: str) -> dict[str, bytes]:
    """The log of a record, which proves a script."""
    return {f"records/track_1_short/{number}/log.txt": log_of(program(name))}


def push(upstream: Upstream, files: dict[str, bytes], subject: str) -> str:
    upstream.commit_files(files)
    upstream.git("commit", "--quiet", "--amend", "--allow-empty", "--message", subject)
    upstream.commit = upstream.git("rev-parse", "HEAD")
    return upstream.commit


def record(upstream: Upstream, number: int, name: str | None, *, pr: int | None = None, track: str = "short") -> Record:
    """A row whose log, as it lies at the checkout's own commit, proves a script; name None: none was published."""
    files = {} if name is None else {file: sha256(text) for file, text in program(name).items()}
    kind, path = ("none", None) if name is None else ("log", f"records/track_1_short/{number}/log.txt")
    head = upstream.git("rev-parse", "HEAD")
    return Record(
        track=track,
        slug=f"2026-01-{number:02d}_x",
        ruleset=f"{track}@1",
        number=number,
        kind="record",
        retimes=None,
        date=None,
        title="x",
        contributors=(),
        pull_request=None if pr is None else str(pr),
        claimed=Claimed(60.0, None, None, None),
        original=Original(REPOSITORY, head, kind, path, files, None, None),  # type: ignore[arg-type]
        notes=None,
        withdrawn=None,
    )


def find(upstream: Upstream, *records: Record) -> dict[int, Merged]:
    found = find_merged(records, Checkout(upstream.folder, REPOSITORY))
    return {r.number: found[f"{r.track}/{r.slug}"] for r in records if f"{r.track}/{r.slug}" in found}


def test_what_stood_before_the_next_merge_holds_a_record_and_for_the_newest_what_stands_now(upstream: Upstream) -> None:
    push(upstream, {**program("base"), "evals/x.py": b"", "unused.py": b""}, "start")
    push(upstream, program("one") | log(1, "one"), "New record: first (#11)")
    refined = push(upstream, program("one, refined"), "Update train_gpt.py")
    push(upstream, {"README.md": b"the row of 1"}, "Update README.md")
    push(upstream, log(2, "two"), "Second record (#12)")  # the program follows
    second = push(upstream, program("two, on master"), "Update train_gpt.py")
    push(upstream, {"README.md": b"the row of 2"}, "Update README.md")
    push(upstream, program("three") | log(3, "three"), "Third (#13)")
    rows = (record(upstream, 1, "one", pr=11), record(upstream, 2, "two", pr=12), record(upstream, 3, "three", pr=13))
    run = RecordRun("a", "baseline", None, "val_loss", 3.27, 60.0, None, None, None, "2.10.0+cu128", None, None, None)
    ran = dataclasses.replace(run, script_sha256=sha256(embed(program("one, refined"))))
    found = find(upstream, *rows[:2], dataclasses.replace(rows[2], runs=(ran,)))
    assert set(found) == {1, 2}, "the newest stands as its log proves it"
    assert (found[1].commit, found[1].torch) == (refined, "2.10.0+cu128")
    assert found[1].files == {name: sha256(text) for name, text in program("one, refined").items()}
    assert (found[2].commit, found[2].torch, found[2].reason) == (second, None, None)
    last = push(upstream, {"triton_kernels.py": KERNELS + b"x = 1\n"}, "Update triton_kernels.py")
    newest = find(upstream, *rows)[3]
    assert (newest.commit, list(newest.files)) == (last, ["train_gpt.py", "triton_kernels.py"])


def test_rows_that_were_merged_late_and_several_a_day_are_told_apart(upstream: Upstream) -> None:
    push(upstream, program("base"), "start")
    for number in (1, 2, 3):
        upstream.git("checkout", "--quiet", "-b", f"idea{number}", "HEAD~0" if number == 1 else "main")
        push(upstream, program(f"{number} as it ran") | log(number, f"{number} as it ran"), "work")
        push(upstream, program(f"{number} as it came"), "rebased")
        upstream.git("checkout", "--quiet", "main")
        subject = f"Merge pull request #{20 + number} from somebody/idea{number}"
        upstream.git("merge", "--quiet", "--no-ff", "--message", subject, f"idea{number}")
    rows = [record(upstream, n, f"{n} as it ran", pr=20 + n) for n in (1, 2, 3)]
    found = find(upstream, *rows)
    for number in (1, 2, 3):
        assert found[number].files["train_gpt.py"] == sha256(script(f"{number} as it came"))
    # Without a number in any subject their logs say the same.
    assert find(upstream, *(dataclasses.replace(row, pull_request=None) for row in rows)) == found


def test_a_maintainer_who_pulled_is_not_taken_for_the_main_branch(upstream: Upstream) -> None:
    start = push(upstream, program("base"), "start")
    one = push(upstream, program("one") | log(1, "other"), "First (#31)")
    push(upstream, program("two") | log(2, "two"), "Second (#32)")
    upstream.git("checkout", "--quiet", "-b", "own", start)
    push(upstream, {"notes.txt": b"mine"}, ".")
    pull = f"Merge branch 'master' of https://github.com/{REPOSITORY}"
    upstream.git("merge", "--quiet", "--no-ff", "--message", pull, "main")
    assert find(upstream, record(upstream, 1, "other", pr=31), record(upstream, 2, "two", pr=32))[1].commit == one


def test_where_the_history_leaves_a_doubt_no_commit_is_told(upstream: Upstream) -> None:
    push(upstream, program("one") | log(1, "one"), ".")
    push(upstream, program("two"), ".")
    push(upstream, program("two, refined"), ".")
    push(upstream, log(2, "other"), "the log of 2")
    push(upstream, program("four") | log(4, "four"), "Fourth (#4)")
    both = log(5, "five") | log(6, "six")
    push(upstream, program("five and six") | both, "two at once")
    rows = [record(upstream, n, name) for n, name in ((1, "one"), (2, "other"), (3, None), (4, "four"))]
    found = find(upstream, *rows, record(upstream, 5, "five"), record(upstream, 6, "six"))
    assert {n: merged.reason for n, merged in found.items() if merged.commit is None} == {
        1: "the commit that shows the merge of the next record, short/2, leaves the program as it was",
        2: "nothing in the history of master shows where the next record, short/3, was merged",
        3: "nothing in the history of master shows where it was merged",
        5: "the next record, short/6, was merged with it or before it",
    }
    assert found[6].files["train_gpt.py"] == sha256(script("five and six"))
    assert 4 not in found


def test_comments_do_not_make_another_program_and_other_tracks_have_none(upstream: Upstream) -> None:
    push(upstream, program("one") | log(1, "one"), "First (#1)")
    push(upstream, {"train_gpt.py": IMPORTS + b"# refined\n\nprint('one')  # the same\n"}, "Update train_gpt.py")
    rows = (record(upstream, 1, "one", pr=1), record(upstream, 1, "other", track="optimization"))
    assert find(upstream, *rows) == {}
    medium = find(upstream, record(upstream, 1, "one", track="medium"))
    assert medium[1].reason == "master has no program of the track"


def test_a_checkout_without_its_history_is_refused(upstream: Upstream, tmp_path: Path) -> None:
    push(upstream, program("one"), "start")
    push(upstream, program("two"), "more")
    (tmp_path / "plain").mkdir()
    upstream.git("clone", "--quiet", "--depth", "1", upstream.folder.as_uri(), str(tmp_path / "shallow"))
    for folder, said in (("plain", "is a plain tree"), ("shallow", "is a shallow clone")):
        with pytest.raises(StoreError, match=said):
            read_history(Checkout(tmp_path / folder, REPOSITORY))


def test_the_file_is_written_once(upstream: Upstream) -> None:
    push(upstream, program("one") | log(1, "other"), "First (#1)")
    row = record(upstream, 1, "other", pr=1)
    folder = upstream.project.records / "short" / row.slug
    write_record(folder, row)
    [found] = find(upstream, row).values()
    assert add_merged(folder, found)
    before = (folder / "merged.yaml").read_bytes()
    push(upstream, program("more"), "Update train_gpt.py")
    [other] = find(upstream, row).values()
    assert other != found and not add_merged(folder, other)
    assert (folder / "merged.yaml").read_bytes() == before
    assert read_record(folder).merged == found
