"""Evaluate one checkpoint: put all questions to its model, in both forms of the weights, and sum up the answers.

Every answer is kept as soon as it is there, below `.runs/evals/`, under a name that follows from script, weights and
machine. The same command goes on with the questions that are left; once all are answered, the answers are removed.
"""

import hashlib
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.core.measurement import Machine
from harness.eval.byte_pairs import Tokenizer, read_tokenizer
from harness.eval.checkpoints import Checkpoint
from harness.eval.hellaswag import Item, judge, read_items
from harness.eval.model_process import ModelProcess, model_process
from harness.eval.pieces import Pieces, forget, open_pieces
from harness.eval.questions import Asked, Group, Question, TokenFile, groups_of, loss_questions, sample_question
from harness.eval.sources import Held
from harness.machine import computer
from harness.store import run_files
from harness.store.evals import WAYS, EvalResult, HellaSwag, TokenLoss, Variant
from harness.store.files import locked
from harness.store.layout import Project

FOLDER = "evals"  # below the runs


class Watcher(Protocol):
    """Is told how an evaluation goes on."""

    def loaded(self, row_tokens: int, device: str, tier: str, kept: int) -> None:
        """Say that the model is loaded, and how many answers an earlier command left."""

    def answered(self, weights_in: str, what: str, done: int, of: int, figure: str) -> None:
        """Say how far one thing is, and what it shows so far."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Text that a model drew behind a prompt."""

    weights_in: str
    prompt: str
    text: str
    tokens: int
    ended: bool  # whether the model ended the text


