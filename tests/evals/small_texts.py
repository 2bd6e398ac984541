"""A small tokenizer and a few items in the form of the real files, a hub that serves them, and a model known by hand."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np

from harness.dataset.shard import DOCUMENT_START, to_bytes
from harness.eval import sources
from harness.launch import vocabulary
from tests.faults.small_hub import Hub

ROOT = Path(__file__).resolve().parents[2]
MERGES = ["t h", "th e", "Ġ the", "Ġ a", "i n", "in g", "Ġ s", "o n", "Ġ r", "Ġr o", "o f", "Ġro of"]
ROWS = 24  # tokens of a row of the model
COLUMNS = DOCUMENT_START + 1

# As the authors wrote them; the third has marks of WikiHow, the last one a context that is longer than a row.
ITEMS = [
    {
        "activity_label": "Roof shingle removal",
        "ctx_a": "A man is sitting on a roof.",
        "ctx_b": "he",
        "ctx": "A man is sitting on a roof. he",
        "endings": ["is on a thing.", "rips level tiles off.", "sings.", "starts pulling up roofing on a roof."],
        "label": "3",
        "source_id": "activitynet~v_1",
    },
    {
        "activity_label": "Singing",
        "ctx_a": "The thing sings",
        "ctx_b": "",
        "ctx": "The thing sings",
        "endings": ["in the roof.", "on.", "off the roof, on and on and on.", "aloud."],
        "label": "0",
        "source_id": "activitynet~v_2",
    },
    {
        "activity_label": "Home",
        "ctx_a": "[header] How to sing [title] Sit on a roof.",
        "ctx_b": "",
        "ctx": "[header] How to sing [title] Sit on a roof.",
        "endings": ["[step] Sing.", "[step] The roof sings  on.", "Go in.", "Rest."],
        "label": "1",
        "source_id": "wikihow~3",
    },
    {
        "activity_label": "Home",
        "ctx_a": "on and on and on and on and on and on and on and on",
        "ctx_b": "and",
        "ctx": "on and on and on and on and on and on and on and on and",
        "endings": ["on", "off", "in", "a café"],
        "label": "0",
        "source_id": "wikihow~4",
    },
]


def tokenizer_files() -> dict[str, bytes]:
    """The merges and the ids, named as the hub names them."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = [*map(chr, printable), *(chr(256 + i) for i in range(len(others)))]
    pieces = [*letters, *(merge.replace(" ", "") for merge in MERGES), "<|endoftext|>"]
    ids = {piece: id for id, piece in enumerate(pieces)}
    merges = "#version: 0.2\n" + "".join(f"{merge}\n" for merge in MERGES)
    return {"merges.txt": merges.encode(), "vocab.json": json.dumps(ids).encode()}


def items_file(items: list[dict[str, object]] = ITEMS) -> bytes:
    """The items as the hub's copy holds them: parquet, a label that is text, and columns that nobody reads."""
    import pyarrow
    import pyarrow.parquet

    rows = [
        {"ind": number, "split": "val", "split_type": "indomain", **item} for number, item in enumerate(items, start=1)
    ]
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    return file.getvalue()


class TextHub(Hub):
    """A hub that serves the small files under the real names; of the tokenizer's it gives no sha256, as the real one."""

    repositories = ("openai-community/gpt2", "Rowan/hellaswag")

    def __init__(self) -> None:
        super().__init__({**tokenizer_files(), Path(sources.ITEMS.name).name: items_file()})
        self.git_keeps = set(tokenizer_files())


@contextlib.contextmanager
def small_pins() -> Iterator[None]:
    """Demand the small tokenizer's files instead of GPT-2's."""
    files = tokenizer_files()
    hashes = [hashlib.sha256(files[name]).hexdigest() for name in ("merges.txt", "vocab.json")]
    with mock.patch.object(vocabulary, "FILES", dict(zip(vocabulary.FILES, hashes, strict=True))):
        yield


# ------------------------------------------------------------------------------------------------ a model

SCRIPT = f'''"""A table of pairs of tokens, of rank 8; it learned nothing."""
import sys
import torch
from torch import nn

SETTINGS = {{"save": None}}


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding({COLUMNS}, 8)
        self.head = nn.Linear(8, {COLUMNS}, bias=False)


def load(path):
    model = Model()
    model.load_state_dict(torch.load(path, weights_only=True))

    def logits(tokens):
        return model.head(model.table(tokens))

    logits.sequence_tokens = {ROWS}
    return logits
'''


def weights() -> tuple[np.ndarray, np.ndarray]:
    """The table (V, 8) and the head (V, 8)."""
    random = np.random.default_rng(5)
    return random.normal(size=(COLUMNS, 8)).astype("f4"), random.normal(size=(COLUMNS, 8)).astype("f4")


def write_model(folder: Path, script: str = SCRIPT) -> Path:
    """Write script and weights into a folder; returns the weights."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train_gpt.py").write_text(script)
    table, head = (torch.from_numpy(matrix) for matrix in weights())
    torch.save({"table.weight": table, "head.weight": head}, folder / "model.pt")
    return folder / "model.pt"


def losses_of(tokens: list[int], table: np.ndarray, head: np.ndarray) -> np.ndarray:
    """The loss of every token but the first, nats, by hand."""
    logits = (table[tokens[:-1]] @ head.T).astype("f8")
    highest = logits.max(1)
    return highest + np.log(np.exp(logits - highest[:, None]).sum(1)) - logits[range(len(tokens) - 1), tokens[1:]]


def write_tokens(path: Path, count: int = 101) -> list[int]:
    """Write a file of tokens; returns them."""
    ids = np.random.default_rng(9).integers(0, 268, count, dtype=np.uint16)
    ids[::40] = DOCUMENT_START
    path.write_bytes(to_bytes(ids))
    return [int(id) for id in ids]


def make_project(root: Path) -> Path:
    """A project with the real tracks and no record."""
    shutil.copytree(ROOT / "tracks", root / "tracks")
    return root
