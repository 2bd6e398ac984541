"""Write what evaluations of a record's trained models found, for its page and for a terminal.

The files come by pull request: every text in them is escaped by whoever shows these figures.
"""

from collections.abc import Callable, Sequence

from harness.board.markdown import cell, line
from harness.machine.computer import describe
from harness.store.evals import WAYS, EvalResult, HellaSwag, Variant

_NAMES = {"summed": "HellaSwag, summed", "per_token": "HellaSwag, per token", "per_byte": "HellaSwag, per byte"}
STYLES = {"completion": "in completion style", "lm-eval": "in the style of lm-eval"}


def figures(result: EvalResult) -> list[tuple[str, list[str]]]:
    """Return the figures of a result by name, each with one text for every form of the weights."""
    variants = result.variants
    rows: list[tuple[str, list[str]]] = []
    if variants[0].hellaswag is not None:
        rows += [(_NAMES[way], [_share(variant.hellaswag, way) for variant in variants]) for way in WAYS]
    files = [f"loss on {one.file}, {one.tokens:,} tokens" for one in variants[0].losses]
    rows += [(name, [_loss(variant, place) for variant in variants]) for place, name in enumerate(files)]
    if any(variant.weights_bytes is not None for variant in variants):
        in_bf16 = "" if result.weights_count is None else f" ({_mb(2 * result.weights_count)} in bf16)"
        rows.append((f"size of the weights{in_bf16}", _each(variants, lambda one: one.weights_bytes, _mb)))
    if any(variant.tokens_per_s is not None for variant in variants):
        rows.append(("tokens/s", _each(variants, lambda one: one.tokens_per_s, lambda speed: f"{speed:,.0f}")))
    return rows


def headings(result: EvalResult) -> list[str]:
    """Return what stands above the figures: the forms of the weights."""
    return [variant.weights_in for variant in result.variants]


def origin(result: EvalResult) -> str:
    """Say in a sentence what was evaluated, where and by whom; texts of the file stand in it as they are."""
    run = f"of the run {result.run}" if result.run is not None else "of no run that is known"
    items = next((one.hellaswag for one in result.variants if one.hellaswag is not None), None)
    how = ""
    if items is not None:
        part = "" if items.items == items.of else f"the first {items.items:,} of "
        how = f" HellaSwag {STYLES[items.style]}, {part}{items.of:,} items, file {items.sha256[:12]}."
    by = "" if result.by is None else f" by {result.by}"
    place = "a GPU" if result.device == "cuda" else "a CPU"
    return (
        f"{result.date}{by}, on {place} ({describe(result.machine)}); weights {str(result.weights.sha256)[:12]} {run}, "
        f"{confinement(result.tier)}.{how}"
    )


def confinement(tier: str) -> str:
    """Say how a model was confined."""
    return "not confined" if tier == "none" else f"confined by {tier}"


def section(results: Sequence[EvalResult]) -> list[str]:
    """Write the part of a record's page about its trained models; nothing where there are no results."""
    if not results:
        return []
    lines = ["## What a trained model is worth", ""]
    for result in results:
        lines += [cell(origin(result)), "", line(["", *headings(result)])]
        lines.append(line(["---", *("--:" for _ in result.variants)]))
        lines += [line([cell(name), *map(cell, values)]) for name, values in figures(result)]
        lines.append("")
    said = "Evaluations are the word of whoever made them; shares stand with their 95 % interval."
    return [*lines, f"{said} [What they mean](../../docs/eval.md).", ""]


def _each(
    variants: Sequence[Variant], get: Callable[[Variant], float | None], text: Callable[[float], str]
) -> list[str]:
    return ["" if (value := get(variant)) is None else text(value) for variant in variants]


def _share(found: HellaSwag | None, way: str) -> str:
    if found is None:
        return ""
    share, low, high = (100 * value for value in found.share(way))
    return f"{share:.1f} % ({low:.1f} to {high:.1f})"


def _loss(variant: Variant, place: int) -> str:
    return f"{variant.losses[place].loss:.4f}" if place < len(variant.losses) else ""


def _mb(count: float) -> str:
    return f"{count / 1e6:,.1f} MB"
