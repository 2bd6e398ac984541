"""Note where a script loads code that a scan of its Python files does not read, and which files it may mean.

An import of a file beside the script needs no note: what an import finds there is Python, and scanned, or no text. Here
are the other ways: text that is executed, files that are run or loaded by path, C++ that is compiled, and what changes
how imports find their files. Where the text is a constant the scan reads it; where a name of a file stands in the
expression, or in what its names were made of, that file is meant; anything else is `blind`. So are a pickle wherever it lies
(for torch.load and numpy.load: one in memory), another process than nvidia-smi, and the attributes by which a function
reaches what no name says.
"""

import ast
import re
from collections.abc import Sequence

from harness.verdict.scan.names import Names
from harness.verdict.scan.places import MOST_PLACES, Load, Notes, Place

# Calls that execute text or code objects.
EXECUTING = {
    "exec", "eval", "compile", "types.CodeType", "types.FunctionType", "timeit.timeit", "timeit.repeat", "timeit.Timer",
    "cProfile.run", "cProfile.runctx", "profile.run", "pdb.run", "pdb.runeval", "code.interact",
    "code.InteractiveInterpreter", "code.InteractiveConsole", "codeop.compile_command", "doctest.testfile",
    "doctest.run_docstring_examples", "ctypes.pythonapi.PyRun_SimpleString", "trace.Trace", "bdb.Bdb",
    "typing.ForwardRef", "inspect.get_annotations", "torch.jit.CompilationUnit",
    "timeit.main", "code.compile_command", "codeop.Compile", "codeop.CommandCompiler", "runpy.run_module", "pdb.Pdb",
    "ctypes.pythonapi.PyRun_String",
}  # fmt: skip
# Calls that run or load a file, and where its path stands.
BY_PATH = {
    "runpy.run_path": 0, "importlib.machinery.SourceFileLoader": 1, "importlib.machinery.SourcelessFileLoader": 1,
    "importlib.machinery.ExtensionFileLoader": 1, "importlib.util.spec_from_file_location": 1, "imp.load_source": 1,
    "imp.load_compiled": 1, "imp.load_dynamic": 1, "zipimport.zipimporter": 0, "torch.ops.load_library": 0,
    "torch.classes.load_library": 0, "torch.jit.load": 0, "torch.package.PackageImporter": 0,
}  # fmt: skip
# Calls that read values and may run code by it: a pickle names what it calls.
UNPICKLING = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads", "joblib.load", "dill.load",
    "dill.loads", "cloudpickle.load", "cloudpickle.loads", "shelve.open", "yaml.load", "yaml.unsafe_load", "pickle._load",
    "pickle._loads", "pickle._Unpickler", "_pickle.load", "_pickle.loads", "_pickle.Unpickler", "pandas.read_pickle",
    "multiprocessing.reduction.ForkingPickler.loads",
}  # fmt: skip
# Calls that do so only if they are told to, and the value of that argument with which they do not.
MAY_UNPICKLE = {
    "torch.load": ("weights_only", True), "torch.serialization.load": ("weights_only", True),
    "numpy.load": ("allow_pickle", False), "numpy.lib.format.read_array": ("allow_pickle", False),
}  # fmt: skip
# Calls that matter where they read a file of the submission.
READING = {"ctypes.CDLL", "ctypes.cdll.LoadLibrary", "ctypes.PyDLL", *UNPICKLING, *MAY_UNPICKLE}
_STARTING = (
    "subprocess.", "os.system", "os.popen", "os.exec", "os.spawn", "os.posix_spawn", "posix.system", "posix.exec",
    "posix.spawn", "posix.posix_spawn", "pty.spawn", "asyncio.create_subprocess_", "_posixsubprocess.",
)  # fmt: skip
# Of these modules, what starts a process; the rest are constants and exceptions.
STARTERS = {"run", "call", "check_call", "check_output", "getoutput", "getstatusoutput", "Popen", "fork_exec"}
# Places where something is given to be called out of sight; and what only asks, or is seen as a call.
HANDING = (ast.Call, ast.ClassDef, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.keyword, ast.Return, ast.Starred)
PASSED_TO = {"functools.partial", "partial", "isinstance", "issubclass", "type", "hasattr"}
HARMLESS = "nvidia-smi"  # the one program that scripts of the field start
# Attributes by which a function or a class reaches code that no name of the script says.
REACHING = {
    "__globals__", "__code__", "__closure__", "__subclasses__", "__builtins__", "f_builtins", "f_globals", "f_locals",
    "__loader__", "__self__",
}  # fmt: skip
# What changes how imports find their files.
FINDING = (
    "sys.meta_path", "sys.path_hooks", "sys.path_importer_cache", "importlib.abc", "importlib.machinery",
    "importlib.util.spec_from_loader", "importlib.util.LazyLoader", "imp.load_module", "zipimport", "site.addsitedir",
)  # fmt: skip
_BUILTIN = ("exec", "eval", "compile")
MOST_FOLLOWED = 500  # parts of expressions for one place; what is hidden behind more is blind


