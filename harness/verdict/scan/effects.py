"""Note what a script does beyond its own process: modules that download, processes that it starts, files that it writes."""

import ast
from collections.abc import Sequence

from harness.verdict.scan.names import Names
from harness.verdict.scan.places import Notes

_NETWORK = {"socket", "urllib", "requests", "http", "ftplib", "httpx", "aiohttp", "huggingface_hub", "wandb", "kernels"}
_PROCESSES = (
    "subprocess.", "os.system", "os.popen", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "multiprocessing.",
)  # fmt: skip


def note_import(notes: Notes, node: ast.Import | ast.ImportFrom) -> None:
    """Note an import of a module that downloads."""
    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    for module in modules:
        if module.partition(".")[0] in _NETWORK:
            notes.warn("network", node, f"imports {module}")


def note_call(notes: Notes, names: Names, callee: str, arguments: Sequence[ast.expr], node: ast.Call) -> None:
    """Note a call that starts a process or writes outside the run's folder."""
    first = arguments[0] if arguments else None
    if callee.startswith(_PROCESSES):
        begin = first.elts[0] if isinstance(first, ast.List | ast.Tuple) and first.elts else first
        if (names.text(begin) or "").split(" ")[0] != "nvidia-smi":
            notes.warn("process", node, f"starts a process with {callee}")
    path = None
    if callee in ("open", "io.open", "os.open"):
        mode = names.text(arguments[1]) if len(arguments) > 1 else None
        mode = next((names.text(keyword.value) for keyword in node.keywords if keyword.arg == "mode"), mode)
        path = names.text(first) if mode is not None and set(mode) & set("wax+") else None
    elif isinstance(node.func, ast.Attribute) and node.func.attr in ("write_text", "write_bytes"):
        owner = node.func.value
        path = names.text(owner.args[0]) if isinstance(owner, ast.Call) and owner.args else None
    if path is not None and (path.startswith(("/", "~")) or ".." in path.split("/")):
        notes.warn("write", node, f"writes {path[:80]}, outside the run folder")