@dataclass(frozen=True, slots=True)
class Texts:
    """What questions about text need."""

    tokenizer: Tokenizer
    items: Sequence[Item]  # those that are asked
    all_items: int  # that the file holds
    held: Held


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A result with the texts that were drawn, which no file keeps."""

    result: EvalResult
    samples: tuple[Sample, ...]


def read_texts(held: Held, asked: Asked) -> Texts:
    """Read tokenizer and items; raises DatasetError."""
    tokenizer = read_tokenizer(held.merges.path, held.ids.path)
    items = read_items(held.items.path) if held.items is not None else []
    return Texts(tokenizer, items[: asked.items], len(items), held)


def evaluate(
    project: Project,
    checkpoint: Checkpoint,
    asked: Asked,
    texts: Texts | None,
    watcher: Watcher,
    *,
    by: str | None,
    python: str = sys.executable,
) -> Evaluated:
    """Ask a checkpoint everything and return what came of it; raises HarnessError, keeping all answers until then."""
    machine = computer.capture()
    identity = f"{checkpoint.script.chain} {checkpoint.weights.sha256} {machine.fingerprint}"
    folder = project.runs / FOLDER / hashlib.sha256(identity.encode()).hexdigest()[:16]
    with locked(folder):
        with open_pieces(folder) as pieces, model_process(project, checkpoint, asked, folder, python) as model:
            watcher.loaded(model.row_tokens, model.device, model.tier, pieces.found)
            found = _Session(checkpoint, asked, texts, watcher, model, pieces).run(machine, by)
        forget(folder)
    return found


class _Session:
    """All questions to one model."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        asked: Asked,
        texts: Texts | None,
        watcher: Watcher,
        model: ModelProcess,
        pieces: Pieces,
    ) -> None:
        self.checkpoint, self.asked, self.texts, self.watcher = checkpoint, asked, texts, watcher
        self.model, self.pieces = model, pieces
        self.samples: list[Sample] = []

    def run(self, machine: Machine, by: str | None) -> Evaluated:
        size = self._put("as loaded", Question({"question": "size"})) if self.asked.int8 else None
        variants = [self._variant("as loaded", size)]
        if self.asked.int8:
            self.model.ask({"question": "int8"})
            variants.append(self._variant("int8", self._put("int8", Question({"question": "size"}))))
        script = self.checkpoint.script
        result = EvalResult(
            script=script.name if script.record is None else f"records/{script.record.track}/{script.record.slug}",
            script_sha256=script.chain,
            weights=self.checkpoint.weights,
            run=self.checkpoint.run,
            date=run_files.now()[:10],
            by=by,
            machine=machine,
            device="cuda" if self.model.device == "cuda" else "cpu",
            tier=self.model.tier,
            row_tokens=self.model.row_tokens,
            weights_count=None if size is None else size["weights"],
            variants=tuple(variants),
        )
        return Evaluated(result, tuple(self.samples))

    def _variant(self, weights_in: Any, size: dict[str, Any] | None) -> Variant:
        """Ask everything of the weights in one form."""
        speed = None
        if self.asked.int8:
            speed = self._put(weights_in, Question({"question": "speed"}))["tokens_per_s"]
        losses = tuple(self._loss(weights_in, file) for file in self.asked.files)
        hellaswag = self._hellaswag(weights_in) if self.asked.style is not None else None
        self._sample(weights_in)
        return Variant(weights_in, None if size is None else size["bytes"], speed, losses, hellaswag)

    def _put(self, weights_in: str, question: Question) -> dict[str, Any]:
        """Return the answer to a question, from an earlier command or from the model."""
        key = f"{weights_in}/{question.key}"
        if key not in self.pieces.known:
            self.pieces.keep(key, self.model.ask(question.asks))
        return self.pieces.known[key]

    def _loss(self, weights_in: str, file: TokenFile) -> TokenLoss:
        sums: list[float] = []
        done = 0
        for question in loss_questions(file, self.model.row_tokens):
            answer = self._put(weights_in, question)
            sums.append(answer["sum"])
            done += answer["tokens"]
            self.watcher.answered(weights_in, file.name, done, file.tokens, f"loss {math.fsum(sums) / done:.4f}")
        return TokenLoss(file.name, file.sha256, done, math.fsum(sums) / done)

    def _hellaswag(self, weights_in: str) -> HellaSwag:
        assert self.texts is not None and self.texts.held.items is not None and self.asked.style is not None
        items, held = self.texts.items, self.texts.held.items
        groups = groups_of(items, self.asked.style, self.texts.tokenizer, self.model.row_tokens)
        counts, done = [0, 0, 0], 0
        for group in groups:
            for chosen in _chosen(group, self._put(weights_in, group.question)["sums"]):
                for i, right in enumerate(chosen):
                    counts[i] += right
                done += 1
            shares = (f"{100 * count / done:.1f} % {way}" for count, way in zip(counts, WAYS, strict=True))
            said = ", ".join(shares).replace("_", " ")
            self.watcher.answered(weights_in, "HellaSwag", done, len(items), said)
        cut = sum(choice.cut for group in groups for choices in group.choices for choice in choices)
        return HellaSwag(
            style=self.asked.style,
            items=done,
            of=self.texts.all_items,
            summed=counts[0],
            per_token=counts[1],
            per_byte=counts[2],
            cut=cut,
            sha256=held.sha256,
            revision=held.revision,
        )

    def _sample(self, weights_in: str) -> None:
        for prompt in self.asked.sampling.prompts:
            assert self.texts is not None
            tokenizer = self.texts.tokenizer
            drawn = self._put(weights_in, sample_question(prompt, self.asked.sampling, tokenizer))["tokens"]
            ended = drawn[-1:] == [tokenizer.end]
            text = tokenizer.decode(drawn[:-1] if ended else drawn)
            self.samples.append(Sample(weights_in, prompt, text, len(drawn), ended))


def _chosen(group: Group, sums: Sequence[float]) -> list[tuple[bool, bool, bool]]:
    """Say for each item of a group whether its true ending was chosen, by the three ways to compare."""
    found, first = [], 0
    for choices, label in zip(group.choices, group.labels, strict=True):
        chosen = judge(sums[first : first + len(choices)], choices, label)
        found.append((chosen.summed, chosen.per_token, chosen.per_byte))
        first += len(choices)
    return found
