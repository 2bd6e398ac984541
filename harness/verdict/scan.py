"""The text of a script in, what it sets and touches out. Reads the syntax tree; never imports, never executes.

Hard because one setting has many spellings: an alias of the module, `setattr`, `getattr`, `vars()`, `__dict__`, an
update of `os.environ`, a constant glued from two, a string given to `exec`. Names are resolved to dotted paths over
the whole file without regard to scope, which errs on the side of seeing. What cannot be resolved becomes a warning.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.verdict.names import Names

INDUCTOR = "torch._inductor.config"
ENVIRONMENT = ("os.environ", "os.environb", "posix.environ")
# Settings by which inductor is tuned; whoever assigns one of these means inductor, whatever he calls the module.
INDUCTOR_SETTINGS = {
    "coordinate_descent_tuning", "max_autotune", "max_autotune_gemm", "max_autotune_pointwise", "epilogue_fusion",
    "shape_padding", "coordinate_descent_check_all_directions", "combo_kernels", "aggressive_fusion", "cpp_wrapper",
}  # fmt: skip
_PREFIXES = ("TORCHINDUCTOR_", "INDUCTOR_")
# Variables that a launcher sets; reading them is how a script learns its rank.
LAUNCHER = {
    "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT", "DATA_PATH",
    "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES",
}  # fmt: skip
_NETWORK = {"socket", "urllib", "requests", "http", "ftplib", "httpx", "aiohttp", "huggingface_hub", "wandb", "kernels"}
_PROCESSES = (
    "subprocess.",
    "os.system",
    "os.popen",
    "os.exec",
    "os.spawn",
    "os.posix_spawn",
    "os.fork",
    "multiprocessing.",
)
_HIDDEN = {"exec", "eval", "compile", "marshal.loads", "pickle.loads", "types.CodeType", "ctypes.CDLL"}
_CLOCKS = {"perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "time_ns", "process_time", "thread_time"}
_PATCHED = ("time.", "torch.cuda.", "datetime.", "builtins.print", "sys.stdout", "os.write", "torch.distributed.")
MOST_BYTES = 4 << 20
MOST_DEPTH = 3  # of code in strings


@dataclass(frozen=True, slots=True)
class Place:
    """Something found in a script."""

    kind: str  # a flag word of the rulesets, or the kind of a warning
    file: str
    line: int
    text: str  # as a sentence's part: "sets torch._inductor.config.max_autotune"

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.text}"


@dataclass(slots=True)
class Scan:
    """What was found in one file."""

    flags: list[Place] = field(default_factory=list)
    warnings: list[Place] = field(default_factory=list)
    train_patterns: list[tuple[str, int]] = field(default_factory=list)  # file pattern, line
    unreadable: str | None = None


def scan(name: str, source: bytes) -> Scan:
    """Scan one Python file; a file that is no Python has `unreadable` set."""
    found = Scan()
    if len(source) > MOST_BYTES:
        found.unreadable = f"has more than {MOST_BYTES:,} bytes"
        return found
    try:
        tree = ast.parse(source)
        Reader(name, found).read(tree, 0)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        found.unreadable = f"cannot be parsed as Python ({type(error).__name__})"
    return found


class Reader:
    """Walks one tree twice: names first, then what is done with them."""

    def __init__(self, file: str, found: Scan) -> None:
        self.file = file
        self.found = found
        self.names = Names()
        self.path, self.text = self.names.path, self.names.text
        self.depth = 0

    def read(self, tree: ast.AST, depth: int) -> None:
        self.depth = depth
        nodes = list(ast.walk(tree))
        for _ in range(3):  # a name may be made of a name that is made further down
            for node in nodes:
                self.names.learn(node)
        for node in nodes:
            self.look(node)

    # ------------------------------------------------------------------ what is done

    def look(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for single in _flat(target):
                    self.assigned(single, node)
                    self.pattern(_identifier(single), node.value)
        elif isinstance(node, ast.For | ast.comprehension):
            self.assigned(node.target, node)
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            self.assigned(node.optional_vars, node.context_expr)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self.imported(node)
        elif isinstance(node, ast.Call):
            self.called(node)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                text = self.text(key)
                self.pattern(text, value)
                if text is not None and text.startswith(_PREFIXES):
                    self.flag("inductor-environment", node, f"names the variable {text}")
        elif isinstance(node, ast.arguments):
            named = [*node.posonlyargs, *node.args]
            for argument, default in zip(named[len(named) - len(node.defaults) :], node.defaults, strict=True):
                self.pattern(argument.arg, default)
        elif (
            isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and self.path(node.value) in ENVIRONMENT
        ):
            for name in self.names.keys(node.slice):
                self.environment_read(node, name)

    def assigned(self, target: ast.expr, node: ast.AST) -> None:
        """An assignment to one target."""
        if isinstance(target, ast.Subscript) and self.path(target.value) in ENVIRONMENT:
            for key in self.names.keys(target.slice):
                self.environment_set(target, key)
            return
        path = self.path(target) or self.path(getattr(target, "value", None))
        if isinstance(target, ast.Name):
            if target.id in _CLOCKS or (target.id == "time" and "time" in self.names.paths.values()):
                self.warn("clock", target, f"assigns a new {target.id}")
            if isinstance(node, ast.AugAssign) and path in ENVIRONMENT:
                self.environment_update(node.value, target)
            return
        self.set_path(path, getattr(target, "attr", None), target)
        if isinstance(node, ast.AugAssign) and path in ENVIRONMENT:
            self.environment_update(node.value, target)

    def set_path(self, path: str | None, attribute: str | None, node: ast.expr) -> None:
        """Something at a dotted path gets another value."""
        if path is not None and (path == INDUCTOR or path.startswith(INDUCTOR + ".")):
            self.flag("inductor-config", node, f"sets {path}")
        elif attribute in INDUCTOR_SETTINGS:
            self.flag("inductor-config", node, f"sets {attribute}")
        elif path is not None and (path.startswith(_PATCHED) or path in _PATCHED):
            self.warn("patched", node, f"replaces {path}")

    def called(self, node: ast.Call) -> None:
        callee = (self.path(node.func) or "").removeprefix("builtins.").removesuffix(".__call__")
        base, _, method = callee.rpartition(".")
        arguments = node.args
        if callee in ("functools.partial", "partial") and arguments:
            self.compiled(self.path(arguments[0]) or "", node)
            callee, arguments = self.path(arguments[0]) or "", arguments[1:]
        else:
            self.compiled(callee, node)
        if callee in ("setattr", "object.__setattr__", "delattr") and len(arguments) >= 2:
            owner, name = self.path(arguments[0]), self.text(arguments[1])
            self.set_path(f"{owner}.{name}" if owner else None, name, node)
        elif method == "__setattr__" and arguments:
            self.set_path(f"{base}.{self.text(arguments[0])}", self.text(arguments[0]), node)
        elif base in (INDUCTOR, f"{INDUCTOR}.__dict__") and method not in ("get", "keys", "items", "get_config_copy"):
            self.flag("inductor-config", node, f"calls {callee}")
        elif any(self.path(a) == INDUCTOR for a in arguments) and callee not in _LOOKING:
            self.flag("inductor-config", node, f"hands {INDUCTOR} to {callee or 'a call'}")
        self.environment_call(callee, base, method, arguments, node)
        self.touched(callee, base, method, arguments, node)
        for keyword in node.keywords:
            self.pattern(keyword.arg, keyword.value)
            if keyword.arg == "default" and arguments:
                self.pattern(self.text(arguments[0]), keyword.value)

    def compiled(self, callee: str, node: ast.Call) -> None:
        """A call that may be torch.compile, with what it sets."""
        named = {k.arg: k.value for k in node.keywords if k.arg is not None}
        for spread in [k.value for k in node.keywords if k.arg is None]:
            if isinstance(spread, ast.Name) and spread.id in self.names.dicts:
                spread = self.names.dicts[spread.id]
            if isinstance(spread, ast.Dict):
                named |= {self.text(k) or "?": v for k, v in zip(spread.keys, spread.values, strict=True)}
            elif isinstance(spread, ast.Call) and self.path(spread.func) == "dict":
                named |= {k.arg or "?": k.value for k in spread.keywords}
            elif callee == "torch.compile":
                self.warn("hidden", node, "hides arguments of torch.compile")
        if callee != "torch.compile" and not (callee.endswith(".compile") and not callee.startswith(("re.", "regex."))):
            return
        for word, flag in (("mode", "compile-mode"), ("options", "compile-options")):
            value = named.get(word)
            plain = isinstance(value, ast.Constant) and value.value in (None, "default")
            if value is not None and not plain:
                self.flag(flag, node, f"compiles with {word}={ast.unparse(value)[:60]}")

    # ------------------------------------------------------------------ the environment

    def environment_call(self, callee: str, base: str, method: str, arguments: list[ast.expr], node: ast.Call) -> None:
        key = self.text(arguments[0]) if arguments else None
        if callee in ("os.getenv", "os.getenvb", "posix.getenv") or (base in ENVIRONMENT and method == "get"):
            self.environment_read(node, key)
        elif callee == "os.putenv" or (base in ENVIRONMENT and method in ("setdefault", "__setitem__")):
            self.environment_set(node, key)
        elif base in ENVIRONMENT and method in ("update", "__ior__"):
            for argument in arguments:
                self.environment_update(argument, node)
            for keyword in node.keywords:
                self.environment_set(node, keyword.arg)
        for keyword in node.keywords:  # env=dict(TORCHINDUCTOR_…=1)
            if (keyword.arg or "").startswith(_PREFIXES) and base not in ENVIRONMENT:
                self.flag("inductor-environment", node, f"names the variable {keyword.arg}")

    def environment_update(self, value: ast.expr, node: ast.expr) -> None:
        if isinstance(value, ast.Name) and value.id in self.names.dicts:
            value = self.names.dicts[value.id]
        if isinstance(value, ast.Dict):
            for key in value.keys:
                self.environment_set(node, self.text(key))
        elif isinstance(value, ast.Call):
            for keyword in value.keywords:
                self.environment_set(node, keyword.arg)
        else:
            self.environment_set(node, None)

    def environment_set(self, node: ast.expr, key: str | None) -> None:
        if key is None:
            self.warn("hidden", node, "sets a variable of the environment whose name cannot be read")
        elif key.startswith(_PREFIXES):
            self.flag("inductor-environment", node, f"sets the variable {key}")

    def environment_read(self, node: ast.expr, key: str | None) -> None:
        if key is None or not (key in LAUNCHER or key.startswith(("TORCHELASTIC_", "NCCL_"))):
            self.warn("environment", node, f"reads the variable {key or 'with a name that cannot be read'}")

    # ------------------------------------------------------------------ what is touched

    def imported(self, node: ast.Import | ast.ImportFrom) -> None:
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        for module in modules:
            if module.partition(".")[0] in _NETWORK:
                self.warn("network", node, f"imports {module}")

    def touched(self, callee: str, base: str, method: str, arguments: list[ast.expr], node: ast.Call) -> None:
        first = arguments[0] if arguments else None
        if callee.startswith(_PROCESSES):
            begin = first.elts[0] if isinstance(first, ast.List | ast.Tuple) and first.elts else first
            if (self.text(begin) or "").split(" ")[0] != "nvidia-smi":
                self.warn("process", node, f"starts a process with {callee}")
        elif callee in _HIDDEN:
            self.warn("hidden", node, f"calls {callee}, which hides code from this scan")
            text = self.text(first)
            if text is not None and callee in ("exec", "eval", "compile") and self.depth < MOST_DEPTH:
                self.embedded(text)
        path = None
        if callee in ("open", "io.open", "os.open"):
            mode = self.text(arguments[1]) if len(arguments) > 1 else None
            mode = next((self.text(k.value) for k in node.keywords if k.arg == "mode"), mode)
            path = self.text(first) if mode is not None and set(mode) & set("wax+") else None
        elif isinstance(node.func, ast.Attribute) and node.func.attr in ("write_text", "write_bytes"):
            owner = node.func.value
            path = self.text(owner.args[0]) if isinstance(owner, ast.Call) and owner.args else None
        if path is not None and (path.startswith(("/", "~")) or ".." in path.split("/")):
            self.warn("write", node, f"writes {path[:80]}, outside the run folder")

    def embedded(self, text: str) -> None:
        """Code in a string that is executed is scanned as well."""
        try:
            inner = Reader(self.file, self.found)
            inner.names.paths |= self.names.paths
            inner.names.constants |= self.names.constants
            inner.read(ast.parse(text), self.depth + 1)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return

    def pattern(self, name: str | None, value: ast.expr | None) -> None:
        """Note a file pattern that by its name belongs to the training data."""
        if name is None or value is None:
            return
        lowered = name.lower()
        if "val" in lowered or not ("train" in lowered or "input_bin" in lowered):
            return
        text = self.names.loose_text(value)
        if (
            text is not None
            and (".bin" in text or "*" in text)
            and (text, _line(value)) not in self.found.train_patterns
        ):
            self.found.train_patterns.append((text, _line(value)))

    # ------------------------------------------------------------------ notes

    def flag(self, kind: str, node: ast.AST, text: str) -> None:
        self.found.flags.append(Place(kind, self.file, _line(node), text))

    def warn(self, kind: str, node: ast.AST, text: str) -> None:
        self.found.warnings.append(Place(kind, self.file, _line(node), text))


_LOOKING = {"getattr", "hasattr", "print", "repr", "str", "isinstance", "vars", "dir", "type", "id", "len", ""}


def _flat(target: ast.expr) -> Iterator[ast.expr]:
    if isinstance(target, ast.Tuple | ast.List):
        for element in target.elts:
            yield from _flat(element)
    elif isinstance(target, ast.Starred):
        yield from _flat(target.value)
    else:
        yield target


def _identifier(target: ast.expr) -> str | None:
    return target.id if isinstance(target, ast.Name) else getattr(target, "attr", None)


def _line(node: ast.AST) -> int:
    return getattr(node, "lineno", 0)