class Loading:
    """Notes what one file loads."""

    def __init__(self, notes: Notes, names: Names) -> None:
        self.notes, self.names = notes, names
        self.made_of: dict[str, list[ast.expr]] = {}  # name -> what it was made of, anywhere in the file
        self.unpickled: list[int] = []  # of what waits, where a library unpickles if what it is given lies in memory
        self.own: set[str] = set()  # names of functions at the top of the file: they are no builtins
        self.waiting: list[tuple[str, str, ast.AST, tuple[ast.AST, ...], bool]] = []

    # ------------------------------------------------------------------ learning

    def learn(self, tree: ast.AST) -> None:
        """Learn which functions of a module have a builtin's name."""
        self.own |= {node.name for node in getattr(tree, "body", ()) if isinstance(node, ast.FunctionDef)}

    def note(self, node: ast.AST) -> None:
        """Learn what a node gives names."""
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                self._bind(target, node.value)
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            self._bind(node.optional_vars, node.context_expr)
        elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            self._bind(node.target, node.iter)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for inner in node.body:
                if isinstance(inner, ast.Return) and inner.value is not None:
                    self.made_of.setdefault(node.name, []).append(inner.value)

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.made_of.setdefault(target.id, []).append(value)
        elif isinstance(target, ast.Tuple | ast.List):
            for element in target.elts:
                self._bind(element, value)

    # ------------------------------------------------------------------ what is loaded

    def imported(self, node: ast.Import | ast.ImportFrom) -> None:
        """Note which modules are imported, and those that decide what imports find."""
        if isinstance(node, ast.ImportFrom):
            modules = [node.module] if node.module else [alias.name for alias in node.names]
            for alias in node.names:
                self._finder(f"{node.module}.{alias.name}", node)
        else:
            modules = [alias.name for alias in node.names]
        for module in modules:
            self.notes.found.imports.setdefault(module.partition(".")[0], node.lineno)
            self._finder(module, node)

    def called(self, callee: str, arguments: Sequence[ast.expr], node: ast.Call, *, too_deep: bool) -> None:
        """Note a call that loads code or values; too_deep: the scan does not read a text that it executes."""
        callee = callee.removeprefix("__builtins__.")
        every = (*arguments, *(keyword.value for keyword in node.keywords))
        if callee in EXECUTING and not self._is_own(node.func, callee):
            if callee not in _BUILTIN or too_deep or not arguments or not self._is_literal(arguments[0]):
                self._wait("code", f"runs text or code objects with {callee}", node, every)
        elif callee in BY_PATH:
            place = BY_PATH[callee]
            path = arguments[place : place + 1] or [k.value for k in node.keywords if k.arg in ("path", "location")]
            text = self.names.text(path[0]) if path and self._is_literal(path[0]) else None
            beside = text is not None and "/" not in text.removeprefix("./")
            self._wait("code", f"loads a file with {callee}", node, tuple(path or every), blind=not beside)
        elif callee in READING:
            blind = callee in UNPICKLING
            if callee in MAY_UNPICKLE and _unpickles(node, *MAY_UNPICKLE[callee]):
                self.unpickled.append(len(self.waiting))
            self._wait("values", f"loads values with {callee}", node, every, blind=blind)
        elif callee.startswith(_STARTING):
            self._wait(
                "process", f"starts a process with {callee}", node, every, blind=not self._is_harmless(arguments, node)
            )
        elif callee.rpartition(".")[0].endswith("cpp_extension"):
            self._wait("compiled", f"compiles C++ or CUDA with {callee}", node, every)

    def _is_harmless(self, arguments: Sequence[ast.expr], node: ast.Call) -> bool:
        """Whether a command is one program by its name that runs no code of the script."""
        if any(keyword.arg in (None, "executable", "env", "preexec_fn") for keyword in node.keywords):
            return False
        first = arguments[0] if arguments else None
        if isinstance(first, ast.List | ast.Tuple):
            first = first.elts[0] if first.elts else None
        text = self.names.text(first)
        return text is not None and re.fullmatch(rf"{HARMLESS}( [\w=,. -]*)?", text) is not None

    def _is_literal(self, node: ast.expr) -> bool:
        """Whether an expression is a text without any name in it, whose value might be another one by then."""
        return self.names.text(node) is not None and not any(isinstance(inner, ast.Name) for inner in ast.walk(node))

    def mentioned(self, node: ast.expr, parent: ast.AST | None) -> None:
        """Note an expression that means what runs text, or what decides where imports look, beyond a plain call of it."""
        path = self.names.path(node) or ""
        last = node.attr if isinstance(node, ast.Attribute) else path.rpartition(".")[2]
        if last in REACHING and (isinstance(node, ast.Attribute) or (isinstance(node, ast.Call) and "." in path)):
            self._wait("code", f"reaches through {last} what cannot be read", node)
        if path in ("builtins", "__builtins__", "builtins.__dict__", "__builtins__.__dict__"):
            plain = isinstance(parent, ast.Attribute) or (isinstance(parent, ast.Call) and self.names.path(parent))
            if not plain or path.endswith("__dict__"):
                self._wait("code", f"takes from {path} what cannot be read", node)
        elif path.removeprefix("builtins.") in _BUILTIN and not self._is_own(node, path):
            called = isinstance(parent, ast.Call) and (
                parent.func is node or self.names.path(parent.func) in ("functools.partial", "partial")
            )
            if not called and id(node) not in self.names.bound:
                self._wait("code", f"hands {path} to something else", node)
        elif (
            _starts(path) and isinstance(parent, HANDING) and not (isinstance(parent, ast.Call) and parent.func is node)
        ):
            if not isinstance(parent, ast.Call) or self.names.path(parent.func) not in PASSED_TO:
                self._wait("code", f"hands {path} to something else", node)
        elif not isinstance(parent, ast.Attribute):
            self._finder(path, node)
            if path == "sys.path" or path.startswith("sys.path."):
                self._wait("path", "changes or reads sys.path", node, blind=False)

    def _is_own(self, node: ast.expr, path: str) -> bool:
        """Whether a name is a function of the file, a parameter, or the target of an assignment."""
        stored = not isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
        return path in self.own or stored or id(node) in self.names.parameters

    def _finder(self, path: str, node: ast.AST) -> None:
        if path in FINDING or (path.startswith(FINDING) and path not in BY_PATH and path.count(".") > 1):
            self._wait("finder", f"uses {path}, which decides what an import finds", node)

    def _wait(
        self, kind: str, said: str, node: ast.AST, parts: tuple[ast.AST, ...] = (), *, blind: bool = True
    ) -> None:
        if len(self.waiting) < MOST_PLACES:
            self.waiting.append((kind, said, node, parts, blind))
        elif len(self.waiting) == MOST_PLACES:
            self.waiting.append(("code", f"loads something at more than {MOST_PLACES:,} places", node, (), True))

    # ------------------------------------------------------------------ the end

    def end(self) -> None:
        """Follow each expression, once all names are known."""
        for place, (kind, said, node, parts, blind) in enumerate(self.waiting):
            names, lost = self._texts(parts)
            blind = blind or (place in self.unpickled and "BytesIO" in names)
            if blind or names or lost or kind == "path":
                where = Place(kind, self.notes.file, getattr(node, "lineno", 0), said)
                self.notes.found.loads.append(Load(kind, where, names, blind or lost))

    def _texts(self, parts: tuple[ast.AST, ...]) -> tuple[frozenset[str], bool]:
        """Gather the texts in expressions and in what their names were made of, and whether bytes in memory are read.

        True where there are too many parts.
        """
        found: set[str] = set()
        seen: set[str] = set()
        waiting: list[ast.AST] = list(parts)
        for node in waiting:  # it grows meanwhile
            text = self.names.text(node) if isinstance(node, ast.expr) else None
            if text is not None:
                found.add(text.rpartition("/")[2][:100])
            elif isinstance(node, ast.Name | ast.Attribute) and (self.names.path(node) or "").endswith("BytesIO"):
                found.add("BytesIO")
            if isinstance(node, ast.Name) and node.id not in seen:
                seen.add(node.id)
                waiting += self.made_of.get(node.id, ())
            waiting += ast.iter_child_nodes(node)
            if len(waiting) > MOST_FOLLOWED:
                return frozenset(found), True
        return frozenset(found), False


def _starts(path: str) -> bool:
    """Whether a path is a function or class that unpickles, or starts a process."""
    module, _, name = path.rpartition(".")
    known = name in STARTERS if module in ("subprocess", "_posixsubprocess") else path.startswith(_STARTING)
    return path in UNPICKLING or known


def _unpickles(node: ast.Call, word: str, safe: bool) -> bool:
    """Whether a call may be told to unpickle: by that argument, another module for it, or arguments out of sight."""
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    value = given.get(word, ast.Constant(safe))
    plain = isinstance(value, ast.Constant) and value.value is safe
    return not plain or None in given or "pickle_module" in given or len(node.args) > 2
