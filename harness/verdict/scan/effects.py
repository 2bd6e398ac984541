"""Note what a script does beyond its own process: variables of the environment, downloads, processes, files.

Inductor reads some variables, and the name of one may be hidden.
"""

import ast
from collections.abc import Sequence

from harness.verdict.scan.names import Names
from harness.verdict.scan.places import Notes

ENVIRONMENT = ("os.environ", "os.environb", "posix.environ")
PREFIXES = ("TORCHINDUCTOR_", "INDUCTOR_")
# Variables that a launcher sets; reading them is how a script learns its rank.
LAUNCHER = {
    "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT", "DATA_PATH",
    "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES",
}  # fmt: skip
_NETWORK = {"socket", "urllib", "requests", "http", "ftplib", "httpx", "aiohttp", "huggingface_hub", "wandb", "kernels"}
_PROCESSES = (
    "subprocess.", "os.system", "os.popen", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "multiprocessing.",
)  # fmt: skip


class Variables:
    """Notes which variables of the environment are read and set."""

    def __init__(self, notes: Notes, names: Names) -> None:
        self.notes, self.names = notes, names
        self.mentioned: list[tuple[ast.Constant, str]] = []  # names of inductor's variables that nothing uses in sight
        self.blind = False  # a variable was set whose name cannot be read

    def end(self) -> None:
        """Note the names that a script holds, once it is known whether a variable with an unknown name is set."""
        for node, name in self.mentioned:
            if self.blind:
                said = f"names the variable {name} and sets one that cannot be read"
                self.notes.flag("inductor-environment", node, said)
            else:
                self.notes.warn("inductor-environment", node, f"names the variable {name}")

    def called(self, callee: str, base: str, method: str, arguments: Sequence[ast.expr], node: ast.Call) -> None:
        """Note a call that reads or sets variables, or hands them to a process."""
        key = self.names.text(arguments[0]) if arguments else None
        if callee in ("os.getenv", "os.getenvb", "posix.getenv") or (base in ENVIRONMENT and method == "get"):
            self.read(node, key)
        elif callee in ("os.putenv", "posix.putenv") or (
            base in ENVIRONMENT and method in ("setdefault", "__setitem__")
        ):
            self.set(node, key)
        elif base in ENVIRONMENT and method in ("update", "__ior__"):
            for argument in arguments:
                self.update(argument, node)
            for keyword in node.keywords:
                self.set(node, keyword.arg)
        for keyword in node.keywords:  # env=dict(TORCHINDUCTOR_…=1)
            if base not in ENVIRONMENT:
                self.named(node, keyword.arg)

    def update(self, value: ast.expr, node: ast.expr) -> None:
        for key, _ in self.names.entries(value):
            self.set(node, key)

    def set(self, node: ast.expr, key: str | None) -> None:
        if key is None:
            self.blind = True
            self.notes.warn("hidden", node, "sets a variable of the environment whose name cannot be read")
        elif key.startswith(PREFIXES):
            self.notes.flag("inductor-environment", node, f"sets the variable {key[:80]}")

    def named(self, node: ast.AST, key: str | None) -> None:
        """Note the name of one of inductor's variables where only its use as a key is seen."""
        if key is not None and key.startswith(PREFIXES):
            self.notes.flag("inductor-environment", node, f"names the variable {key[:80]}")

    def read(self, node: ast.expr, key: str | None) -> None:
        if key is None or not (key in LAUNCHER or key.startswith(("TORCHELASTIC_", "NCCL_"))):
            self.notes.warn(
                "environment", node, f"reads the variable {(key or 'with a name that cannot be read')[:80]}"
            )


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
