"""Ask a confined scorer for logits and compute losses from them: the half that holds the targets.

    python -I -c "… measuring.main()"      the orders come as JSON on standard input, the result goes to standard output

A process of its own, because torch is at home in the interpreter of the run and not in that of the harness; beside it
only the standard library is imported, and the harness's list of processes. The scorer that is given changed rows is
another process than the one that was given the rows as they are, with folders of its own, so that none can know what the
other saw.
"""

import contextlib
import ctypes
import json
import math
import mmap
import os
import random
import signal
import sys
from collections.abc import Iterator
from typing import Any

from harness.model_score.scorer import BrokeOff, Refused, Scorer, end_all

BLOCK_TOKENS = 1024  # losses are averaged over so many consecutive tokens before texts are compared


def read_text(told: dict[str, Any]) -> Any:
    """Return the tokens of a stretch and the one behind it, shape (n + 1,), int64."""
    import torch

    with open(told["path"], "rb") as file:
        shard = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        raw = bytearray(shard[told["offset_bytes"] : told["offset_bytes"] + 2 * (told["tokens"] + 1)])
    if len(raw) != 2 * (told["tokens"] + 1):
        raise BrokeOff(f"{told['tokens']:,} tokens and one more are not in the text that was given")
    return torch.frombuffer(raw, dtype=torch.int16).to(torch.int64) & 0xFFFF


def loss_of(logits: Any, targets: Any, orders: dict[str, Any]) -> Any:
    """Return the loss of every token, nats, shape (R, C), float32, from logits (R, C, V) and the next tokens (R, C).

    Raises Refused where one is not finite.
    """
    import torch

    columns = torch.where(targets == orders["start_id"], orders["start_column"], targets).to(logits.device)
    flat, column = logits.flatten(0, 1), columns.flatten()
    parts = [
        torch.logsumexp(piece.float(), dim=-1) - piece.float().gather(1, index[:, None])[:, 0]
        for piece, index in zip(flat.split(2048), column.split(2048), strict=True)
    ]
    found = torch.cat(parts).cpu().view(targets.shape)
    if not bool(torch.isfinite(found).all()):  # of logits near the largest number; a comparison with NaN finds nothing
        raise Refused("its logits give losses that are no finite numbers")
    return found


def requests_of(count: int, at_once: int) -> list[list[int]]:
    """Group rows so that no two neighbours are asked for together: the first token of a row is a target of the other."""
    apart = math.ceil(count / at_once)
    return [list(range(first, count, apart)) for first in range(apart)]


def losses(scorer: Scorer, text: Any, orders: dict[str, Any]) -> Any:
    """Return the loss of every token of a text but its first, in rows that each begin with no context; shape (n,)."""
    import torch

    length, count = scorer.length, len(text) - 1
    found = torch.empty(count)
    inputs, targets = text[:-1], text[1:]
    whole = count // length
    for rows in requests_of(whole, scorer.rows) if whole else []:
        given = inputs[: whole * length].view(whole, length)[rows]
        answer = loss_of(scorer.logits(given), targets[: whole * length].view(whole, length)[rows], orders)
        found[: whole * length].view(whole, length)[rows] = answer
    if whole * length < count:
        last = slice(whole * length, count)
        found[last] = loss_of(scorer.logits(inputs[None, last]), targets[None, last], orders)[0]
    return found


