"""Score the trained model of one run: start the two halves of a scorer, and store what they found beside the run.

    the frozen script and its weights, confined (serving)  ←→  the texts and their targets (measuring)  →  score.json

A run is scored once, and an entry of the ledger holds the hash of the score. What says nothing of the script (a killed
process, no answer in time) is an error, stored nowhere: the same command tries again. What the script's own `load` does
wrong is a result.
"""

import contextlib
import dataclasses
import hashlib
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.core import secret_source
from harness.core.errors import RunError, StoreError
from harness.core.measurement import Confinement
from harness.core.scores import Gap, Score, Twins
from harness.core.task import Track
from harness.dataset import fetching, held_out
from harness.dataset.shard import DOCUMENT_START, to_bytes
from harness.launch import processes
from harness.model_score import gap, measuring, references
from harness.model_score.confining_model import Place, Served, confined_model, isolated_call
from harness.store import run_files, weights
from harness.store.entries import Chain, Scored
from harness.store.files import locked, write_atomic
from harness.store.layout import Project
from harness.store.ledger import Ledger
from harness.store.run_files import SCORE, RunFile

LEAST_SILENCE_S = 600.0  # that a scorer may take for one answer; a large model takes some seconds
MOST_TWINS = 2048  # rows; look-ahead at one position in a thousand stays unseen by so many with a chance of 13 %
THREADS = 1  # models of the CPU tracks are small, and two threads of a busy machine wait for each other
AGAIN = "start the same command again: the run is kept, and its model is scored anew"


def pending(project: Project, subject: Subject) -> tuple[str, ...]:
    """Name the finished judged runs of a script whose weights are here and not scored yet."""
    chain = Ledger(project.ledger).chain(subject.chain)
    waiting = [run_id for run_id in chain.finished if run_id not in chain.scores]
    return tuple(id for id in waiting if weights.kept_file(run_files.run_folder(project, id)).is_file())


def usual_wall_time_s(project: Project, chain: Chain) -> float | None:
    """Average what scoring the runs of a script took on this machine; None where none was scored here."""
    times: list[float] = []
    for run_id in chain.scores:
        with contextlib.suppress(StoreError):
            score = run_files.read_score(run_files.run_folder(project, run_id))
            times += [score.wall_time_s] if score is not None else []
    return sum(times) / len(times) if times else None


def score_run(catalog: Catalog, subject: Subject, track: Track, run_id: str, python: str) -> Score | None:
    """Score one finished run and store the result; None where it saved nothing that can be scored.

    track: with the tokens that the run was given. python: the interpreter that it ran with. Raises RunError where
    nothing could be said of the script.
    """
    project = catalog.project
    folder = run_files.run_folder(project, run_id)
    file = run_files.read_run_file(folder)
    if file.weights is None or file.weights.sha256 is None:
        return None
    with locked(folder / "scoring"):
        if run_id in Ledger(project.ledger).chain(subject.chain).scores:
            return run_files.read_score(folder)
        if not weights.are_there(folder, file.weights):
            raise RunError.at(project.show(folder), "its weights are gone or were changed", "make another run")
        score = Session(catalog, subject, track, folder, file, python).score()
        text = run_files.SCORE_FORM.text(score)
        write_atomic(folder / SCORE, text)
        digest = hashlib.sha256(text.encode()).hexdigest()
        Ledger(project.ledger).append(Scored(script=subject.chain, run=run_id, score_sha256=digest))
        if subject.record is not None and track.data.source != "synthetic" and score.problem is None:
            references.keep(project, subject, folder, file.weights.sha256)
        weights.remove(folder)
    return score


