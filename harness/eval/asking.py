"""Ask a confined model for logits and answer questions about it: the half of an evaluation that holds the targets.

    python -I -c "… asking.main()"      one JSON object in a line each way: orders, then questions and their answers

A process of its own, as `harness.model_score.measuring`, whose parts it uses: torch is at home in the interpreter of the model
and not in that of the harness. After the orders it says what the model is, then it answers each question:

    loss     a stretch of a file of tokens: the sum of the losses, nats, and their number
    choices  rows of tokens with the number of those that are scored: the sum of their losses for each row
    sample   tokens, how many more, temperature, the k most likely ones, seed: the tokens that were drawn
    speed    tokens per second of its forward pass
    size     the number of weights, and their bytes
    int8     makes the weights int8, for all questions behind it
"""

import json
import math
import random
import re
import sys
from typing import Any

from harness.model_score import measuring
from harness.model_score.scorer import BrokeOff, Refused, Scorer

CPU_TOKENS = 1 << 12  # of a request on a CPU: 0.8 GB of logits of GPT-2 in fp32, and a copy
PADDED_TO = 64  # tokens of a row on a GPU, where each length may be compiled for itself


class Model(Scorer):
    """A confined model that can also be made int8, and says its size."""

    def begin(self) -> None:
        """Wait for the model; then ask for fewer tokens at a time where it is on a CPU."""
        import torch

        super().begin()
        self.on_gpu = torch.cuda.is_available()
        if not self.on_gpu:
            self.rows = max(1, min(self.rows, CPU_TOKENS // self.length))

    def say(self, word: str) -> str:
        """Send one word and return the line that answers it."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(word.encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            pass  # `answer` says how it ended
        return self.answer().decode("ascii", "replace")


# ---------------------------------------------------------------------------------------------- questions


def loss(model: Model, asked: dict[str, Any], orders: dict[str, Any]) -> dict[str, Any]:
    """Return the sum of the losses over a stretch, in rows that each begin with no context."""
    found = measuring.losses(model, measuring.read_text(asked), orders)
    return {"sum": float(found.double().sum()), "tokens": len(found)}


def choices(model: Model, asked: dict[str, Any], orders: dict[str, Any]) -> dict[str, Any]:
    """Return the sum of the losses of the last tokens of each row, as many as are to be scored."""
    import torch

    rows, scored = asked["rows"], asked["scored"]
    longest = max(len(row) - 1 for row in rows)
    padded_to = PADDED_TO if model.on_gpu else 1
    width = min(model.length, -(-longest // padded_to) * padded_to)
    # What stands behind a row is seen by nobody, because logits depend on the tokens before them alone.
    tokens = torch.zeros((len(rows), width + 1), dtype=torch.int64)
    for row, ids in zip(tokens, rows, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    sums: list[float] = []
    at_once = max(1, model.rows * model.length // width)
    for part, counts, lengths in zip(
        tokens.split(at_once), _split(scored, at_once), _split([*map(len, rows)], at_once), strict=True
    ):
        found = measuring.loss_of(model.logits(part[:, :-1]), part[:, 1:], orders).double()
        for row, count, length in zip(found, counts, lengths, strict=True):
            sums.append(math.fsum(row[length - 1 - count : length - 1].tolist()))
    return {"sums": sums}


def sample(model: Model, asked: dict[str, Any], orders: dict[str, Any]) -> dict[str, Any]:
    """Draw tokens one after the other, until the end of a text or so many.

    The numbers that decide come from Python's generator, so that a seed gives the same text wherever the logits are the
    same. A temperature of 0 takes the most likely token.
    """
    import torch

    chance, ids, known = random.Random(asked["seed"]), list(asked["tokens"]), len(asked["tokens"])
    for _ in range(asked["count"]):
        window = ids[-model.length :]
        padded_to = PADDED_TO if model.on_gpu else 1
        width = min(model.length, -(-len(window) // padded_to) * padded_to)
        row = torch.tensor([window + [0] * (width - len(window))])
        logits = model.logits(row)[0, len(window) - 1, : orders["columns"]].double().cpu()
        ids.append(_draw(logits, asked["temperature"], asked["top_k"], chance.random()))
        if ids[-1] == orders["start_id"]:
            break
    return {"tokens": ids[known:]}


def _draw(logits: Any, temperature: float, top_k: int | None, chance: float) -> int:
    """Return the token at which the sum of the probabilities, the most likely first, reaches a number from 0 to 1."""
    import torch

    values, ids = torch.sort(logits, descending=True, stable=True)
    if temperature == 0:
        return int(ids[0])
    shares = torch.softmax(values[:top_k] / temperature, dim=0).cumsum(0)
    return int(ids[min(int((shares < chance * float(shares[-1])).sum()), len(shares) - 1)])


def speed(model: Model, asked: dict[str, Any], orders: dict[str, Any]) -> dict[str, Any]:
    """Ask the model how many tokens per second it takes; nobody need believe that."""
    found = re.fullmatch(r"speed (\d{1,12}\.\d)", model.say("speed"))
    if found is None or float(found[1]) == 0:
        raise Refused("it answers with something else than its speed")
    return {"tokens_per_s": float(found[1])}


def size(model: Model, asked: dict[str, Any], orders: dict[str, Any]) -> dict[str, Any]:
    """Ask the model how many weights it has, and how many bytes they take."""
    found = re.fullmatch(r"size (\d{1,15}) (\d{1,15})", model.say("size"))
    if found is None:
        raise Refused("it answers with something else than its size")
    return {"weights": int(found[1]), "bytes": int(found[2])}


def int8(model: Model, asked: dict[str, Any], orders: dict[str, Any]) -> dict[str, Any]:
    """Make the weights int8."""
    if model.say("int8") != "done":
        raise Refused("it answers with something else than that its weights are int8")
    return {}


def _split(values: list[int], size: int) -> list[list[int]]:
    return [values[i : i + size] for i in range(0, len(values), size)]


ANSWERS = {"loss": loss, "choices": choices, "sample": sample, "speed": speed, "size": size, "int8": int8}


def main() -> None:
    """Read the orders, say what the model is, and answer questions until no more come."""
    import torch

    measuring.guard_process()
    orders = json.loads(sys.stdin.buffer.readline())
    torch.set_num_threads(orders["threads"])
    try:
        with measuring.session(orders, orders["script"], Model) as model:
            _print({"row_tokens": model.length, "device": "cuda" if model.on_gpu else "cpu", "logits": model.kind})
            for line in sys.stdin.buffer:
                asked = json.loads(line)
                _print(ANSWERS[asked["question"]](model, asked, orders))
    except Refused as refusal:
        _print({"problem": str(refusal)})
    except BrokeOff as cause:
        _print({"broke_off": str(cause)})


def _print(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)
