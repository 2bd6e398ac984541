"""Find what is certain to stop a script here, from its text and from what is known about it. Nothing is run.

A replay asks before it makes an environment and before it fetches a token. So a script that another Python must read,
that imports a file nobody has, that looks for its tokens on its author's disk, or that would train on another batch
with fewer ranks, is refused in the first second and not after the download.
"""

import ast
import re
import sys
import warnings
from pathlib import PurePosixPath

from harness.catalog.subjects import Subject
from harness.core.errors import Problem
from harness.replay.environments import Needs


def obstacles(subject: Subject, needs: Needs | None) -> list[Problem]:
    """List everything that is certain to stop this script here."""
    where = f"{subject.name}: {subject.entry}"
    problems = []
    line = unreadable(subject.script)
    if line is not None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        needed = f"Python {needs.python}" if needs is not None and needs.python else "a newer Python"
        problems.append(
            Problem(where, f"Python {version} cannot read its line {line}", f"start this program with {needed}")
        )
    if needs is None:
        return problems
    never = "it cannot be replayed unmodified"
    imported = imports(subject.script)
    for name, suffix in re.findall(r"(\w+)(\.py|/)", needs.missing or ""):
        if name in imported and f"{name}.py" not in subject.files:
            problems.append(Problem(where, f"imports {name}{suffix}, whose hash no record gives", never))
    if needs.data is not None and outside(needs.data):
        problems.append(Problem(where, f"reads {needs.data}, which lies outside of any run folder", never))
    return problems


def unreadable(script: bytes) -> int | None:
    """Return the first line that this Python cannot parse; None where it can parse them all."""
    try:
        _parse(script)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return getattr(error, "lineno", None) or 1
    return None


def imports(script: bytes) -> set[str]:
    """Return the modules that a script always imports: at its top level, outside of any `if` and `try`."""
    try:
        body = _parse(script).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    names: set[str] = set()
    for node in body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names)


def accumulates(script: bytes) -> bool:
    """Tell whether a script mentions accumulation; one that does not trains on a smaller batch with fewer ranks."""
    return b"accum" in script.lower()


def outside(folder: str) -> bool:
    """Tell whether a script looks for tokens where a run cannot place them: outside of the run folder, the one above work/."""
    parts = PurePosixPath(folder).parts
    return PurePosixPath(folder).is_absolute() or ".." in parts[1:] or parts == ("..",)


def _parse(script: bytes) -> ast.Module:
    with warnings.catch_warnings():  # an invalid escape in somebody's script is not this program's concern
        warnings.simplefilter("ignore")
        return ast.parse(script)