class Session:
    """One run that is scored, with everything that its processes are given."""

    def __init__(
        self, catalog: Catalog, subject: Subject, track: Track, folder: Path, file: RunFile, python: str
    ) -> None:
        self.catalog, self.project, self.subject = catalog, catalog.project, subject
        self.track = secret_source.with_seed(track, file.data)
        self.run_folder, self.file, self.python = folder, file, python
        self.folder = folder / "scoring"
        self.id = f"{file.id}-score"

    def score(self) -> Score:
        """Start the processes and make a score of what they found."""
        started = time.monotonic()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        shard = self._shard()
        official = held_out.official(self.track, shard)
        other = held_out.other(self.track, shard, self.folder / "other.bin")
        reference, no_gap = None, None
        if self.track.data.source != "synthetic":
            reference, no_gap = references.find(self.catalog, self.subject)
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            model = weights.kept_file(self.run_folder)
            # Each process has folders of its own: what one that saw the text writes, the next must not find.
            own, again = (
                stack.enter_context(self._confined(name, self.subject, model)) for name in ("script", "again")
            )
            beside = None
            if reference is not None:
                beside = stack.enter_context(self._confined("reference", reference.subject, reference.model))
            told = {"script": own, "again": again, "reference": beside}
            found = self._measure(told | self._orders(official, other))
            known, name = found.get("reference"), reference.subject.name if reference is not None else ""
            if self.track.data.source == "synthetic" and "problem" not in found:
                size, name = measuring.BLOCK_TOKENS, references.SOURCE
                known = [held_out.source_blocks(self.track, text, size) for text in (official, other)]
        return self._result(found, known, name, no_gap, time.monotonic() - started)

    def _shard(self) -> Path:
        """Return the validation shard that the run was given; raises RunError where another one is here."""
        if self.file.data.seed is None:
            fetched = fetching.fetch_for(self.track, 1)
            path, given = fetched.paths[0], fetched.receipt.shards[0]
        else:  # a secret source is drawn again, because the cache keeps none
            given, tokens = secret_source.drawn_shards(self.track)[0]
            path = self.folder / given.name
            write_atomic(path, to_bytes(tokens))
        if given.sha256 != self.file.data.shards[0].sha256:
            what = "was given another validation shard than the one that is here"
            raise RunError.at(self.project.show(self.run_folder), what, "fetch the data again")
        return path

    def _orders(self, official: held_out.Stretch, other: held_out.Stretch) -> dict[str, Any]:
        least, start = held_out.columns(self.track)
        texts = {
            name: {"path": str(text.path), "offset_bytes": text.offset_bytes, "tokens": text.tokens}
            for name, text in (("official", official), ("other", other))
        }
        limits = {"silence_limit_s": max(LEAST_SILENCE_S, self.track.silence_limit_s), "twins": MOST_TWINS}
        ids = {"columns": least, "start_id": DOCUMENT_START, "start_column": start}
        return {"run_id": self.id, "threads": THREADS, **texts, **limits, **ids}

    @contextlib.contextmanager
    def _confined(self, name: str, script: Subject, model: Path) -> Iterator[dict[str, Any]]:
        """Lay out a script beside its weights, and give the command that serves it, confined as the run was."""
        confined = self.file.confinement or Confinement("none", None)
        limits = self.track.silence_limit_s, self.track.time_limit_s
        place = Place(self.project, self.id, self.folder / name, self.python, *limits, THREADS)
        served = Served(script.files_folder, tuple(script.files), script.entry, model, model.parent)
        with confined_model(served, place, confined) as told:
            yield told

    def _measure(self, orders: dict[str, Any]) -> dict[str, Any]:
        """Let the half that holds the targets do its work; raises RunError where it came to no result."""
        process = subprocess.Popen(
            [self.python, "-I", "-c", isolated_call("harness.model_score.measuring")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            told = json.dumps(orders).encode() + b"\n"
            said, errors = process.communicate(told, timeout=self.track.time_limit_s)
        except subprocess.TimeoutExpired:
            raise self._broke_off(f"took more than {self.track.time_limit_s:g} s") from None
        finally:
            process.kill()
            process.wait()
            for pid in processes.marked(self.id):
                processes.kill(pid, signal.SIGKILL)
        try:
            found: dict[str, Any] = json.loads(said)
        except ValueError:
            last = errors.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
            raise self._broke_off(f"ended with {ascii(last[0])[1:-1][:200]}") from None
        if "broke_off" in found:
            raise self._broke_off(f"says nothing of it: {found['broke_off']}")
        return found

    def _broke_off(self, said: str) -> RunError:
        return RunError.at(self.project.show(self.run_folder), f"the scorer of its model {said}", AGAIN)

    def _result(
        self, found: dict[str, Any], known: gap.Losses | None, name: str, no_gap: str | None, wall_time_s: float
    ) -> Score:
        assert self.file.weights is not None and self.file.weights.sha256 is not None
        tier = self.file.confinement.tier if self.file.confinement is not None else "none"
        score = Score(self.file.id, self.file.weights.sha256, tier, self.track.validation_tokens, round(wall_time_s, 3))
        if "problem" in found:
            return dataclasses.replace(score, problem=found["problem"])
        beside: Gap | None = gap.compare(found["blocks"], known, name) if known is not None else None
        return dataclasses.replace(
            score,
            val_loss=found["val_loss"],
            other_loss=found["other_loss"],
            sequence_tokens=found["sequence_tokens"],
            twins=Twins(**found["twins"]) if found["twins"] is not None else None,
            gap=beside,
            no_gap=no_gap if beside is not None or no_gap is not None else "the texts are too short",
        )
