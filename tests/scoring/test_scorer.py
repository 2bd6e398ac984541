"""Whatever a scorer answers is a clear sentence about it, or none; nothing that it does reaches whoever asks."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.model_score import measuring, serving
from harness.model_score.scorer import BrokeOff, Refused, Scorer

ORDERS = {"silence_limit_s": 60, "columns": 257, "run_id": "20261127T000000Z-test-0000-score"}
BEGIN = "import os, sys, mmap, time\ntokens, logits, replies = map(int, sys.argv[1:4])\n"
READY = BEGIN + "os.write(replies, b'ready 16 257 float32\\n')\n"


def scorer_of(program: str, **orders: Any) -> Scorer:
    environment = {"PATH": os.environ["PATH"], "SPEEDRUN_RUN_ID": ORDERS["run_id"]}
    told = {"command": [sys.executable, "-I", "-c", program], "cwd": "/", "environment": environment}
    return Scorer({**ORDERS, **orders}, told)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (BEGIN + "os.write(replies, b'hello\\n')", "it answers with something else than logits"),
        (BEGIN + "os.write(replies, b'x' * 4096)", "it answers with something else than logits"),
        (BEGIN + "os.write(replies, b'ready 16 257 int64\\n')", "its logits have 257 columns of int64"),
        (BEGIN + "os.write(replies, b'ready 16 256 float32\\n')", "its logits have 256 columns of float32"),
        (BEGIN + "os.write(replies, b'ready 0 257 float32\\n')", "its callable asks for rows of 0 tokens"),
        (BEGIN + "os.write(replies, b'ready 99999 257 float32\\n')", "its callable asks for rows of 99999 tokens"),
        (BEGIN + "os.write(replies, b'ready 65536 65536 float32\\n')", "its logits of one row have 17,179,869,184 bytes"),
        (BEGIN + "sys.exit('\\x1b[31mno weights')", r"it ended with \x1b[31mno weights"),
        (BEGIN + "raise ValueError('bad file')", "it ended with ValueError: bad file"),
        (BEGIN + "sys.exit(0)", "it ended with exit code 0"),
        (READY + "sys.stdin.readline(); os.write(replies, b'no\\n')", "it answers with something else than logits"),
    ],
)  # fmt: skip
def test_what_a_script_does_wrong_is_said_in_a_clause(program: str, said: str) -> None:
    scorer = scorer_of(program)
    try:
        with pytest.raises(Refused) as refused:
            scorer.begin()
        assert said in str(refused.value)
    finally:
        scorer.end()


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import time; time.sleep(1000)", "it gave no answer for 0.2 s"),
        ("import os; os.kill(os.getpid(), 9)", "it was ended by signal 9"),
        ("raise MemoryError", "it had too little memory"),
        ("class OutOfMemoryError(Exception): ...\nraise OutOfMemoryError('CUDA')", "it had too little memory"),
    ],
)
def test_a_scorer_that_is_killed_or_hangs_says_nothing_of_its_script(program: str, said: str) -> None:
    scorer = scorer_of(program, silence_limit_s=0.2 if "sleep" in program else 60)
    try:
        with pytest.raises(BrokeOff) as cause:
            scorer.begin()
        assert str(cause.value) == said
    finally:
        scorer.end()


def test_the_shared_memory_cannot_be_made_smaller_under_its_reader(tmp_path: Path) -> None:
    note = tmp_path / "note"
    program = (
        READY + f"sys.stdin.readline()\ntry:\n os.ftruncate(logits, 0)\nexcept OSError as e:\n open({str(note)!r}, 'w')"
    )
    scorer = scorer_of(program + ".write(e.strerror)\nos.write(replies, b'done\\n')\nsys.stdin.read()")
    try:
        scorer.begin()
        assert note.read_text() == "Operation not permitted"
        assert len(bytes(scorer.memory[1])) == scorer.rows * 16 * 257 * 4
    finally:
        scorer.end()


def test_nothing_that_a_scorer_started_outlives_it(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    program = (
        BEGIN
        + f"if os.fork() == 0:\n os.setsid()\n open({str(note)!r}, 'w').write(str(os.getpid()))\n time.sleep(1000)\n"
    )
    scorer = scorer_of(program + "time.sleep(1000)")
    while not (note.exists() and note.read_text()):
        time.sleep(0.01)
    scorer.end()
    stat = Path(f"/proc/{note.read_text()}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_finite_logits_whose_losses_are_not_are_refused() -> None:
    torch = pytest.importorskip("torch")
    logits = torch.full((1, 1, 257), 3e38)
    logits[0, 0, 5] = -3e38
    orders = {"start_id": 50256, "start_column": 256}
    assert float(measuring.loss_of(logits, torch.tensor([[6]]), orders)) == pytest.approx(0.0, abs=10)
    with pytest.raises(Refused, match="no finite numbers"):
        measuring.loss_of(logits, torch.tensor([[5]]), orders)


def test_where_memory_of_a_gpu_cannot_be_opened_the_logits_come_through_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Elsewhere:
        """Memory with a handle that no driver knows; this machine may have no driver at all."""

        handle, freed = "00" * 64, False

        def __init__(self, size: int) -> None:
            assert size == (1 << 14) * 257 * 4

        def free(self) -> None:
            Elsewhere.freed = True

    monkeypatch.setattr("harness.model_score.scorer.DeviceMemory", Elsewhere)
    script = tmp_path / "train_gpt.py"
    script.write_text(
        "import torch\n"
        "def load(path):\n"
        "    def model(tokens): return torch.nn.functional.one_hot(tokens, 257).float()\n"
        "    model.sequence_tokens = 16\n"
        "    return model\n"
    )
    scorer = scorer_of(Path(serving.__file__).read_text().replace("sys.argv[1]", repr(str(script)), 1).replace(
        "sys.argv[2]", "'no weights'").replace("sys.argv[3:6]", "sys.argv[1:4]"))  # fmt: skip
    try:
        scorer.begin()
        assert scorer.device is None and Elsewhere.freed
        logits = scorer.logits(torch.arange(32).view(2, 16))
        assert logits.argmax(-1).flatten().tolist() == list(range(32))
    finally:
        scorer.end()


def test_only_a_handle_can_be_answered_with_the_host() -> None:
    scorer = scorer_of(READY + "sys.stdin.readline(); os.write(replies, b'host\\n')")
    try:
        with pytest.raises(Refused):
            scorer.begin()
    finally:
        scorer.end()
