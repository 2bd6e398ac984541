"""Name in one word why a run broke, from how it ended and from its last lines.

The lines are the script's own, so a label is a hint to its author and decides nothing.
"""

import re

from harness.core.measurement import RunOutcome

# The first that fits counts. The texts are those of Python and torch 2.x.
_SIGNS = (
    ("out_of_memory", r"OutOfMemoryError|out of memory|MemoryError|can't allocate memory"),
    ("syntax", r"\b(SyntaxError|IndentationError|TabError):"),
    ("import", r"\b(ModuleNotFoundError|ImportError):"),
    (
        "shape",
        r"size mismatch|shapes? cannot be multiplied|must match the size of tensor|shape '?\[.*\]'? is invalid"
        r"|mat1 and mat2|Sizes of tensors must match|The expanded size of the tensor|not broadcastable"
        r"|inconsistent tensor size",
    ),
    ("nan", r"\b(nan|NaN)\b|FloatingPointError|non-finite"),
    ("data", r"\b(FileNotFoundError|StopIteration)\b"),
    ("assertion", r"\bAssertionError\b"),
)


def label_of(outcome: RunOutcome, lines: tuple[str, ...]) -> str:
    """Name why a run did not finish: one of the labels of docs/agents.md; "error" where none fits."""
    if outcome.state == "hung":
        return "hang"
    if outcome.state == "lost":
        return "lost"
    text = "\n".join(lines)
    for label, sign in _SIGNS:
        if re.search(sign, text):
            return label
    return "killed" if outcome.reason is not None and "SIGKILL" in outcome.reason else "error"