def twins(scorer: Scorer, text: Any, other: Any, before: Any, orders: dict[str, Any]) -> dict[str, Any] | None:
    """Ask for rows whose tokens behind a random position are of other text, and compare the losses up to there.

    The true next token of that position was never given to this process, so what it says of it, it foresees. Returns
    None where no row has room for a change.
    """

    length = scorer.length
    whole, chance = (len(text) - 1) // length, random.SystemRandom()
    if length < 2 or not whole or len(other) <= length:
        return None
    # So many tests per run whatever the length of rows is, as far as twice the cost of the text allows.
    count = max(1, min(orders["twins"], 2 * (len(text) - 1) // length))
    # The last token that stays, and the row. Where a row is drawn again, more of it stays: what is asked of it, this
    # process has not been given before.
    drawn = sorted((chance.randrange(length - 1), chance.randrange(whole)) for _ in range(count))
    whole_rows, next_tokens = (
        text[:-1][: whole * length].view(whole, length),
        text[1:][: whole * length].view(whole, length),
    )
    shifts, largest, positions = [], 0.0, 0
    for some in once_each(drawn, scorer.rows):
        last, which = [kept for kept, _ in some], [row for _, row in some]
        rows = whole_rows[which].clone()
        for row, kept in zip(rows, last, strict=True):
            start = chance.randrange(len(other) - length)
            row[kept + 1 :] = other[start + kept + 1 : start + length]
        after = loss_of(scorer.logits(rows), next_tokens[which], orders)
        for kept, change in zip(last, after - before[: whole * length].view(whole, length)[which], strict=True):
            largest = max(largest, float(change[: kept + 1].abs().max()))
            shifts.append(float(change[kept]))
            positions += kept + 1
    return {"rows": count, "positions": positions, "largest": largest, "shift": math.fsum(shifts) / len(shifts)}


def once_each(drawn: list[tuple[int, int]], most: int) -> Iterator[list[tuple[int, int]]]:
    """Part draws of (last token that stays, row) into requests of at most so many rows, none of them twice in one."""
    request: list[tuple[int, int]] = []
    for kept, row in drawn:
        if len(request) == most or any(row == other for _, other in request):
            yield request
            request = []
        request.append((kept, row))
    yield request


def blocks(found: Any) -> list[float]:
    """Return the mean loss of every block of consecutive tokens; what is left at the end is dropped."""
    count = len(found) // BLOCK_TOKENS
    means = found[: count * BLOCK_TOKENS].double().view(count, BLOCK_TOKENS).mean(1)
    return [float(mean) for mean in means]


# ---------------------------------------------------------------------------------------------- orders


def measure(orders: dict[str, Any]) -> dict[str, Any]:
    """Score the script's model on both texts, then changed rows in a second process, then the honest model beside it."""
    import torch

    torch.set_num_threads(orders["threads"])
    official, other = read_text(orders["official"]), read_text(orders["other"])
    result: dict[str, Any] = {}
    with session(orders, orders["script"]) as scorer:
        found = losses(scorer, official, orders)
        result |= {"sequence_tokens": scorer.length, "val_loss": float(found.double().mean())}
        elsewhere = losses(scorer, other, orders)
        result |= {"other_loss": float(elsewhere.double().mean()), "blocks": [blocks(found), blocks(elsewhere)]}
    with session(orders, orders["again"]) as scorer:
        if scorer.length != result["sequence_tokens"]:
            raise Refused("its callable asks for rows of another length when it is loaded again")
        result["twins"] = twins(scorer, official, other, found, orders)
    if orders["reference"] is not None:
        try:
            with session(orders, orders["reference"]) as scorer:
                result["reference"] = [blocks(losses(scorer, text, orders)) for text in (official, other)]
        except Refused as refusal:
            raise BrokeOff(f"the model beside it cannot be scored: {refusal}") from None
    return result


@contextlib.contextmanager
def session(orders: dict[str, Any], told: dict[str, Any], kind: type[Scorer] = Scorer) -> Any:
    """Start a confined scorer, wait for its model, and end everything of it afterwards."""
    scorer = kind(orders, told)
    try:
        scorer.begin()
        yield scorer
    finally:
        scorer.end()
        end_all(os.getpid(), orders["run_id"])  # this process reaps what gave itself another parent


def guard_process() -> None:
    """Make this process the reaper of all below it, keep others out of its memory, and let it end with its parent."""
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((36, 1), (4, 0), (1, signal.SIGTERM)):
        libc.prctl(option, value, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def main() -> None:
    """Read the orders, print the result as one JSON object."""
    guard_process()
    orders = json.loads(sys.stdin.buffer.readline())
    try:
        result = measure(orders)
    except Refused as refusal:
        result = {"problem": str(refusal)}
    except BrokeOff as cause:
        result = {"broke_off": str(cause)}
    print(json.dumps(result))
