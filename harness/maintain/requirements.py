"""Tell what an original needs beside torch, from its text and its log: packages, kernels of a hub, GPUs, its shards.

The script is parsed and never executed. What is not found stays unsaid: a replay tells more.
"""

import ast
import re
import sys

from harness.core.measurement import RunLog
from harness.maintain.upstream_logs import MOST_SOURCE, Program
from harness.replay.environments import PACKAGES, Needs, packages_of

_BUILT = {"flash_attn_interface": "FlashAttention-3, which is built from its source"}
_SHIPPED = {"torch", "numpy", "triton", "evals"}  # with torch; with the repository, for an optional evaluation
_NAME = re.compile(r"\w{1,60}")
_KERNEL = re.compile(rb"get_kernel\(\s*[\"']([A-Za-z0-9][\w./-]{0,99})[\"']")
_EXACTLY = re.compile(rb"assert\s*\(?\s*world_size\s*==\s*(\d{1,2})\b")
_DIVIDES = re.compile(rb"(\d{1,2})\s*%\s*world_size\s*==\s*0")
_SHARDS = re.compile(rb"[\"']([\w./-]{1,200})/fineweb_train_")


def needs_of(record: str, build: str, run: RunLog, program: Program) -> Needs:
    """Say what the original of a record needs; `build`: the name of its torch build."""
    text = b"\n".join(program.files.values())
    here = {name.removesuffix(".py") for name in program.files}
    modules = sorted(_imports(program) - here - _SHIPPED)
    exactly, divides = _EXACTLY.search(text), _DIVIDES.search(text)
    size = f"== {exactly[1].decode()}" if exactly else f"divides {divides[1].decode()}" if divides else None
    shards = _SHARDS.search(text)
    known = PACKAGES.keys() | _BUILT.keys()
    missing = [*(_BUILT[name] for name in modules if name in _BUILT), *(name for name in modules if name not in known)]
    return Needs(
        record=record,
        build=build,
        python=run.python,
        triton=run.triton,
        packages=packages_of(modules),
        hub_kernels=tuple(dict.fromkeys(name.decode() for name in _KERNEL.findall(text)))[:10],
        world_size=size,
        data=shards[1].decode() if shards else None,
        missing="; ".join(missing)[:2000] or None,
    )


def _imports(program: Program) -> set[str]:
    """Name the modules that are imported anywhere, but those of Python itself."""
    found: set[str] = set()
    for data in program.files.values():
        try:
            nodes = list(ast.walk(ast.parse(data if len(data) <= MOST_SOURCE else b"")))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in nodes:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            found |= {name.partition(".")[0] for name in names}
    return {name for name in found if _NAME.fullmatch(name) and name.isascii()} - set(sys.stdlib_module_names)
