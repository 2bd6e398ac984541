"""What an evaluation of a trained model found: records/<track>/<slug>/evals/<date>_<machine>/eval.json.

Add-only; nothing is replaced. The files come by pull request and keep no logs, so they are the word of whoever made
them. They hold counts and sums; every share and interval is computed from those when it is read.
"""

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from harness.core import stats
from harness.core.codec import Form
from harness.core.constraints import Commit, Count, Line, Loss, Positive, Several, Sha256, Size, Text
from harness.core.errors import Problem, StoreError, raise_if, read_all
from harness.core.measurement import Machine, Tier
from harness.core.scores import Weights
from harness.store.files import disk_error, temporary_folder, write_atomic
from harness.store.replays import take_free_name
from harness.store.scrub import own_names, scrub

EVALS, EVAL = "evals", "eval.json"
WAYS = ("summed", "per_token", "per_byte")  # to compare the endings of an item


@dataclass(frozen=True, slots=True)
class TokenLoss:
    """The mean loss over a stretch from the beginning of a file of tokens."""

    file: Line
    sha256: Sha256  # of the whole file
    tokens: Count  # that were predicted
    loss: Loss  # nats per token


@dataclass(frozen=True, slots=True)
class HellaSwag:
    """How many items were answered rightly, by each way to compare their endings."""

    style: Literal["completion", "lm-eval"]
    items: Count
    of: Count  # that the file holds
    summed: Size
    per_token: Size
    per_byte: Size
    cut: Size  # endings whose context did not fit into a row
    sha256: Sha256  # of the file of items
    revision: Commit | None

    def share(self, way: str) -> tuple[float, float, float]:
        """Return the share of right answers by one of WAYS, and the ends of its 95 % interval."""
        hits: int = getattr(self, way)
        return (hits / self.items, *stats.share_interval(hits, self.items))


@dataclass(frozen=True, slots=True)
class Variant:
    """The figures of the model with its weights in one form."""

    weights_in: Literal["as loaded", "int8"]
    weights_bytes: Count | None  # None: nobody asked
    tokens_per_s: Positive | None  # of the forward pass, as the model's own process says
    losses: tuple[TokenLoss, ...]
    hellaswag: HellaSwag | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalResult:
    """One checkpoint, evaluated."""

    script: Line  # "records/short/2024-11-03_untie-embed", or what people called the file
    script_sha256: Sha256  # of the entry, or of all files together where it has several
    weights: Weights
    run: Line | None  # that saved the weights, where it is known
    date: Annotated[str, Text("a date like 2026-07-17", r"\d{4}-\d{2}-\d{2}")]
    by: Line | None
    machine: Machine
    device: Literal["cpu", "cuda"]
    tier: Tier
    row_tokens: Count
    weights_count: Count | None  # None: nobody asked
    variants: Several[Variant]


EVAL_FORM = Form(EvalResult, "json", (1,))


def add_eval(record_folder: Path, result: EvalResult) -> Path:
    """Store an evaluation beside its record, under a name that is free; the folder appears whole or not at all.

    What names this machine or its user is taken out of `by` and of the names of files.
    """
    names = own_names()

    def clean(text: str) -> str:
        return scrub(text.encode(), names).decode()

    def cleaned(variant: Variant) -> Variant:
        losses = tuple(dataclasses.replace(one, file=clean(one.file)) for one in variant.losses)
        return dataclasses.replace(variant, losses=losses)

    by = None if result.by is None else clean(result.by)
    result = dataclasses.replace(result, by=by, variants=tuple(map(cleaned, result.variants)))
    name = f"{result.date}_{result.machine.fingerprint[:8]}"
    parent = record_folder / EVALS
    try:
        with temporary_folder(parent / name) as aside:
            write_atomic(aside / EVAL, EVAL_FORM.text(result))
            return take_free_name(aside, parent / name)
    except OSError as error:
        raise disk_error(parent, error) from error
    finally:
        with contextlib.suppress(OSError):
            parent.rmdir()  # only where it was made for nothing


def read_evals(record_folder: Path) -> list[tuple[Path, EvalResult]]:
    """Return all evaluations of a record, by date; raises StoreError with every problem of their files."""
    parent = record_folder / EVALS
    name = f"{record_folder.parent.name}/{record_folder.name}/{EVALS}"

    def read(folder: Path) -> tuple[Path, EvalResult]:
        return folder, _read(folder / EVAL, f"{name}/{folder.name}/{EVAL}")

    # A name with a dot is of one that is being stored, or was killed while it was.
    folders = (f for f in sorted(parent.iterdir()) if not f.name.startswith(".")) if parent.is_dir() else ()
    return read_all(read, folders, StoreError)


def _read(path: Path, name: str) -> EvalResult:
    result = EVAL_FORM.read(path, name=name)
    raise_if(
        (
            Problem(name, f"has {getattr(found, way):,} right answers to {found.items:,} items", "evaluate again")
            for variant in result.variants
            if (found := variant.hellaswag) is not None
            for way in WAYS
            if getattr(found, way) > found.items
        ),
        StoreError,
    )
    return result
