"""Originals of past records: found in a repository or a plain tree, taken out of logs, verified, or refused by name."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.catalog.checkout import source_of
from harness.catalog.lookup import Catalog
from harness.compare import arms, decisive
from harness.core.errors import StoreError
from harness.replay import plan
from harness.replay.plan import resolve_all
from harness.store.layout import cache_folder
from harness.submission import codediff
from tests import warm
from tests.replay.upstream import KERNELS, LAYOUTS, SCRIPT, Upstream, log_of, make_upstream, sha256

ROOT = Path(__file__).parents[2]
FILES = {"train_gpt.py": sha256(SCRIPT)}


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Upstream:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("SPEEDRUN_UPSTREAM", (tmp_path / "host").as_uri())
    return make_upstream(tmp_path)


def states(upstream: Upstream, checkout: Path | None) -> dict[str, tuple[str, str]]:
    return {row.record: (row.state, row.said) for row in resolve_all(Catalog(upstream.project), checkout)}


def filled(upstream: Upstream) -> Upstream:
    """Every kind of original: a file, every layout of log, one in git only, one that was never published."""
    old = upstream.commit_files({"train_gpt.py": SCRIPT})
    upstream.commit_files(
        {"train_gpt.py": b"other\n", "records/a/train_gpt.py": SCRIPT, "records/a/kernels.py": KERNELS}
    )
    logs = {f"records/{name}.txt": make() for name, make in LAYOUTS.items()}
    upstream.commit_files(logs)
    upstream.add_record("2026-01-01_file", "file", "records/a/train_gpt.py", FILES | {"kernels.py": sha256(KERNELS)})
    for name in LAYOUTS:
        extra = {"triton_kernels.py": sha256(KERNELS)} if name in ("kernels", "two") else {}
        extra |= {"dc_triton_kernels.py": sha256(KERNELS * 2)} if name == "two" else {}
        upstream.add_record(f"2026-01-02_{name}", "log", f"records/{name}.txt", FILES | extra)
    upstream.add_record("2026-01-03_git", "git", f"{old[:8]}:train_gpt.py", FILES)
    upstream.add_record("2026-01-04_none", "none", None, {})
    return upstream


def test_a_clone_and_the_cache_resolve_every_row(upstream: Upstream) -> None:
    filled(upstream)
    for checkout in (upstream.folder, None):
        found = states(upstream, checkout)
        assert [state for state, _ in found.values()] == ["resolved"] * 6 + ["none"]
        assert found["tiny/4"][1] == "2 files, out of its log"
        assert found["tiny/5"][1] == "3 files, out of its log"
        assert found["tiny/7"][1] == "it was never published"
    assert [path.name for path in (cache_folder() / "upstream").iterdir() if path.is_dir()] == ["somebody--upstream"]


def test_a_plain_tree_resolves_all_but_what_is_in_git_only(upstream: Upstream, tmp_path: Path) -> None:
    filled(upstream)
    plain = tmp_path / "plain"
    shutil.copytree(upstream.folder, plain, ignore=shutil.ignore_patterns(".git"))
    found = states(upstream, plain)
    assert [state for state, _ in found.values()] == ["resolved"] * 5 + ["in git only", "none"]
    assert "plain tree" in found["tiny/6"][1]
    done = speedrun(upstream, "replay", "--original", "--plan", "--checkout", str(plain))
    assert "5 found and verified, 1 never published, 1 in git only, 0 broken" in done.stdout
    assert done.returncode == 0


def test_the_files_that_are_handed_out_have_the_right_bytes(upstream: Upstream) -> None:
    filled(upstream)
    rows = {row.record: row for row in resolve_all(Catalog(upstream.project), upstream.folder)}
    assert rows["tiny/2"].files == {"train_gpt.py": SCRIPT}
    assert rows["tiny/3"].files == {"train_gpt.py": SCRIPT}
    assert rows["tiny/4"].files == {"train_gpt.py": SCRIPT, "triton_kernels.py": KERNELS}
    three = {"train_gpt.py": SCRIPT, "triton_kernels.py": KERNELS, "dc_triton_kernels.py": KERNELS * 2}
    assert rows["tiny/5"].files == three


def broken(upstream: Upstream, checkout: Path | None = None) -> str:
    [(state, said)] = states(upstream, checkout or upstream.folder).values()
    assert state == "broken"
    return said


def test_a_wrong_hash_is_named_and_nothing_is_handed_out(upstream: Upstream) -> None:
    upstream.commit_files({"records/x.txt": LAYOUTS["printed"]().replace(b"a script", b"a cheat")})
    upstream.add_record("2026-01-01_x", "log", "records/x.txt", FILES)
    assert "has sha256" in broken(upstream)
    [row] = resolve_all(Catalog(upstream.project), upstream.folder)
    assert row.files == {}


def test_a_vanished_commit_is_named(upstream: Upstream) -> None:
    upstream.commit_files({"train_gpt.py": SCRIPT})
    upstream.add_record("2026-01-01_x", "file", "train_gpt.py", FILES)
    upstream.add_record("2026-01-01_y", "file", "train_gpt.py", FILES, commit="0123456789" * 4)
    for checkout, said in (
        (upstream.folder, "012345678901: is not a commit in upstream, so that is not a clone of somebody/upstream"),
        (None, "012345678901: is not a commit of somebody/upstream as it was cloned here"),
    ):
        found = states(upstream, checkout)
        assert found["tiny/1"][0] == "resolved"
        assert found["tiny/2"][0] == "broken"
        assert said in found["tiny/2"][1]


@pytest.mark.parametrize("path", ["../secret.py", "/etc/passwd", "a/../../b"])
def test_a_path_outside_the_repository_is_refused(upstream: Upstream, path: str) -> None:
    upstream.commit_files({"train_gpt.py": SCRIPT})
    upstream.add_record("2026-01-01_x", "file", path, FILES)
    assert "outside the repository" in broken(upstream)


def test_a_link_is_refused_in_git_and_in_a_plain_tree(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_bytes(SCRIPT)
    (upstream.folder / "train_gpt.py").symlink_to(tmp_path / "elsewhere.py")
    (upstream.folder / "folder").symlink_to(tmp_path)
    upstream.commit_files({})
    upstream.add_record("2026-01-01_x", "file", "train_gpt.py", FILES)
    assert "link" in broken(upstream)
    shutil.rmtree(upstream.folder / ".git")
    assert "link" in broken(upstream)


def test_a_file_that_the_record_does_not_name_is_refused(upstream: Upstream) -> None:
    upstream.commit_files({"records/x.txt": LAYOUTS["kernels"]()})
    upstream.add_record("2026-01-01_x", "log", "records/x.txt", FILES)
    digest = sha256(KERNELS)[:12]
    assert f"its log embeds triton_kernels.py ({digest}), which the record does not name" in broken(upstream)


def test_a_refusal_says_of_every_file_what_was_expected_and_found(upstream: Upstream) -> None:
    # The name between dashes on one line is no separator: one file with another hash, and none of the kernels.
    text = SCRIPT.decode() + f"\n\n{'-' * 40} # triton_kernels.py {'-' * 40}\n\n" + KERNELS.decode()
    upstream.commit_files({"records/x.txt": log_of({"train_gpt.py": text.encode()})})
    upstream.add_record("2026-01-01_x", "log", "records/x.txt", FILES | {"triton_kernels.py": sha256(KERNELS)})
    said = broken(upstream)
    found, wanted = sha256(text.encode())[:12], sha256(SCRIPT)[:12]
    assert f"train_gpt.py has sha256 {found}, the record says {wanted}" in said
    assert f"triton_kernels.py ({sha256(KERNELS)[:12]}) is not where the record says" in said


MERGED = {"train_gpt.py": SCRIPT + b"print('refined')\n", "triton_kernels.py": KERNELS}


def with_merged(upstream: Upstream) -> Upstream:
    """A record whose log proves one script, while another stood on master; the program went on since."""
    upstream.commit_files({"records/x.txt": log_of({"train_gpt.py": SCRIPT})})
    upstream.commit_files(MERGED)
    upstream.add_record("2026-01-01_x", "log", "records/x.txt", FILES, time_s=60.0, merged=MERGED)
    upstream.commit_files({"train_gpt.py": b"the next record\n"})
    return upstream


def test_the_merged_script_is_what_a_record_is_run_with_and_its_original_is_asked_for(upstream: Upstream) -> None:
    with_merged(upstream)
    catalog = Catalog(upstream.project)
    record = catalog.record("tiny/1")
    source = source_of(upstream.folder)
    merged, original = (catalog.published_script(record, source, original=o) for o in (False, True))
    assert (merged.merged, dict(merged.files)) == (True, {name: sha256(text) for name, text in MERGED.items()})
    assert (original.merged, dict(original.files)) == (False, FILES)
    assert {*catalog.chains()} == {merged.chain, original.chain}
    assert decisive.official_sha256(catalog, record) == merged.chain
    whose = "the claimed time is that of the merged script, which is another"
    usual, proven = (plan.plan(catalog, record, which=w, checkout=upstream.folder) for w in ("usual", "original"))
    assert (usual.script, whose in usual.loss_only) == ("merged", False)
    assert (proven.script, whose in proven.loss_only) == ("original", True)
    assert whose not in usual.compared and usual.compared.endswith("; no loss of this script is known")
    usual = dataclasses.replace(usual, loss_only=())
    assert usual.compared == "time only: no loss of this script is known"
    assert proven.compared.startswith(f"neither time nor loss: {whose}; ")
    of_steps = dataclasses.replace(
        record, claimed=dataclasses.replace(record.claimed, train_time_s=None, val_loss=3.27)
    )
    assert dataclasses.replace(usual, record=of_steps).compared == "loss only: the record claims no time"
    for wanted, kind in ((False, "merged"), (True, "original")):
        assert arms.find(catalog, catalog.find("tiny"), original=wanted, checkout=upstream.folder).kind == kind
    old, new = codediff.sides(catalog, "tiny/1", "tiny/1", source)
    assert (codediff.described(old)[-10:], codediff.described(new)[-8:]) == ("(original)", "(merged)")
    assert codediff.between(old, new).size == "+2 −0 lines of code"


def test_a_clone_of_the_cache_has_the_merged_scripts_as_well_once_all_were_asked_for(upstream: Upstream) -> None:
    with_merged(upstream)
    catalog = Catalog(upstream.project)
    assert [row.state for row in resolve_all(catalog, None)] == ["resolved"]
    assert catalog.published_script(catalog.record("tiny/1"), source_of(None, allow_network=False)).merged


def test_a_plain_tree_gives_the_merged_script_only_while_it_stands_there(upstream: Upstream, tmp_path: Path) -> None:
    with_merged(upstream)
    plain = tmp_path / "plain"
    shutil.copytree(upstream.folder, plain, ignore=shutil.ignore_patterns(".git"))
    catalog = Catalog(upstream.project)
    with pytest.raises(StoreError, match=r"a plain tree of another commit; name a clone"):
        catalog.published_script(catalog.record("tiny/1"), source_of(plain), given=True)
    (plain / "train_gpt.py").write_bytes(MERGED["train_gpt.py"])
    assert catalog.published_script(catalog.record("tiny/1"), source_of(plain), given=True).merged


def test_a_log_whose_source_was_taken_out_is_said_to_be_so(upstream: Upstream) -> None:
    text = f"[source removed: 9 bytes, sha256 {'0' * 64}]\n{'=' * 100}\nx\n{'=' * 100}\n"
    upstream.commit_files({"records/x.txt": text.encode()})
    upstream.add_record("2026-01-01_x", "log", "records/x.txt", FILES)
    assert "placeholder" in broken(upstream)


@pytest.mark.parametrize("kind", ["an empty folder", "another repository"])
def test_a_checkout_of_something_else_is_one_error(upstream: Upstream, tmp_path: Path, kind: str) -> None:
    filled(upstream)
    other = tmp_path / "other"
    other.mkdir()
    if kind == "another repository":
        (other / "train_gpt.py").write_bytes(SCRIPT)
        subprocess.run(["git", "init", "--quiet", str(other)], check=True)
    what = "clone" if kind == "another repository" else "copy"
    with pytest.raises(StoreError, match=f"this is not a {what} of somebody/upstream") as error:
        resolve_all(Catalog(upstream.project), other)
    assert len(error.value.problems) == 1
    line, environment = command(upstream, "replay", "tiny/1", "--original", "--plan", "--checkout", str(other))
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.search(r"(not a clone|not a copy) of somebody/upstream", done.stderr)


def test_without_a_network_the_way_to_a_checkout_is_named(upstream: Upstream) -> None:
    upstream.commit_files({"train_gpt.py": SCRIPT})
    upstream.add_record("2026-01-01_x", "file", "train_gpt.py", FILES)
    shutil.rmtree(upstream.folder)
    for arguments in (("--original", "--plan"), ("tiny/1", "--original")):
        line, environment = command(upstream, "replay", *arguments)
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "with --checkout DIR; `speedrun replay --original --plan --checkout DIR` says what" in done.stderr


def test_a_plan_downloads_nothing_and_says_what_is_not_here(upstream: Upstream, tmp_path: Path) -> None:
    filled(upstream)
    line, environment = command(upstream, "replay", "tiny/4", "--original", "--plan")
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 files: not here yet, so not read; somebody/upstream is cloned first" in done.stdout
    assert not [path for path in (tmp_path / "cache").glob("**/*") if path.is_dir() and "somebody" in path.name]
    assert not (tmp_path / "cache" / "speedrun" / "originals").exists()
    there = subprocess.run(
        [*line, "--checkout", str(upstream.folder)], env=environment, capture_output=True, text=True, check=False
    )
    assert there.returncode == 0, there.stderr
    assert "2 files, verified" in there.stdout


def test_an_upstream_that_is_not_there_is_one_error_and_leaves_nothing(upstream: Upstream) -> None:
    upstream.commit_files({"train_gpt.py": SCRIPT})
    upstream.add_record("2026-01-01_x", "file", "train_gpt.py", FILES)
    shutil.rmtree(upstream.folder)
    with pytest.raises(StoreError, match="cannot be cloned"):
        resolve_all(Catalog(upstream.project), None)
    assert not [path for path in (cache_folder() / "upstream").iterdir() if path.is_dir()]
    with pytest.raises(StoreError, match="never cloned here"):
        source_of(None, allow_network=False)("somebody/upstream")


def speedrun(upstream: Upstream, *arguments: str) -> subprocess.CompletedProcess[str]:
    line, environment = command(upstream, *arguments)
    return warm.speedrun(*line[3:], cwd=ROOT, env=environment)


def command(upstream: Upstream, *arguments: str) -> tuple[list[str], dict[str, str]]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(upstream.project.root), "PYTHONPATH": str(ROOT)}
    environment |= {name: os.environ[name] for name in ("XDG_CACHE_HOME", "SPEEDRUN_UPSTREAM")}
    return [sys.executable, "-m", "harness", "--root", str(upstream.project.root), *arguments], environment


def test_the_table_is_printed_and_only_a_broken_row_fails_it(upstream: Upstream) -> None:
    filled(upstream)
    asked = ("replay", "--original", "--plan", "--checkout", str(upstream.folder))
    done = speedrun(upstream, *asked)
    assert done.returncode == 0, done.stderr
    assert "6 found and verified, 1 never published, 0 broken" in done.stdout
    (upstream.folder / "records" / "leads.txt").write_text("nothing\n")
    upstream.add_record("2026-01-05_gone", "file", "nowhere.py", FILES)
    done = speedrun(upstream, *asked)
    assert done.returncode == 1
    assert "1 broken" in done.stdout


def test_a_full_disk_during_the_clone_is_named_and_leaves_nothing(upstream: Upstream) -> None:
    upstream.commit_files({"train_gpt.py": SCRIPT, "large.bin": os.urandom(1 << 20)})
    upstream.git("config", "--unset", "uploadpack.allowFilter")  # the whole history comes
    upstream.add_record("2026-01-01_x", "file", "train_gpt.py", FILES)
    line, environment = command(upstream, "replay", "--original", "--plan")
    limited = ["bash", "-c", 'ulimit -f 64; exec "$@"', "bash", *line]  # 64 KiB a file
    done = subprocess.run(limited, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cannot be cloned" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in (cache_folder() / "upstream").iterdir() if path.is_dir()]


def test_a_killed_clone_leaves_nothing_that_looks_like_one(upstream: Upstream) -> None:
    upstream.commit_files({"train_gpt.py": SCRIPT, "large.bin": os.urandom(64 << 20)})
    upstream.git("config", "--unset", "uploadpack.allowFilter")
    upstream.add_record("2026-01-01_x", "file", "train_gpt.py", FILES)
    line, environment = command(upstream, "replay", "--original", "--plan")
    process = subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    aside = cache_folder() / "upstream" / ".somebody--upstream.new"
    while process.poll() is None and not aside.exists():
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (cache_folder() / "upstream" / "somebody--upstream").exists()
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not aside.exists()
