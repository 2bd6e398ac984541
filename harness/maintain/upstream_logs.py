"""Read the logs of upstream folders: what each run ended with, and which program it ran.

The same program comes with other bytes: comments, the name of a run, annotations. So beside the hash of its source each
run has one of the code alone.
"""

import ast
import functools
import hashlib
import posixpath
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.catalog.tree import Tree
from harness.core.errors import LogError
from harness.core.measurement import RunLog
from harness.maintain.merges import git_name
from harness.runlog import grammar
from harness.runlog.lines import split_lines
from harness.runlog.reader import NoLog, read_bytes
from harness.runlog.source import embedded_files, find_layout

# No logs, whatever they hold; all else is read.
_OTHER = (
    ".py",
    ".md",
    ".png",
    ".jpg",
    ".svg",
    ".gz",
    ".json",
    ".csv",
    ".sh",
    ".pdf",
    ".ipynb",
    ".html",
    ".toml",
    ".sum",
)
_EMA = b"val_ema_loss:"
MOST_SOURCE = 1 << 20  # bytes; the largest has 0.2 MB, and parsing takes some hundred times as many
_NAMES_OF_RUNS = {"run_id", "run_name"}  # assigned in a script, and no part of what it does


@dataclass(frozen=True)
class Program:
    """The script that a log embeds."""

    files: dict[str, bytes]

    @functools.cached_property
    def code(self) -> str | None:
        """Hash of the code of all files without comments; None where it cannot be parsed. Takes up to half a second."""
        return _code(self.files)

    @property
    def hashes(self) -> dict[str, str]:
        """The sha256 of each file, the script first."""
        return {name: hashlib.sha256(data).hexdigest() for name, data in self.files.items()}

    @property
    def blobs(self) -> tuple[str, ...]:
        """What git calls the script: logs may lack the newline at its end, or hold one more."""
        script = next(iter(self.files.values()))
        return tuple(git_name(text) for text in (script, script.rstrip(b"\n") + b"\n", script.rstrip(b"\n")))


@dataclass(frozen=True, slots=True)
class Log:
    """One run of a log file."""

    path: str  # below the repository's root
    run: RunLog
    program: Program | None
    ema: tuple[tuple[int, float], ...] = ()  # (step, val_ema_loss)

    @property
    def folder(self) -> str:
        """The folder that it lies in."""
        return posixpath.dirname(self.path)

    @property
    def gpus(self) -> int | None:
        """On how many GPUs it ran; None where the log does not say."""
        return self.run.gpu_count or self.run.world_size

    @property
    def steps(self) -> int | None:
        """How many steps it was set to, else how many it made."""
        return self.run.total_steps or self.run.final_step

    def same_program(self, other: "Log") -> bool:
        """Whether another run ran the same code, byte for byte or but for comments and names of runs."""
        if self.run.script_sha256 == other.run.script_sha256:
            return True
        codes = [log.program.code if log.program else None for log in (self, other)]
        return codes[0] is not None and codes[0] == codes[1]

    def loss_at(self, step: int, metric: str) -> float | None:
        """Return the loss at a step; None where the log has none there."""
        points = self.ema if metric == "val_ema_loss" else [(at, loss) for at, loss, _ in self.run.curve]
        return next((loss for at, loss in points if at == step), None)


@dataclass(frozen=True, slots=True)
class Reading:
    """The runs below a folder, and what could not be read."""

    logs: tuple[Log, ...]
    remarks: tuple[str, ...]


def read_folder(tree: Tree, paths: Sequence[str]) -> Reading:
    """Read all logs among these files of the repository; files that are none are passed over."""
    logs: list[Log] = []
    remarks = []
    programs: dict[str, Program | None] = {}
    for path, data in tree.read_many([path for path in paths if not path.lower().endswith(_OTHER)]):
        if data is None:
            remarks.append(f"{path}: its contents are not here")
            continue
        try:
            runs = read_bytes(data, path, curve=True)
        except NoLog:
            continue
        except LogError as error:
            remarks.append(f"{path}: {error.problems[0].what}")
            continue
        source = runs[0].source_sha256
        if source is not None and source not in programs:
            programs[source] = _program(data, path)
        program = programs.get(source) if source is not None else None
        ema = _ema(data) if len(runs) == 1 and _EMA in data else ()
        logs += [Log(path, run, program, ema) for run in runs]
    return Reading(tuple(logs), tuple(remarks))


def _program(data: bytes, path: str) -> Program | None:
    try:
        files = embedded_files(data, path)
    except LogError:
        return None
    return Program(files)


def _code(files: dict[str, bytes]) -> str | None:
    digest = hashlib.sha256()
    if sum(map(len, files.values())) > MOST_SOURCE:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, data in sorted(files.items()):
                digest.update(f"{name}\n{ast.dump(_Bare().visit(ast.parse(data)))}\n".encode())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return digest.hexdigest()


class _Bare(ast.NodeTransformer):
    """Take out what does not change what a script does: docstrings, annotations, the names of its runs."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        if any(isinstance(target, ast.Name) and target.id in _NAMES_OF_RUNS for target in node.targets):
            node.value = ast.Constant("")
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if isinstance(node.target, ast.Name) and node.target.id in _NAMES_OF_RUNS and node.value is not None:
            node.value = ast.Constant("")
        return self.generic_visit(node)


def _ema(data: bytes) -> tuple[tuple[int, float], ...]:
    found = []
    for _, start, stop in split_lines(data, find_layout(data).log_start):
        if data.find(_EMA, start, stop) >= 0 and stop - start <= grammar.MAX_LINE_BYTES:
            line = grammar.parse_line(grammar.undress(data[start:stop].rstrip(b"\r")))
            if isinstance(line, grammar.MetricLine) and line.val_ema_loss is not None:
                found.append((line.step, line.val_ema_loss))
    return tuple(found)


def distinct(logs: Iterable[Log]) -> list[Log]:
    """Leave out second captures of one run, which may hold its last line alone; those with a source are kept."""
    kept: dict[object, list[Log]] = defaultdict(list)
    for log in sorted(logs, key=lambda log: (log.program is None, -len(log.run.curve), log.path, log.run.run or 0)):
        alike = kept[log.run.final_step, log.run.last_val_loss, log.run.final_train_time_s]
        points, script = set(log.run.curve), log.run.script_sha256
        if not any(points <= set(k.run.curve) and script in (None, k.run.script_sha256) for k in alike):
            alike.append(log)
    return sorted((log for alike in kept.values() for log in alike), key=lambda log: (log.path, log.run.run or 0))


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one folder that are alike."""

    folder: str
    runs: int
    steps: int | None
    gpus: int | None
    gpu_name: str | None
    script_sha256: str | None


def groups(logs: Iterable[Log]) -> list[Group]:
    """Sort runs into groups of one folder, number of steps, GPUs and script."""
    sorted_by: dict[tuple[str, int | None, int | None, str | None, str | None], int] = defaultdict(int)
    for log in logs:
        sorted_by[log.folder, log.steps, log.gpus, log.run.gpu_name, log.run.script_sha256] += 1
    return [Group(key[0], count, *key[1:]) for key, count in sorted_by.items()]
