"""Bad input: each is one message with path, line where there is one, what is wrong and what to do; nothing is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.catalog.manifests import load_manifest
from harness.catalog.tracks import load_track, load_tracks
from harness.core import yamlfile
from harness.core.errors import DatasetError, HarnessError, ManifestError, TrackError, YamlError
from harness.dataset import shard
from tests.faults.projects import HONEST, ROOT, Small, make_project


@pytest.fixture
def project(tmp_path: Path) -> Small:
    return make_project(tmp_path / "project")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def cut(path: Path, key: str) -> None:
    """Take away everything from a key on."""
    text = path.read_text()
    assert key in text
    path.write_text(text.partition(key)[0])


def lock(folder: Path, files: str) -> None:
    (folder / "manifest.lock").write_text(f"schema: 1\nfiles:\n  {files}\n")


# What is done to an honest submission, the line that must be named (0: the file), and words of the message.
MANIFESTS: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "missing key": (lambda f: edit(f / "manifest.yaml", "title: a test\n", ""), 1, "`title` is missing"),
    "unknown key": (
        lambda f: edit(f / "manifest.yaml", "claim: ml", "claim: ml\nval_loss: 3.1"),
        7,
        "the key `val_loss` is unknown; remove it (known here: claim, contributors, entry",
    ),
    "key twice": (lambda f: edit(f / "manifest.yaml", "claim: ml", "claim: ml\nclaim: ml"), 7, "'claim' appears twice"),
    "wrong type": (lambda f: edit(f / "manifest.yaml", "['@somebody']", "somebody"), 5, "it must be a list"),
    "wrong schema": (
        lambda f: edit(f / "manifest.yaml", "schema: 1", "schema: 3"),
        1,
        "schema 3 is unknown; this harness",
    ),
    "wrong claim": (lambda f: edit(f / "manifest.yaml", "claim: ml", "claim: fast"), 6, "one of ml, systems"),
    "no script": (lambda f: (f / "train_gpt.py").unlink(), 9, "is not in the folder"),
    "a link": (
        lambda f: ((f / "train_gpt.py").unlink(), (f / "train_gpt.py").symlink_to("/etc/passwd")),
        9,
        "is a link",
    ),
    "path outside": (
        lambda f: edit(f / "manifest.yaml", "  train_gpt.py:", "  ../train_gpt.py:"),
        9,
        "is '../train_gpt.py'; it must be a plain file name",
    ),
    "absolute path": (
        lambda f: edit(f / "manifest.yaml", "entry: train_gpt.py", "entry: /etc/passwd"),
        7,
        "is '/etc/passwd'; it must be a plain file name",
    ),
    "files in schema 2": (lambda f: edit(f / "manifest.yaml", "schema: 1", "schema: 2"), 9, "stands in manifest.lock"),
    "no frozen files": (lambda f: cut(f / "manifest.yaml", "files:"), 1, "there is no manifest.lock beside it"),
    "another lock": (lambda f: lock(f, f"train_gpt.py: {'1' * 64}"), 9, "`files` contradicts manifest.lock"),
    "an empty lock": (lambda f: lock(f, ""), 0, "`files` is null; it must be a mapping"),
    "a hash of the lock": (lambda f: lock(f, "train_gpt.py: 0"), 0, "`files['train_gpt.py']` is 0; it must be 64 hex"),
    "a lock of the future": (lambda f: (f / "manifest.lock").write_text("schema: 2\nfiles: {}\n"), 0, "reads schema 1"),
    "a lock that is a link": (lambda f: (f / "manifest.lock").symlink_to("/etc/passwd"), 0, "is a symbolic link"),
    "a lock that leads nowhere": (lambda f: (f / "manifest.lock").symlink_to("nothing"), 0, "is a symbolic link"),
    "other track's rules": (lambda f: edit(f / "manifest.yaml", "tiny@1", "short@1"), 3, "is not a ruleset of tiny"),
    "unknown ruleset": (lambda f: edit(f / "manifest.yaml", "tiny@1", "tiny@9"), 0, "known rulesets: tiny@1"),
    "unknown track": (lambda f: [edit(f / "manifest.yaml", "tiny", "none") for _ in range(2)], 0, "known tracks: tiny"),
    "anchors": (lambda f: edit(f / "manifest.yaml", "title: a test", "title: &a a test"), 4, "anchors"),
    "a tag": (
        lambda f: edit(f / "manifest.yaml", "title: a test", "title: !!python/name:os.system a"),
        4,
        "not allowed",
    ),
    "an escape": (lambda f: edit(f / "manifest.yaml", "title: a test", 'title: "\\e[2Ja"'), 4, "control characters"),
    "not UTF-8": (lambda f: (f / "manifest.yaml").write_bytes(b"schema: 1\ntitle: \xff\n"), 2, "not valid UTF-8"),
    "empty": (lambda f: (f / "manifest.yaml").write_text(""), 0, "the file is empty"),
    "too large": (lambda f: (f / "manifest.yaml").write_text("a: " + "x" * 300_000), 0, "keep it below"),
    "too deep": (lambda f: (f / "manifest.yaml").write_text("a: " + "[" * 5000), 1, "nested deeper"),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_bad_manifest_is_one_message_and_exit_status_2(project: Small, case: str) -> None:
    damage, line, words = MANIFESTS[case]
    folder = project.submit(HONEST)
    damage(folder)
    done = project.run("pack", str(folder))  # `run` would freeze a changed script anew before its first run
    assert done.returncode == 2, done.stderr
    [message] = [text for text in done.stderr.splitlines() if words in text]
    assert message.startswith("speedrun: ")
    assert "; " in message
    if line:
        assert f"manifest.yaml:{line}: " in message
    assert not (project.root / ".runs").exists()


def test_a_number_of_a_pull_request_is_one_and_belongs_to_a_submission(project: Small) -> None:
    done = project.run("accept", "--withdraw", "tiny/1", "--why", "a reason", "--pull-request", "7")
    assert done.returncode == 2 and "belongs to one submission" in done.stderr
    for number in ("0", "x", "7\n", "1234567890"):
        done = project.run("accept", "submissions/x", "--pull-request", number)
        assert done.returncode == 2 and "is no number of a pull request" in done.stderr


def test_all_problems_of_a_manifest_come_at_once(project: Small) -> None:
    folder = project.submit(HONEST)
    for old, new in (("schema: 1", "schema: 3"), ("claim: ml", "claim: maybe"), ("title: a test", "title: ''\nx: 1")):
        edit(folder / "manifest.yaml", old, new)
    with pytest.raises(ManifestError) as caught:
        load_manifest(folder)
    assert len(caught.value.problems) == 4


TRACKS = {
    "metric: steps": ("metric: beauty", "one of train_time, steps"),
    "target_loss: 3.0": ("target_loss: .nan", "a finite number"),
    "target_loss: 3.0 ": ("target_loss: -1", "above 0"),
    "id: tiny@1": ("id: small@1", "tiny@ and a number"),
    "test: t, alpha: 0.01": ("test: t", "needs `alpha`"),
    "test: t, alpha: 0.01, ": ("test: guess, ", "one of t, closed-form, sequential"),
    "evidence: [logs": (
        "evidence: [hope",
        "`rulesets[0].evidence[0]` is 'hope'; it must be one of logs, script, seeds",
    ),
    "kind: any": ("kind: toaster", "one of gpu, any"),
    "train_pattern: tiny_train_%06d.bin": ("train_pattern: tiny", "a file name with %06d"),
    "dry: [num_iterations=2]": ("dry: [num_iterations]", "`dry[0]` is 'num_iterations'; it must be name=value"),
    "name: tiny": ("name: other", "make them equal"),
    "allowed: []": ("allowed: [any hardwear]", "is 'any hardwear'; it must be one of any hardware, any compile flags"),
    "forbidden: []": ("forbidden: [flags]", "is 'flags'; it must be one of inductor-config, compile-options"),
    "rulesets:": ("timed_alike: [[tiny@1, tiny@7]]\nrulesets:", "there is no ruleset 'tiny@7'"),
    "alpha: 0.01": ("alpha: 0.01, bounds: [[9, 3, 1.0]]", "n from 9 to 3 is not a range"),
}


@pytest.mark.parametrize("old", TRACKS)
def test_a_bad_track_names_the_line(project: Small, old: str) -> None:
    new, words = TRACKS[old]
    edit(project.root / "tracks" / "tiny.yaml", old.strip(" ") if old.endswith("0 ") else old, new)
    with pytest.raises(TrackError) as caught:
        load_track(project.root / "tracks", "tiny")
    assert any(words in str(p) and str(p).startswith("tracks/tiny.yaml") for p in caught.value.problems), caught.value


def test_the_tracks_of_the_project_can_be_read() -> None:
    tracks = load_tracks(ROOT / "tracks")
    assert set(tracks) == {"short", "medium", "optimization", "smoke"}
    assert tracks["short"].target_loss == 3.28
    assert tracks["medium"].target_loss == 2.92
    assert {t.validation_tokens for n, t in tracks.items() if n != "smoke"} == {10_485_760}
    assert [r.id for r in tracks["short"].rulesets] == ["short@1", "short@2", "short@3", "short@4"]


def test_rulesets_that_time_the_same_sections_are_named_beside_them() -> None:
    short = load_tracks(ROOT / "tracks")["short"]
    first, second, third, _ = short.rulesets
    assert short.times_alike(second, third)
    assert short.times_alike(third, second)
    assert short.times_alike(first, first)
    assert not short.times_alike(first, second)
    assert not short.times_alike(dataclasses.replace(second, untimed_steps=10), third)


def test_a_bad_key_and_a_broken_rule_across_keys_show_both(project: Small) -> None:
    folder = project.submit(HONEST)
    edit(folder / "manifest.yaml", "ruleset: tiny@1", "ruleset: short@1")
    edit(folder / "manifest.yaml", "claim: ml", "claim: 7")
    edit(folder / "manifest.yaml", "entry: train_gpt.py", "entry: other.py")
    (folder / "train_gpt.py").write_text("changed")
    with pytest.raises(ManifestError) as caught:
        load_manifest(folder)
    said = [problem.what for problem in caught.value.problems]
    assert len(said) == 4
    for words in ("`claim` is 7", "short@1 is not a ruleset of tiny", "other.py is not in the folder", "has sha256"):
        assert any(words in what for what in said), words


def test_a_new_track_is_a_new_file_and_no_code(project: Small) -> None:
    """The track of these tests is one that the harness has never heard of."""
    done = project.run("run", str(project.submit(HONEST)), "--plan")
    assert done.returncode == 0
    assert "a track of the tests" in done.stdout


def shard_bytes(count: int = 64) -> bytes:
    import numpy as np

    tokens = np.arange(count, dtype=np.uint16)
    tokens[0] = shard.DOCUMENT_START
    return shard.to_bytes(tokens)


SHARDS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "short": (lambda b: b[:-2], "its header promises"),
    "long": (lambda b: b + b"\0\0", "its header promises"),
    "odd bytes": (lambda b: b + b"\0", "its header promises"),
    "shorter than its header": (lambda b: b[:100], "less than its header"),
    "empty": (lambda b: b"", "less than its header"),
    "wrong magic": (lambda b: b"\1\0\0\0" + b[4:], "not a token shard"),
    "wrong version": (lambda b: b[:4] + b"\7\0\0\0" + b[8:], "version 7"),
    "negative count": (lambda b: b[:8] + b"\xff\xff\xff\xff" + b[12:], "its header promises"),
    "an id out of range": (lambda b: b[:-2] + b"\x51\xc4", "50257"),
    "no document start": (lambda b: b[:1024] + b"\0\0" + b[1026:], "no document start"),
}


@pytest.mark.parametrize("case", SHARDS)
def test_a_damaged_shard_is_refused(tmp_path: Path, case: str) -> None:
    damage, words = SHARDS[case]
    path = tmp_path / "shard.bin"
    path.write_bytes(damage(shard_bytes()))
    with pytest.raises(DatasetError, match=words):
        shard.check_tokens(path)


def test_a_good_shard_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "shard.bin"
    path.write_bytes(shard_bytes(64))
    assert shard.check_tokens(path) == 64
    assert list(shard.read_tokens(path)[:3]) == [50256, 1, 2]


@pytest.mark.parametrize(
    "raw", [b"a: 1\n- b\n", b"a: b: c\n", b"- 1\n", b"a: 2026-13-45\n", b"? [x]\n: y\n", b"a: *x\n", b"\0"]
)
def test_malformed_yaml_is_an_error_of_ours(raw: bytes) -> None:
    with pytest.raises(YamlError):
        yamlfile.parse(raw, "file.yaml")


def test_an_unknown_record_is_one_sentence(project: Small) -> None:
    for name in ("short/12", "nothing", "../../etc/passwd", "\x1b[2J"):
        done = project.run("run", name)
        assert done.returncode == 2
        assert "\x1b" not in done.stderr
        assert done.stderr.count("\n") == 1


def test_outside_of_a_project_the_remedy_is_named(tmp_path: Path) -> None:
    project = Small(tmp_path)
    (tmp_path / "home").mkdir()
    done = project.run("board", "--check")
    assert done.returncode == 2
    assert "tracks/" in done.stderr


def test_errors_are_never_empty() -> None:
    with pytest.raises(ValueError, match="at least one"):
        HarnessError()
