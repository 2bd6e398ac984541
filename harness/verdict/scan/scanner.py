"""Find what a script sets and touches, by its syntax tree; nothing is imported or executed.

Hard because one setting has many spellings: an alias of the module, `setattr`, `getattr`, `vars()`, `__dict__`, an
update of `os.environ`, a constant glued from two, a string given to `exec`. Names are resolved to dotted paths over
the whole file without regard to scope, which errs on the side of seeing; where inductor's settings go out of sight is
a finding by itself (`inductor`). What cannot be resolved becomes a warning.
"""

import ast
import re
from collections.abc import Iterator, Sequence

from harness.verdict.scan import effects
from harness.verdict.scan.effects import ENVIRONMENT, Variables
from harness.verdict.scan.inductor import (
    INDUCTOR,
    INDUCTOR_SETTINGS,
    LOOKING,
    MODES,
    POSITIONS,
    READING,
    holder,
    is_settings,
)
from harness.verdict.scan.loading import Loading
from harness.verdict.scan.names import Names
from harness.verdict.scan.places import MOST_PLACES, Notes, Scan, TooMuchText

# What sets something in a call of the compiler, and the flag that it is.
_SETS = {"mode": "compile-mode", **dict.fromkeys(("options", "config_patches", "inductor_configs"), "compile-options")}
_HIDDEN = {
    "exec", "eval", "compile", "marshal.loads", "pickle.loads", "pickle.load", "types.CodeType", "types.FunctionType",
    "ctypes.CDLL", "runpy.run_path", "runpy.run_module", "importlib.machinery.SourceFileLoader",
    "importlib.machinery.SourcelessFileLoader", "importlib.util.spec_from_file_location", "zipimport.zipimporter",
    "importlib.util.module_from_spec", "imp.load_source", "code.interact",
}  # fmt: skip
_CLOCKS = {"perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "time_ns", "process_time", "thread_time"}
_PATCHED = ("time.", "torch.cuda.", "datetime.", "builtins.print", "sys.stdout", "os.write", "torch.distributed.")
MOST_BYTES = 1 << 20  # the longest script of the history has 146 kB; a tree takes some hundred times its text
MOST_DEPTH = 3  # of code in strings
MOST_EXECUTED = 256 << 10  # letters of code in strings


def scan(name: str, source: bytes) -> Scan:
    """Scan one Python file; a file that is no Python has `unreadable` set."""
    found = Scan()
    if len(source) > MOST_BYTES:
        found.unreadable = f"has more than {MOST_BYTES:,} bytes"
        return found
    try:
        tree = ast.parse(source)
        Reader(name, found).read(tree)
    except TooMuchText as error:
        found.unreadable = str(error)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        found.unreadable = f"cannot be parsed as Python ({type(error).__name__})"
    return found


class Reader(Notes):
    """Walks one tree twice: names first, then what is done with them."""

    def __init__(self, file: str, found: Scan) -> None:
        super().__init__(file, found)
        self.names = Names()
        self.path, self.text = self.names.path, self.names.text
        self.variables = Variables(self, self.names)
        self.loading = Loading(self, self.names)
        self.depth = 0
        self.parents: dict[int, ast.AST] = {}
        self.trees: list[ast.AST] = []  # kept, for a node is known by its id
        self.executed: set[str] = set()  # strings that were scanned as code

    def read(self, tree: ast.AST) -> None:
        """Scan a whole file."""
        self.loading.learn(tree)
        self.walk(tree)
        self.variables.end()
        self.loading.end()

    def walk(self, tree: ast.AST) -> None:
        self.trees.append(tree)
        nodes = list(ast.walk(tree))
        for node in nodes:
            self.names.note(node)
            self.loading.note(node)
            for child in ast.iter_child_nodes(node):
                self.parents[id(child)] = node
        for _ in range(3):  # a name may be made of a name that is made further down
            for node in nodes:
                self.names.learn(node)
        self.names.resolved.clear()
        for node in nodes:
            self.examine(node)
            if isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.NamedExpr):
                self.out_of_sight(node)
                self.loading.mentioned(node, self.parents.get(id(node)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
                self.mentioned(node, self.text(node) or "")

    # ------------------------------------------------------------------ what is done

    def examine(self, node: ast.AST) -> None:
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
            effects.note_import(self, node)
            self.loading.imported(node)
        elif isinstance(node, ast.Call):
            self.called(node)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                text = self.text(key)
                self.pattern(text, value)
                self.variables.named(node, text)
        elif isinstance(node, ast.arguments):
            named = [*node.posonlyargs, *node.args]
            for argument, default in zip(named[len(named) - len(node.defaults) :], node.defaults, strict=True):
                self.pattern(argument.arg, default)
        elif (
            isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and self.path(node.value) in ENVIRONMENT
        ):
            for name in self.names.keys(node.slice):
                self.variables.read(node, name)

    def assigned(self, target: ast.expr, node: ast.AST) -> None:
        """Note an assignment to one target."""
        if isinstance(target, ast.Subscript) and self.path(target.value) in ENVIRONMENT:
            for key in self.names.keys(target.slice):
                self.variables.set(target, key)
            return
        if isinstance(target, ast.Subscript):
            self.variables.named(target, self.text(target.slice))
            self.set_path(None, self.text(target.slice), target)
        path = self.path(target) or self.path(getattr(target, "value", None))
        if isinstance(node, ast.AugAssign) and path in ENVIRONMENT:
            self.variables.update(node.value, target)
        if isinstance(target, ast.Name):
            if target.id in _CLOCKS or (target.id == "time" and "time" in self.names.paths.values()):
                self.warn("clock", target, f"assigns a new {target.id}")
            return
        owner = getattr(target, "value", None)
        if path is None and isinstance(owner, ast.Attribute) and owner.attr == "config":
            self.warn("hidden", target, "sets something of a config that cannot be followed")
        self.set_path(path, getattr(target, "attr", None), target)

    def set_path(self, path: str | None, attribute: str | None, node: ast.expr) -> None:
        """Note that something at a dotted path gets another value."""
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
            callee, arguments = self.path(arguments[0]) or "", arguments[1:]
        self.compiled(callee, arguments, node)
        if callee in ("setattr", "object.__setattr__", "delattr") and len(arguments) >= 2:
            owner, name = self.path(arguments[0]), self.text(arguments[1])
            self.set_path(f"{owner}.{name}" if owner else None, name, node)
        elif method == "__setattr__" and arguments:
            self.set_path(f"{base}.{self.text(arguments[0])}", self.text(arguments[0]), node)
        elif base in (INDUCTOR, f"{INDUCTOR}.__dict__") and method not in READING:
            self.flag("inductor-config", node, f"calls {callee}")
        self.variables.called(callee, base, method, arguments, node)
        effects.note_call(self, self.names, callee, arguments, node)
        self.hidden(callee, arguments, node)
        self.loading.called(callee, arguments, node, too_deep=self.depth >= MOST_DEPTH)
        for keyword in node.keywords:
            self.pattern(keyword.arg, keyword.value)
            if keyword.arg == "default" and arguments:
                self.pattern(self.text(arguments[0]), keyword.value)

    def out_of_sight(self, node: ast.expr) -> None:
        """Note an expression that may mean inductor's settings, in a place where they are out of sight."""
        path = self.path(node)
        if path == "sys.modules" and not isinstance(self.parents.get(id(node)), ast.Subscript | ast.Compare):
            self.warn("hidden", node, "looks modules up in sys.modules")
        if not is_settings(path) or not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            return
        named = id(node) in self.names.bound and id(node) not in self.names.stored
        by = holder(node, self.parents, named)
        if isinstance(by, ast.Call):
            callee = (self.path(by.func) or "").removeprefix("builtins.")
            if callee not in LOOKING and callee not in ("setattr", "delattr", "object.__setattr__"):
                self.flag("inductor-config", node, f"hands {path} to {callee or 'a call'}")
        elif by is not None:
            self.flag("inductor-config", node, f"puts {path} where its use cannot be followed")

    def mentioned(self, node: ast.Constant, text: str) -> None:
        """Note a string that may be the name of one of inductor's variables, or a mode of the compiler."""
        parent = self.parents.get(id(node))
        if isinstance(parent, ast.Expr | ast.Compare | ast.keyword | ast.Dict | ast.Subscript):
            return  # a remark, a question, or looked at where it is used
        if re.fullmatch(r"[\w.]*_inductor\.config[\w.]*", text):
            self.warn("hidden", node, f"names {text[:80]} in a text")
        elif text in MODES:
            self.warn("compiler", node, f"names the mode {text} of torch.compile")
        elif re.fullmatch(r"(TORCH)?INDUCTOR_[A-Z0-9_]+=.*", text):
            self.flag("inductor-environment", node, f"sets the variable {text[:80]}")
        elif re.fullmatch(r"(TORCH)?INDUCTOR_[A-Z0-9_]*", text):
            reader = self.path(parent.func) if isinstance(parent, ast.Call) else None
            if reader is None or not reader.endswith((".get", "getenv")):
                self.variables.mentioned.append((node, text[:80]))

    def compiled(self, callee: str, arguments: Sequence[ast.expr], node: ast.Call) -> None:
        """Note a call that may be torch.compile or what it is made of, with what it sets."""
        named: dict[str, ast.expr] = {k.arg: k.value for k in node.keywords if k.arg is not None}
        is_compile = callee == "torch.compile" or (
            callee.endswith(".compile") and not callee.startswith(("re.", "regex."))
        )
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        inside = callee in POSITIONS or method in POSITIONS or callee.startswith("torch._inductor.")
        for spread in [k.value for k in node.keywords if k.arg is None] if is_compile or inside else ():
            for key, value in self.names.entries(spread):
                if key is not None:
                    named[key] = value
                else:
                    self.warn("hidden", node, "hides arguments of torch.compile")
        for word, place in POSITIONS.get(callee, POSITIONS.get(method, {})).items():
            if place < len(arguments):
                named[word] = arguments[place]
        if not is_compile and not inside:
            mode = named.get("mode")  # whatever the function is called, nothing else has these modes
            named = {"config_patches": named["config_patches"]} if "config_patches" in named else {}
            named |= {"mode": mode} if mode is not None and self.text(mode) in MODES else {}
        for word, flag in _SETS.items():
            given = named.get(word)
            plain = given is None or (isinstance(given, ast.Constant) and given.value in (None, "default"))
            if given is not None and not plain:
                self.flag(flag, node, f"compiles with {word}={ast.unparse(given)[:60]}")

    # ------------------------------------------------------------------ what is hidden

    def hidden(self, callee: str, arguments: Sequence[ast.expr], node: ast.Call) -> None:
        """Note a call that runs or finds code that this scan cannot read, and read the code where it can."""
        first = arguments[0] if arguments else None
        if callee in _HIDDEN:
            self.warn("hidden", node, f"calls {callee}, which hides code from this scan")
            text = self.text(first)
            if text is not None and callee in ("exec", "eval", "compile") and self.depth < MOST_DEPTH:
                self.embedded(text)
        elif callee in ("importlib.import_module", "__import__") and self.path(node) is None:
            self.warn("hidden", node, f"calls {callee} with a name that cannot be read")
        elif callee == "getattr" and self.path(node) is None and is_settings(self.path(first)):
            self.warn("hidden", node, f"reads of {self.path(first)} what cannot be read here")

    def embedded(self, text: str) -> None:
        """Scan code in a string that is executed, once."""
        if text in self.executed:
            return
        self.executed.add(text)
        if sum(map(len, self.executed)) > MOST_EXECUTED or len(self.executed) > MOST_PLACES:
            raise TooMuchText("executes more strings than a scan reads")
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return
        self.depth += 1
        self.walk(tree)
        self.depth -= 1

    def pattern(self, name: str | None, value: ast.expr | None) -> None:
        """Note a file pattern that by its name belongs to the training data."""
        if name is None or value is None:
            return
        lowered = name.lower()
        if "val" in lowered or not ("train" in lowered or "input_bin" in lowered):
            return
        text = self.names.loose_text(value)
        if text is not None and (".bin" in text or "*" in text):
            self.train_pattern(text, value)


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
