"""Start the confined model and the process that asks it, and pass questions and answers between.

evaluation  ←→  asking (holds the targets, has torch)  ←→  serving and inside (the script's code, confined)
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from harness.core.errors import HarnessError, RunError
from harness.core.measurement import Confinement, Tier
from harness.dataset.shard import DOCUMENT_START
from harness.eval import inside
from harness.eval.checkpoints import Checkpoint
from harness.eval.questions import Asked
from harness.launch import confinement, processes, torchrun
from harness.model_score import serving
from harness.model_score.confining_model import Place, Served, confined_model, isolated_call
from harness.store.files import sha256_file
from harness.store.layout import Project
from harness.store.run_files import WORK

SILENCE_LIMIT_S = 3600.0  # for one answer; a model of 1.5 billion weights takes minutes for 4,096 tokens on a CPU
SAVED = "name weights that this script saved, or mend its `load`"
AGAIN = "start the same command again: what was answered is kept"


class ModelProcess:
    """A model that answers questions."""

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes], name: str, tier: Tier) -> None:
        self.process, self.errors, self.name, self.tier = process, errors, name, tier
        self.row_tokens, self.device = 0, "cpu"

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Send one line and return the answer; raises RunError where there is none."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(OSError):  # the answer says how it ended
            self.process.stdin.write(json.dumps(question).encode() + b"\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            self.errors.seek(0)
            last = self.errors.read().decode("utf-8", "replace").strip().splitlines()[-1:]
            said = ascii(last[0])[1:-1][:200] if last else f"exit code {self.process.wait()}"
            raise RunError.at(self.name, f"the process that asks its model ended with {said}", AGAIN) from None
        if "problem" in answer:
            raise RunError.at(self.name, f"its model cannot be asked: {answer['problem']}", SAVED)
        if "broke_off" in answer:
            raise RunError.at(self.name, f"its model said nothing: {answer['broke_off']}", AGAIN)
        return answer


@contextlib.contextmanager
def model_process(
    project: Project, checkpoint: Checkpoint, asked: Asked, folder: Path, python: str
) -> Iterator[ModelProcess]:
    """Start a model and wait until it is loaded. folder: an own one, for the time. Raises HarnessError."""
    script = checkpoint.script
    run_id = f"eval-{folder.name}-{os.getpid()}"
    place = Place(project, run_id, folder / "model", python, SILENCE_LIMIT_S, SILENCE_LIMIT_S, threads())
    served = Served(script.folder, tuple(script.files), script.entry, checkpoint.path, checkpoint.path)
    shutil.rmtree(place.folder, ignore_errors=True)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, place.folder, ignore_errors=True)
        confined = torchrun.TorchrunLauncher(python).confined_by(place.plan(script.entry))
        place.folder.mkdir(parents=True)
        told = stack.enter_context(confined_model(served, place, confined, _program()))
        _check_copies(place.folder / WORK, checkpoint)
        errors = stack.enter_context(tempfile.TemporaryFile())
        process = subprocess.Popen(
            [python, "-I", "-c", isolated_call("harness.eval.asking")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        stack.callback(_end, process, run_id)
        model = ModelProcess(process, errors, script.name, confined.tier)
        ready = model.ask(_orders(told, run_id, asked))
        model.row_tokens, model.device = ready["row_tokens"], ready["device"]
        yield model


def confined_by(project: Project, checkpoint: Checkpoint, python: str) -> Confinement:
    """Say how a model would be confined here; raises MachineError."""
    place = Place(project, "eval-plan", project.runs / "evals", python, SILENCE_LIMIT_S, SILENCE_LIMIT_S)
    return confinement.choose(torchrun.TorchrunLauncher(python).view(place.plan(checkpoint.script.entry)))


def threads() -> int:
    """Return how many threads a model may use here."""
    return len(os.sched_getaffinity(0))


def _program() -> str:
    """Return the text that runs inside the confinement: what serves a model, with the words of `inside`."""
    parts = ["import sys, types", "from pathlib import Path"]
    for name, file in (("serving", serving.__file__), ("inside", inside.__file__)):
        parts.append(f"{name} = types.ModuleType({name!r})")
        parts.append(f"exec({Path(file).read_text()!r}, {name}.__dict__)")
    parts.append("serving.serve(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:6]), inside.WORDS)")
    return "\n".join(parts)


def _check_copies(work: Path, checkpoint: Checkpoint) -> None:
    """Raise HarnessError where what was laid out is not what was found to be known or trusted."""
    for name, sha256 in checkpoint.script.files.items():
        if sha256_file(work / name) != sha256:
            raise HarnessError.at(checkpoint.script.name, "was changed meanwhile", "start the same command again")


def _orders(told: dict[str, Any], run_id: str, asked: Asked) -> dict[str, Any]:
    ids = {"columns": asked.columns, "start_id": DOCUMENT_START, "start_column": asked.start_column}
    return {"run_id": run_id, "threads": threads(), "silence_limit_s": SILENCE_LIMIT_S, "script": told, **ids}


def _end(process: subprocess.Popen[bytes], run_id: str) -> None:
    """End the process that asks, and all that it started."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if stream is not None:
                stream.close()
    for pid in processes.marked(run_id):
        processes.kill(pid, signal.SIGKILL)
