"""The script inside a log: found, hashed and written out byte for byte, in each layout of the separators."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from harness.core.errors import LogError
from harness.runlog.collection import extract
from harness.runlog.reader import read_bytes
from harness.runlog.source import embed, embedded_files

SEPARATOR = b"=" * 100 + b"\n"
LINES = (
    b"step:0/1 val_loss:10.8258 train_time:0ms step_avg:0.03ms\nstep:1/1 val_loss:3.2 train_time:9ms step_avg:9.00ms\n"
)
SCRIPT = (
    b'"""caf\xc3\xa9 \xff \x00"""\r\nimport torch\n\n# ' + b"=" * 100 + b"\n" + b"=" * 99 + b"\nprint('step:1/2')\n"
)
WRITTEN = b"Running pytorch 2.5.0+cu124 compiled for CUDA 12.4\nnvidia-smi:\n"
PRINTED = b"Running Python 3.12.7 (main)\nRunning PyTorch 2.9.1+cu128 compiled for CUDA 12.8\n"
LOWER = b"Running python 3.12.7 (main)\nRunning pytorch 2.6.0+cu126 compiled for CUDA 12.6\n"
OWN = (
    b"Running Python 3.11.7 (main)\nRunning PyTorch 2.13.0+cpu compiled for CPU\nseed:3\nworld_size:1\nval_tokens:100\n"
)
LOADERS = b"Training DataLoader: total number of tokens: 5 across 1 files\n"
LAYOUTS = {
    "written, leading separator, three": SEPARATOR + SCRIPT + SEPARATOR + WRITTEN + SEPARATOR + LINES,
    "written, leading separator, four": SEPARATOR
    + SCRIPT
    + SEPARATOR
    + WRITTEN
    + SEPARATOR
    + LOADERS
    + SEPARATOR
    + LINES,
    "written, three": SCRIPT + SEPARATOR + WRITTEN + SEPARATOR + LOADERS + SEPARATOR + LINES,
    "printed, three, lower-case python": SCRIPT + b"\n" + SEPARATOR + LOWER + SEPARATOR + LOADERS + SEPARATOR + LINES,
    "printed, two": SCRIPT + b"\n" + SEPARATOR + PRINTED + SEPARATOR + LINES,
    "printed, two, no Python line": SCRIPT + b"\n" + SEPARATOR + PRINTED.split(b"\n", 1)[1] + SEPARATOR + LINES,
    "printed, one": SCRIPT + b"\n" + SEPARATOR + LINES,
    "this project's scripts": SCRIPT + SEPARATOR + OWN + SEPARATOR + LINES,
}


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_script_comes_out_byte_for_byte_with_the_hash_that_the_json_names(layout: str, tmp_path: Path) -> None:
    log = tmp_path / "a.txt"
    log.write_bytes(LAYOUTS[layout])
    assert extract(str(log), tmp_path / "out") == {"train_gpt.py": SCRIPT}
    assert (tmp_path / "out" / "train_gpt.py").read_bytes() == SCRIPT
    (run,) = read_bytes(LAYOUTS[layout], "a.txt")
    assert (run.script_sha256, run.source_origin) == (sha(SCRIPT), "bytes")


def test_the_source_hash_covers_the_raw_bytes_between_the_separators() -> None:
    for layout, added in (("printed, two", b"\n"), ("written, three", b""), ("this project's scripts", b"")):
        (run,) = read_bytes(LAYOUTS[layout], "a.txt")
        assert (run.source_sha256, run.source_bytes) == (sha(SCRIPT + added), len(SCRIPT + added))


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "printed, one"])
def test_a_separator_inside_the_source_does_not_end_it(layout: str) -> None:
    inside = SEPARATOR + b"Running pytorch and more\n" + SEPARATOR + b"step:by step\n"
    script = b'"""\n' + inside + b'"""\n' + SCRIPT
    (run,) = read_bytes(LAYOUTS[layout].replace(SCRIPT, script, 1), "a.txt")
    assert run.script_sha256 == sha(script)
    assert run.torch == read_bytes(LAYOUTS[layout], "a.txt")[0].torch


def test_a_run_in_front_of_another_is_no_part_of_its_source() -> None:
    one = LAYOUTS["printed, two"]
    (run,) = read_bytes(one.replace(b"val_loss:3.2 ", b"val_loss:3.1 ") + one, "a.txt")
    assert (run.script_sha256, [p.kind for p in run.problems]) == (sha(SCRIPT), ["metrics-before-separator"])


def test_extra_parts_come_out_as_files_and_the_script_hash_covers_the_whole(tmp_path: Path) -> None:
    mark = b"\n\n" + b"-" * 40 + b"\n# %s\n" + b"-" * 40 + b"\n\n"
    kernels, more = b"import triton\n\n\n# " + b"-" * 40 + b"\n", b"x = 1"
    source = SCRIPT + mark % b"triton_kernels.py" + kernels + mark % b"dc_triton_kernels.py" + more
    data = source + b"\n" + SEPARATOR + PRINTED + SEPARATOR + LINES
    files = {"train_gpt.py": SCRIPT, "triton_kernels.py": kernels, "dc_triton_kernels.py": more}
    assert embedded_files(data) == files
    assert embed(files) == source
    assert read_bytes(data, "a.txt")[0].script_sha256 == sha(source)


def test_a_placeholder_gives_its_figures_and_nothing_to_extract() -> None:
    digest = sha(b"anything")
    data = f"[source removed: 36872 bytes, sha256 {digest}]\n".encode() + SEPARATOR + PRINTED + SEPARATOR + LINES
    (run,) = read_bytes(data, "a.txt")
    assert (run.source_sha256, run.source_bytes, run.source_origin) == (digest, 36872, "placeholder")
    assert run.script_sha256 is None
    with pytest.raises(LogError, match="placeholder"):
        embedded_files(data)


def test_a_placeholder_with_anything_beside_it_is_ordinary_source() -> None:
    line = f"[source removed: 36872 bytes, sha256 {sha(b'x')}]\n".encode()
    (run,) = read_bytes(line + b"import torch\n" + SEPARATOR + PRINTED + SEPARATOR + LINES, "a.txt")
    assert run.source_origin == "bytes"


def test_a_log_without_source_has_none() -> None:
    for data in (LINES, PRINTED + SEPARATOR + LINES, SEPARATOR + PRINTED + SEPARATOR + LINES):
        (run,) = read_bytes(data, "a.txt")
        assert (run.source_sha256, run.source_bytes, run.source_origin, run.script_sha256) == (None, None, None, None)
        with pytest.raises(LogError, match="embeds no source"):
            embedded_files(data)


@pytest.mark.parametrize(
    "name", [b"../../etc/passwd", b"/etc/passwd", b".hidden", b"a/b.py", b"train_gpt.py", b"\xff.py", b".."]
)
def test_a_hostile_name_of_an_embedded_file_writes_nothing(name: bytes, tmp_path: Path) -> None:
    mark = b"\n\n" + b"-" * 40 + b"\n# " + name + b"\n" + b"-" * 40 + b"\n\n"
    log = tmp_path / "a.txt"
    log.write_bytes(SCRIPT + mark + b"evil\n" + SEPARATOR + PRINTED + SEPARATOR + LINES)
    with pytest.raises(LogError):
        extract(str(log), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.txt"]


def test_extracting_overwrites_nothing_else_and_may_be_repeated(tmp_path: Path) -> None:
    log = tmp_path / "a.txt"
    log.write_bytes(LAYOUTS["printed, two"])
    extract(str(log), tmp_path / "out")
    extract(str(log), tmp_path / "out")
    (tmp_path / "out" / "train_gpt.py").write_bytes(b"mine\n")
    with pytest.raises(LogError, match="something else of this name"):
        extract(str(log), tmp_path / "out")
    assert (tmp_path / "out" / "train_gpt.py").read_bytes() == b"mine\n"


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(LogError, match="not a regular file"):
        extract(str(tmp_path / "a.txt"), tmp_path / "out")
