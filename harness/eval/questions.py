"""What is asked of a model, cut into pieces that take seconds on a GPU and a minute on a CPU.

Each question has a key that follows from all that decides its answer but the model and the machine, so that answers of
an evaluation that was killed are found again, and those to other questions are not.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import DatasetError
from harness.core.task import Track
from harness.dataset import fetching, held_out
from harness.dataset.progress import Progress
from harness.dataset.shard import DOCUMENT_START, HEADER_BYTES, count_tokens, highest_id
from harness.eval.byte_pairs import Tokenizer
from harness.eval.hellaswag import Choice, Item, Style, choices_of
from harness.store.files import sha256_file

LOSS_TOKENS = 1 << 14  # of one question, or one row
ITEMS_AT_ONCE = 32  # of HellaSwag; some 10,000 tokens
GPT2_COLUMNS = DOCUMENT_START + 1


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A stretch from the beginning of a file of tokens."""

    path: Path
    name: str
    sha256: str
    tokens: int  # that are predicted; one more is read


@dataclass(frozen=True, slots=True)
class Sampling:
    """How text is drawn behind a prompt."""

    prompts: tuple[str, ...] = ()
    count: int = 64
    temperature: float = 1.0
    top_k: int | None = 50  # None: all tokens
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user wants to know of a model."""

    style: Style | None = None  # of HellaSwag; None: not asked
    items: int | None = None  # of HellaSwag, the first ones; None: all
    files: tuple[TokenFile, ...] = ()
    sampling: Sampling = Sampling()
    int8: bool = False
    columns: int = GPT2_COLUMNS  # that logits need at least
    start_column: int = DOCUMENT_START  # of the token that begins a document


@dataclass(frozen=True, slots=True)
class Question:
    """One question to the model, as `asking` answers it."""

    asks: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Return what its answer is kept under; where a file lies does not matter."""
        decisive = {name: value for name, value in self.asks.items() if name != "path"}
        digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
        return f"{self.asks['question']}:{digest[:24]}"


# ------------------------------------------------------------------------------------------------ loss


def token_file(path: Path, limit: int | None, columns: int) -> TokenFile:
    """Describe the first `limit` tokens of a file of tokens, or all; raises DatasetError where it is none.

    columns: of the model, of which the last is the token that begins a document.
    """
    if not path.is_file():
        raise DatasetError.at(path, "is no file", "name files of tokens, like those that `speedrun fetch` lists")
    count = count_tokens(path, name=str(path)) - 1
    used = count if limit is None else min(limit, count)
    if used < 1:
        raise DatasetError.at(path, "holds one token, so there is none to predict", "give a longer file")
    highest = highest_id(path, used + 1, name=str(path))
    if highest >= columns - 1:
        what = f"holds the id {highest:,}; the model knows those below {columns - 1:,} and {DOCUMENT_START:,}"
        raise DatasetError.at(path, what, "give a file of tokens of the same tokenizer")
    return TokenFile(path.resolve(), path.name, sha256_file(path), used)


def validation_file(track: Track, *, allow_network: bool, progress: Progress | None = None) -> TokenFile:
    """Have the track's validation shard here and describe its official tokens; raises DatasetError and StoreError."""
    tokens = 1 if track.data.source == "synthetic" else 0
    shard = fetching.fetch_for(track, tokens, allow_network=allow_network, progress=progress)
    stretch = held_out.official(track, shard.paths[0])
    return TokenFile(stretch.path, stretch.path.name, shard.receipt.shards[0].sha256, stretch.tokens)


def planned_file(track: Track) -> TokenFile:
    """Describe the track's official tokens without looking at any file, for a plan."""
    name = track.data.val_pattern % 0
    return TokenFile(Path(name), name, "", track.validation_tokens)


def loss_questions(file: TokenFile, row_tokens: int) -> list[Question]:
    """Cut a stretch into questions of whole rows; what is left at its end is a shorter row."""
    size = max(1, LOSS_TOKENS // row_tokens) * row_tokens
    return [
        Question(
            {
                "question": "loss",
                "path": str(file.path),
                "sha256": file.sha256,
                "offset_bytes": HEADER_BYTES + 2 * first,
                "tokens": min(size, file.tokens - first),
                "row_tokens": row_tokens,
            }
        )
        for first in range(0, file.tokens, size)
    ]


# ------------------------------------------------------------------------------------------------ HellaSwag


@dataclass(frozen=True, slots=True)
class Group:
    """Some items of about the same length, asked together."""

    question: Question
    choices: tuple[tuple[Choice, ...], ...]  # of each item
    labels: tuple[int, ...]


def groups_of(items: Sequence[Item], style: Style, tokenizer: Tokenizer, row_tokens: int) -> list[Group]:
    """Group items by their length, so that little is asked for nothing; the same items give the same groups."""
    made = [(choices_of(item, style, tokenizer, row_tokens), item.label) for item in items]
    made.sort(key=lambda one: max(len(choice.tokens) for choice in one[0]))
    groups = []
    for first in range(0, len(made), ITEMS_AT_ONCE):
        choices = tuple(one for one, _ in made[first : first + ITEMS_AT_ONCE])
        labels = tuple(label for _, label in made[first : first + ITEMS_AT_ONCE])
        flat = [choice for one in choices for choice in one]
        asks = {"question": "choices", "rows": [list(c.tokens) for c in flat], "scored": [c.scored for c in flat]}
        groups.append(Group(Question(asks), choices, labels))
    return groups


# ------------------------------------------------------------------------------------------------ sampling


def sample_question(prompt: str, sampling: Sampling, tokenizer: Tokenizer) -> Question:
    """Ask for tokens behind a prompt, as behind the beginning of a document."""
    return Question(
        {
            "question": "sample",
            "tokens": [tokenizer.end, *tokenizer.encode(prompt)],
            "count": sampling.count,
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "seed": sampling.seed,
        }
    )
