"""Show an evaluation: what it would do, how far it is, and what it found."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time

from harness.board import eval_section
from harness.core.text import plural, printable
from harness.eval.checkpoints import Checkpoint
from harness.eval.evaluation import Evaluated
from harness.eval.questions import Asked
from harness.store.evals import WAYS, EvalResult
from harness.ui import console

LINE_EVERY_S = 20.0


def say_checkpoint(checkpoint: Checkpoint) -> None:
    """Say which weights are evaluated, by which script."""
    script, weights = checkpoint.script, checkpoint.weights
    run = "" if checkpoint.run is None else f", of the run {checkpoint.run}"
    known = f"the script of {_record(checkpoint)}" if script.record is not None else "of no record, and trusted by you"
    console.say(f"weights  {checkpoint.path.name}: {weights.bytes / 1e6:,.1f} MB, {str(weights.sha256)[:12]}{run}")
    console.say(f"script   {script.name} ({script.chain[:12]}), {known}")


def say_plan(checkpoint: Checkpoint, asked: Asked, tier: str, missing: list[str]) -> None:
    """Print what would be asked of a model, on stdout."""
    forms = "as it is loaded, then with weights in int8" if asked.int8 else "as it is loaded"
    lines = [f"model      {checkpoint.path.name} of {checkpoint.script.name}, {forms}", f"confined   {tier}"]
    for file in asked.files:
        lines.append(f"loss       {file.tokens:,} tokens of {file.name}")
    if asked.style is not None:
        some = "all items" if asked.items is None else f"the first {asked.items:,} items"
        lines.append(f"HellaSwag  {some} {eval_section.STYLES[asked.style]}")
    sampling = asked.sampling
    for prompt in sampling.prompts:
        top = "all tokens" if sampling.top_k is None else f"the {sampling.top_k} most likely tokens"
        how = f"temperature {sampling.temperature:g}, {top}, seed {sampling.seed}"
        lines.append(f"sample     {sampling.count} tokens behind {prompt[:40]!a}; {how}")
    lines += [f"fetch      {name}" for name in missing]
    for text in lines:
        console.say(text)


def say_result(found: Evaluated) -> None:
    """Print figures and samples."""
    result = found.result
    rows = eval_section.figures(result)
    if rows:
        width = min(120, shutil.get_terminal_size().columns)
        for text in (result.script, *textwrap.wrap(printable(eval_section.origin(result)), width), ""):
            console.say(text)
        _say_table([("", eval_section.headings(result)), *rows])
    for sample in found.samples:
        end = "; the model ended it" if sample.ended else ""
        console.say(f"\n[{sample.weights_in}, {sample.tokens} tokens{end}]")
        console.say(sample.prompt + sample.text)


def _say_table(rows: list[tuple[str, list[str]]]) -> None:
    widths = [max(len(printable(name)) for name, _ in rows)]
    widths += [max(len(values[i]) for _, values in rows) for i in range(len(rows[0][1]))]
    for name, values in rows:
        cells = [printable(name).ljust(widths[0])]
        cells += [value.rjust(width) for value, width in zip(values, widths[1:], strict=True)]
        console.say("  " + "  ".join(cells).rstrip())


def as_data(found: Evaluated) -> dict[str, object]:
    """Return a result for programs: all that a file holds, shares and intervals, and the samples."""
    from harness.core import codec

    data = codec.encode(found.result)
    for stored, variant in zip(data["variants"], found.result.variants, strict=True):
        if variant.hellaswag is not None:
            for way in WAYS:
                share, low, high = variant.hellaswag.share(way)
                stored["hellaswag"][f"{way}_share"] = {"share": share, "low": low, "high": high}
    return {**data, "samples": codec.encode(found.samples)}


def may_be_stored(result: EvalResult) -> bool:
    """Tell whether a result says enough to stand beside a record: figures, and no part of HellaSwag alone."""
    part = any(one.hellaswag is not None and one.hellaswag.items < one.hellaswag.of for one in result.variants)
    return bool(eval_section.figures(result)) and not part


class Progress:
    """Shows how far an evaluation is: a status line on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty()
        self.spoken = time.monotonic()
        self.part: tuple[str, str] | None = None
        self.began, self.first = self.spoken, 0

    def loaded(self, row_tokens: int, device: str, tier: str, kept: int) -> None:
        """Say that the model is loaded."""
        place = "a GPU" if device == "cuda" else "a CPU"
        console.say(f"model    loaded on {place}, {eval_section.confinement(tier)}; rows of {row_tokens:,} tokens")
        if kept:
            console.say(f"resumed  {plural(kept, 'answer')} of an earlier start of this command kept")

    def answered(self, weights_in: str, what: str, done: int, of: int, figure: str) -> None:
        """Say how far one part is, and what it shows so far."""
        now = time.monotonic()
        if self.part != (weights_in, what):
            self.part, self.began, self.first = (weights_in, what), now, done
        line = f"{what} ({weights_in})  {done:,} of {of:,}  {figure}"
        if done < of and done > self.first:
            line += f"  ETA {(now - self.began) / (done - self.first) * (of - done):,.0f} s"
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write("\r\x1b[K" + printable(line)[:width] + ("\n" if done == of else ""))
            sys.stderr.flush()
        elif done == of or now - self.spoken > LINE_EVERY_S:
            self.spoken = now
            console.say(line)


def _record(checkpoint: Checkpoint) -> str:
    record = checkpoint.script.record
    assert record is not None
    return f"{record.track}/{record.slug}"
