"""The comparison of scripts with originals: it says what it needs, compares a pair, and names a line that breaks."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.replay.upstream import Upstream, make_upstream, sha256

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "benchmarks" / "equivalence.py"

TRAINING = """
tokens = np.fromfile("data/fineweb10B/fineweb_train_000001.bin", dtype="<u2", offset=1024).astype(np.int64)
tokens = torch.from_numpy(tokens)[: args.sequence_length + 1]
x, y = tokens[:-1], tokens[1:]
for step in range(args.num_iterations + 1):
    val_loss = F.cross_entropy(model(x), y)
    print(f"step:{step}/{args.num_iterations} val_loss:{val_loss:.4f} train_time:0ms")
    val_loss.backward()
    optimizer.step()
    optimizer.zero_grad()
"""
ORIGINAL = (
    """import os
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn


@dataclass
class Hyperparameters:
    num_iterations : int = 3242 # steps
    sequence_length : int = 1024
    batch_size : int = 8*64


args = Hyperparameters()
assert torch.cuda.is_available()
dist.init_process_group(backend='nccl')
device = f'cuda:{int(os.environ["LOCAL_RANK"])}'
torch.cuda.set_device(device)
model = nn.Sequential(nn.Embedding(50304, 16), nn.Linear(16, 48, bias=False), nn.Linear(48, 50304, bias=False))
model = torch.compile(model.cuda().bfloat16())
optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
"""
    + TRAINING
)
OURS = (
    """import sys
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Hyperparameters:
    num_iterations: int = 3242
    sequence_length: int = 1024
    vocab_size: int = 50_304


class Net(nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.embed = nn.Embedding(rows, 16)
        self.q, self.k, self.v = (nn.Linear(16, 16, bias=False) for _ in range(3))
        self.out = nn.Linear(48, rows, bias=False)

    def forward(self, x):
        x = self.embed(x)
        return self.out(torch.cat([self.q(x), self.k(x), self.v(x)], dim=-1))


args = Hyperparameters(**{name: int(value) for name, _, value in (a.partition("=") for a in sys.argv[1:])})
model = Net(args.vocab_size)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
"""
    + TRAINING
)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False)


@pytest.fixture(scope="module")
def equivalence() -> Any:
    spec = importlib.util.spec_from_file_location("equivalence", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def add_script(upstream: Upstream, name: str, slug: str, text: str) -> None:
    folder = upstream.project.records / "tiny" / slug / "script"
    folder.mkdir()
    (folder / "train_gpt.py").write_text(text)
    told = f"schema: 1\norigin: reimplementation\nof: {name}\nentry: train_gpt.py\n"
    (folder / "script.yaml").write_text(f"{told}files:\n  train_gpt.py: {sha256(text.encode())}\n")


def test_without_a_checkout_it_says_what_it_needs(tmp_path: Path) -> None:
    for arguments in ((), (tmp_path / "nowhere",)):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert "git clone https://github.com/KellerJordan/modded-nanogpt" in done.stderr


def test_a_pair_is_compared_and_an_original_that_breaks_is_named_by_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first original asks for a GPU as the real ones do; the second one breaks in a way that nothing exchanges."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    upstream = make_upstream(tmp_path)
    broken = ORIGINAL.replace("optimizer = ", "raise ValueError('\\x1b[31m| @somebody')\noptimizer = ")
    upstream.commit_files({"records/b/train_gpt.py": broken.encode(), "records/a/train_gpt.py": ORIGINAL.encode()})
    for letter, text in (("b", broken), ("a", ORIGINAL)):
        slug = f"2026-01-01_{letter}"
        files = {"train_gpt.py": sha256(text.encode())}
        name = upstream.add_record(slug, "file", f"records/{letter}/train_gpt.py", files)
        add_script(upstream, name, slug, OURS)
    table, figures = tmp_path / "table.md", tmp_path / "table.json"
    done = run(upstream.folder, "--project", upstream.project.root, "--markdown", table, "--json", figures)
    first, second = json.loads(figures.read_text())
    assert first["state"] == "broken"
    line = broken[: broken.index("raise ValueError")].count("\n") + 1
    assert f"the original broke: line {line}, `raise ValueError(" in first["remark"]
    assert "\x1b" not in done.stdout + table.read_text(), "what an original says cannot colour a terminal"
    assert "?[31m| @somebody" in done.stdout
    assert "| @somebody" not in table.read_text()
    assert (second["state"], second["steps"]) == ("compared", 14), second
    assert second["largest"] < 1e-5
    assert second["losses"][0][0] > second["losses"][-1][0] + 0.1, "they did train"
    assert re.search(r"^tiny/2 +14 +\S+ +\S+$", done.stdout, re.M), done.stdout + done.stderr
    assert "1 of 1 within 0.002; 1 could not be compared" in done.stdout
    assert done.returncode == 1
    assert "| tiny/2 | 14 |" in table.read_text()


def test_runs_count_only_with_equal_weights_and_all_losses(equivalence: Any) -> None:
    losses = {step: 5.0 - step / 10 for step in range(15)}
    later = losses | {9: losses[9] + 0.25}
    row = equivalence.judged("x", (later, ["a"]), (losses, ["a"]), [])
    assert (row.state, row.at_start, row.largest) == ("compared", 0.0, pytest.approx(0.25))
    not_a_number = equivalence.judged("x", (losses | {3: float("nan")}, ["a"]), (losses, ["a"]), [])
    assert not_a_number.largest == float("inf")
    for ours, original in (
        ((losses, ["a"]), (losses, ["b"])),
        (({0: 5.0}, ["a"]), (losses, ["a"])),
        (({0: 5.0}, ["a"]), ({0: 5.0}, ["a"])),
    ):
        assert equivalence.judged("x", ours, original, []).state == "broken"


def test_an_exchange_keeps_the_lines_of_an_original(equivalence: Any) -> None:
    sizes = equivalence.sizes_of(ORIGINAL)
    text, remarks = equivalence.small_original(ORIGINAL + "\ny = flex_attention(q, k, v)\n", sizes)
    assert text.count("\n") == ORIGINAL.count("\n") + 2
    assert remarks == [f"dense mask for FlexAttention (line {ORIGINAL.count(chr(10)) + 2})"]
    assert "cuda" not in text.replace(".cuda()", "").replace("torch.cuda", "")
    for setting in ("num_iterations : int = 14", "sequence_length : int = 128", "batch_size : int = 4 "):
        assert setting in text


@pytest.mark.skipif(os.name != "posix", reason="process groups")
def test_a_program_that_does_not_end_is_ended(
    equivalence: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is one second here, and no load can make an endless loop end earlier."""
    monkeypatch.setattr(equivalence, "LIMIT_S", 1)
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "train_gpt.py").write_text("while True: pass\n")
    with pytest.raises(RuntimeError, match="it ran for more than 1 s"):
        equivalence.run(folder, folder / "train_gpt.py", {})
