"""The items of HellaSwag: a context with four endings, of which the model should find the true one most likely.

Two conventions are in use, and both are here; their figures for OpenAI's GPT-2 124M are the published ones:

    completion  context and endings as they stand, a space between; the field's: 28.6 % summed, 29.6 % per token
    lm-eval     as the lm-evaluation-harness: the activity before the context, marks of WikiHow removed, the second half
                of the context with a capital letter: 28.9 % summed, 31.1 % per byte

An ending counts as chosen when its log-likelihood is the largest of the four: summed over its tokens, divided by their
number, or divided by the bytes of its text. The lm-evaluation-harness divides by characters, which are bytes in ASCII.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.core.errors import DatasetError
from harness.eval.byte_pairs import Tokenizer

Style = Literal["completion", "lm-eval"]
STYLES: tuple[Style, ...] = ("completion", "lm-eval")
COLUMNS = ("activity_label", "ctx_a", "ctx_b", "ctx", "endings", "label")
ENDINGS = 4
AGAIN = "remove it and fetch it again: speedrun fetch hellaswag"


@dataclass(frozen=True, slots=True)
class Item:
    """One item as it is stored."""

    activity: str
    first: str  # of the context: up to the last whole sentence
    second: str  # … and the beginning of the next one, where there is one
    context: str  # both
    endings: tuple[str, ...]
    label: int  # which ending is true


@dataclass(frozen=True, slots=True)
class Choice:
    """One ending behind its context, as tokens."""

    tokens: tuple[int, ...]  # the last ones that fit into a row, and one more
    scored: int  # so many of them, from the end, are the ending's
    bytes: int  # of the ending's text
    cut: bool  # whether its beginning did not fit


def read_items(path: Path) -> list[Item]:
    """Read the items of a parquet file; raises DatasetError where it is none of HellaSwag, or with the row that is bad."""
    try:
        import pandas
        import pyarrow
    except ImportError:
        todo = "install the eval extra: pip install '.[eval]'"
        raise DatasetError.at("pandas or pyarrow", "is not installed", todo) from None
    try:
        table = pandas.read_parquet(path, engine="pyarrow", columns=list(COLUMNS))
    except (OSError, ValueError, KeyError, pyarrow.ArrowException) as error:
        said = " ".join(str(error).split())[:120]
        raise DatasetError.at(path, f"is no table of HellaSwag ({said})", AGAIN) from None
    items = [_item(row, path, number) for number, row in enumerate(table.itertuples(index=False), start=1)]
    if not items:
        raise DatasetError.at(path, "holds no items", AGAIN)
    return items


def _item(row: object, path: Path, number: int) -> Item:
    values = {name: getattr(row, name) for name in COLUMNS}
    texts = [values[name] for name in ("activity_label", "ctx_a", "ctx_b", "ctx")]
    endings = tuple(values["endings"]) if values["endings"] is not None else ()
    sound = all(isinstance(text, str) for text in (*texts, *endings)) and len(endings) == ENDINGS and all(endings)
    # The hub's copy has the label as text, that of the authors as a number.
    if not sound or str(values["label"]) not in map(str, range(ENDINGS)):
        what = f"row {number} is no item with {ENDINGS} endings and the label of one of them"
        raise DatasetError.at(path, what, AGAIN)
    activity, first, second, context = texts
    return Item(activity, first, second, context, endings, int(values["label"]))


def texts_of(item: Item, style: Style) -> tuple[str, tuple[str, ...]]:
    """Return the context and the endings as a convention writes them; a space belongs between the two."""
    if style == "completion":
        return item.context, item.endings
    context = f"{item.activity}: {item.first} {item.second.capitalize()}"
    return _without_marks(context), tuple(map(_without_marks, item.endings))


def _without_marks(text: str) -> str:
    """Remove what WikiHow's pages left: "[title]" ends a sentence, other marks in brackets are nothing."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


def choices_of(item: Item, style: Style, tokenizer: Tokenizer, row_tokens: int) -> tuple[Choice, ...]:
    """Return the four endings behind their context; of what is longer than a row the beginning is left out."""
    context, endings = texts_of(item, style)
    made = []
    for ending in endings:
        before, after = _encoded(context, f" {ending}", style, tokenizer)
        tokens = (*before, *after)[-(row_tokens + 1) :]
        # Of an ending that fills a row alone, the first token that is left has nothing before it.
        scored = min(len(after), len(tokens) - 1)
        made.append(Choice(tokens, scored, len(ending.encode()), len(tokens) < len(before) + len(after)))
    return tuple(made)


def _encoded(context: str, ending: str, style: Style, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the tokens of a context and of an ending; before an empty context stands the end of a text."""
    if style == "lm-eval":  # spaces at the end of the context belong to the ending, and both are encoded in one piece
        whole, context = context + ending, context.rstrip()
        before = tokenizer.encode(context)
        return before or [tokenizer.end], tokenizer.encode(whole)[len(before) :]
    return tokenizer.encode(context) or [tokenizer.end], tokenizer.encode(ending)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Whether the true ending of one item was chosen, by each of the three ways to compare."""

    summed: bool
    per_token: bool
    per_byte: bool


def judge(losses: Sequence[float], choices: Sequence[Choice], label: int) -> Chosen:
    """Say what the summed losses (nats) of the four endings choose; of equal ones the first is taken."""

    def best(divisors: Sequence[int]) -> bool:
        values = [loss / divisor for loss, divisor in zip(losses, divisors, strict=True)]
        return values.index(min(values)) == label

    return Chosen(
        best([1] * len(losses)),
        best([choice.scored for choice in choices]),
        best([max(1, choice.bytes) for choice in choices]),
    )
