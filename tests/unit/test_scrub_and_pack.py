"""Packing hides who and where, keeps every figure, and gives the log back byte for byte."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from harness.store.packs import remove_source, restore_source
from harness.store.scrub import Names, scrub, scrub_log

ROOT = Path(__file__).parents[2]
NAMES = Names(home="/home/ada", user="ada", host="node-17.rack")
SCRIPT = b"import os  # /home/ada/secret hf_abcdefghijklmnopqrst\nprint(1)\n"


def test_people_machines_and_tokens_are_hidden() -> None:
    text = (
        b"loading /home/ada/data from /home/grace/x on node-17.rack (10.1.22.3, fe80:0:0:0:1:2:3:4)\n"
        b"token hf_abcdefghijklmnopqrstuv key AKIAABCDEFGHIJKLMNOP mail ada@example.org /scratch/ada/run\n"
    )
    hidden = scrub(text, NAMES)
    for secret in (b"ada", b"grace", b"node-17", b"10.1.22.3", b"fe80", b"hf_", b"AKIA", b"example.org"):
        assert secret not in hidden


def test_figures_and_versions_stay() -> None:
    text = (
        b"step:1390/1390 val_loss:3.2784 train_time:79684ms step_avg:57.33ms\n"
        b"Driver Version: 535.129.03 torch 2.10.0+cu128 Bus 00000000:8D:00.0 10:42:11 3.2.784\n"
    )
    assert scrub(text, NAMES) == text


def test_the_source_is_never_touched_and_comes_back() -> None:
    log = SCRIPT + b"=" * 100 + b"\nfrom /home/ada\nstep:1/1 val_loss:3.0 train_time:1ms step_avg:1.00ms\n"
    scrubbed = scrub_log(log, SCRIPT, NAMES)
    assert scrubbed.startswith(SCRIPT)
    assert b"/home/ada\nstep" not in scrubbed
    packed = remove_source(scrubbed, SCRIPT)
    assert b"import os" not in packed
    assert restore_source(packed, SCRIPT) == scrubbed
    assert restore_source(packed, SCRIPT + b"#") == packed, "another script must not pass for this one"
    size = f"{len(SCRIPT)} bytes".encode()
    other = packed.replace(size, b"1 bytes")
    assert other != packed and restore_source(other, SCRIPT) == other, "the line that stands for it has one form"


def test_scrubbing_twice_changes_nothing() -> None:
    once = scrub(b"at 10.0.0.1 in /home/ada by a@b.cd on node-17.rack\n", NAMES)
    assert scrub(once, NAMES) == once


def test_a_line_of_a_million_letters_costs_no_quadratic_time() -> None:
    """In a process that may use a minute of a core: linear is two seconds, the quadratic form was minutes a letter."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))

    program = (
        "from harness.store.scrub import scrub\nfrom tests.unit.test_scrub_and_pack import NAMES\n"
        "for letter in (b'x', b'1.', b'a:', b'/home/', b'@'): scrub(letter * 1_500_000, NAMES)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, preexec_fn=limit, check=True)
