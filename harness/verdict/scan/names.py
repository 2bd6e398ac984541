"""Resolve the names of a script: dotted paths, constant strings and small dictionaries, over a whole file.

Scope is not regarded and a later binding wins, which errs on the side of seeing what is hidden behind a name; only a
parameter is not taken for inductor's settings of the same name, because handing them over is seen where it is done.
Everything is bounded: a script of forty lines that doubles a text each time would else fill the memory.
"""

import ast
import itertools
from collections.abc import Iterator, Sequence

from harness.verdict.scan.inductor import canonical, is_settings
from harness.verdict.scan.places import TooMuchText

MOST_LETTERS = 4096  # of one text that a script glues together; no name of a variable or module is as long
MOST_GLUED = 8 << 20  # of all such texts
MOST_PATH = 512
MOST_ENTRIES = 256  # of a dictionary or a loop that is looked through each time it is used
BUILTINS = {"getattr", "setattr", "delattr", "vars", "exec", "eval", "compile", "__import__", "globals", "locals"}


class Names:
    """Learns bindings node by node, then answers what an expression means."""

    def __init__(self) -> None:
        self.paths: dict[str, str] = {}  # local name -> dotted path
        self.constants: dict[str, str] = {}
        self.dicts: dict[str, ast.expr] = {}
        self.changes: dict[str, list[tuple[ast.expr | None, ast.expr]]] = {}  # dictionary -> key, value (None: many)
        self.loops: dict[str, Sequence[ast.expr]] = {}  # loop variable -> what it runs over
        self.bound: set[int] = set()  # expressions that have a name now, by id
        self.stored: set[int] = set()  # expressions that went into an attribute or an element as well
        self.parameters: set[int] = set()  # names that mean a parameter of their function
        self.meant: set[str] = set()  # every path that some name has or had
        self.glued = 0
        self.resolved: dict[int, str | None] = {}  # what an expression was found to mean, while nothing is learnt

    # ------------------------------------------------------------------ learning

    def learn(self, node: ast.AST) -> None:
        """Learn what a node gives a name; a name may be made of another one, so go over all nodes more than once."""
        self.resolved.clear()
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                self.paths[name] = canonical(alias.name) if alias.asname else name
                self.meant.add(self.paths[name])
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                self.paths[alias.asname or alias.name] = canonical(f"{node.module}.{alias.name}")
                self.meant.add(self.paths[alias.asname or alias.name])
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for single, value in _pairs(target, node.value):
                    if isinstance(single, ast.Name):
                        self.bind(single.id, value)
        elif isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
            self.bind(node.optional_vars.id, node.context_expr)

    def note(self, node: ast.AST) -> None:
        """Learn what needs no other name to be known: loops, parameters, changes of dictionaries; once for each node."""
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for single, value in _pairs(target, node.value):
                    if not isinstance(single, ast.Name):
                        self.stored.add(id(value))
                    if isinstance(single, ast.Subscript):
                        self.change(single.value, single.slice, value)
        elif isinstance(node, ast.AugAssign):
            self.change(node.target, None, node.value)
        elif isinstance(node, ast.For | ast.comprehension):
            if isinstance(node.target, ast.Name) and isinstance(node.iter, ast.Tuple | ast.List):
                self.loops[node.target.id] = node.iter.elts
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "update":
                for value in (*node.args, *([ast.Call(node.func, [], node.keywords)] if node.keywords else [])):
                    self.change(node.func.value, None, value)
            elif node.func.attr in ("setdefault", "__setitem__") and len(node.args) == 2:
                self.change(node.func.value, node.args[0], node.args[1])
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            self.shadow(node)

    def bind(self, name: str, value: ast.expr) -> None:
        self.bound.add(id(value))
        path, text = self.path(value), self.text(value)
        if path is not None and path != name and ("." in path or path in BUILTINS or path in self.meant):
            self.paths[name] = path
            self.meant.add(path)
        if text is not None:
            if text != self.constants.get(name) and not isinstance(value, ast.Constant | ast.Name):
                self.glued += len(text)
                if self.glued > MOST_GLUED:
                    raise TooMuchText(f"glues more than {MOST_GLUED:,} letters of text together")
            self.constants[name] = text
        if isinstance(value, ast.Dict) or (isinstance(value, ast.Call) and self.path(value.func) == "dict"):
            self.dicts[name] = value

    def change(self, owner: ast.expr, key: ast.expr | None, value: ast.expr) -> None:
        """Note that a dictionary with a name gets more."""
        if isinstance(owner, ast.Name):
            known = self.changes.setdefault(owner.id, [])
            if len(known) < MOST_ENTRIES:
                known.append((key, value))
            elif len(known) == MOST_ENTRIES:
                known.append((None, ast.Constant(None)))  # more than can be read

    def shadow(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        """Learn which names in a function are its parameters and nothing else."""
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        own = {argument.arg for argument in every if argument is not None}
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        inside = [inner for part in body for inner in ast.walk(part)]
        names = [inner for inner in inside if isinstance(inner, ast.Name)]
        own -= {name.id for name in names if not isinstance(name.ctx, ast.Load)}
        own -= {a.asname or a.name for i in inside if isinstance(i, ast.Import | ast.ImportFrom) for a in i.names}
        self.parameters |= {id(name) for name in names if name.id in own}

    # ------------------------------------------------------------------ answering

    def path(self, node: ast.expr | None) -> str | None:
        """Return the dotted path that an expression means; None where it means none."""
        if id(node) not in self.resolved:
            found = self._path(node)
            self.resolved[id(node)] = None if found is None or len(found) > MOST_PATH else canonical(found)
        return self.resolved[id(node)]

    def _path(self, node: ast.expr | None) -> str | None:
        if isinstance(node, ast.Name):
            path = self.paths.get(node.id, node.id)
            return node.id if id(node) in self.parameters and is_settings(path) else path
        if isinstance(node, ast.NamedExpr):
            return self.path(node.value)
        if isinstance(node, ast.Attribute):
            base = self.path(node.value)
            return f"{base or 'torch'}.{node.attr}" if base or node.attr == "_inductor" else None
        if isinstance(node, ast.Subscript):
            return self._element(self.path(node.value), node.value, self.text(node.slice))
        if isinstance(node, ast.Call):
            return self._called_path(node)
        return None

    def _element(self, base: str | None, owner: ast.expr, key: str | None) -> str | None:
        """Resolve `owner[key]`, where the owner is a table of names."""
        if key is None:
            return None
        if base == "sys.modules":
            return key
        if isinstance(owner, ast.Call) and not owner.args and _name(owner.func) in ("globals", "locals", "vars"):
            return self.paths.get(key, key)
        for table in (".__dict__", ".__globals__"):  # of a module; of a function in one
            if base is not None and base.endswith(table):
                return f"{base.removesuffix(table)}.{key}"
        return None

    def _called_path(self, node: ast.Call) -> str | None:
        callee = (self.path(node.func) or "").removeprefix("builtins.")
        first = node.args[0] if node.args else None
        second = node.args[1] if len(node.args) > 1 else None
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        if callee == "getattr" and second is not None:
            base, name = self.path(first), self.text(second)
            return f"{base or 'torch'}.{name}" if name and (base or name.startswith("_inductor")) else None
        if isinstance(node.func, ast.Call) and _name(node.func.func) == "attrgetter" and node.func.args:
            base, name = self.path(first), self.text(node.func.args[0])
            return f"{base}.{name}" if base and name else None
        if callee in ("importlib.import_module", "__import__"):
            name = self.text(first or keywords.get("name"))
            package = self.text(second or keywords.get("package")) if callee != "__import__" else None
            if name and name.startswith(".") and package:
                return f"{package}.{name.lstrip('.')}"
            return name
        if callee == "vars" and first is not None:
            base = self.path(first)
            return None if base is None else f"{base}.__dict__"
        if isinstance(node.func, ast.Attribute):
            method = node.func.attr
            base = callee.removesuffix(f".{method}") or None
            if method in ("get", "__getitem__", "pop", "setdefault"):
                return self._element(base, node.func.value, self.text(first))
            if method in ("__getattribute__", "__getattr__"):
                name = self.text(first)
                return f"{base}.{name}" if base and name else None
        return None

    def text(self, node: ast.expr | None) -> str | None:
        """Return the constant string that an expression is; None where it is none, or a glued one of more than 4,096."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            return node.value if isinstance(node.value, str) else node.value.decode("latin-1")
        if isinstance(node, ast.Name):
            return self.constants.get(node.id)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return _glue([self.text(node.left), self.text(node.right)])
        if isinstance(node, ast.JoinedStr):
            return _glue(self.text(p.value if isinstance(p, ast.FormattedValue) else p) for p in node.values)
        return None

    def keys(self, node: ast.expr) -> list[str | None]:
        """List the constants that an index may be: one, or all that a loop variable runs over."""
        if isinstance(node, ast.Name) and node.id in self.loops:
            elements = self.loops[node.id]
            return [self.text(element) for element in elements] if len(elements) <= MOST_ENTRIES else [None]
        return [self.text(node)]

    def entries(self, node: ast.expr) -> list[tuple[str | None, ast.expr]]:
        """List the keys and values of a dictionary with all that was added to it; None is a key that cannot be read."""
        found = list(itertools.islice(self._entries(node, set()), MOST_ENTRIES + 1))
        return found if len(found) <= MOST_ENTRIES else [*found, (None, node)]

    def _entries(self, node: ast.expr, seen: set[str]) -> Iterator[tuple[str | None, ast.expr]]:
        if isinstance(node, ast.Name) and (node.id in self.dicts or node.id in self.changes):
            if node.id not in seen and len(seen) < MOST_ENTRIES:
                seen.add(node.id)
                if node.id in self.dicts:
                    yield from self._entries(self.dicts[node.id], seen)
                else:
                    yield None, node
                for key, value in self.changes.get(node.id, ()):
                    yield from [(self.text(key), value)] if key is not None else self._entries(value, seen)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                yield from [(self.text(key), value)] if key is not None else self._entries(value, seen)
        elif isinstance(node, ast.Call) and (self.path(node.func) == "dict" or _is_update(node.func)):
            for argument in node.args:
                yield from self._entries(argument, seen)
            for keyword in node.keywords:
                named = keyword.arg is not None
                yield from [(keyword.arg, keyword.value)] if named else self._entries(keyword.value, seen)
        else:
            yield None, node

    def loose_text(self, node: ast.expr) -> str | None:
        """Return a string whose unknown parts are stars; None where nothing of it is known."""
        if isinstance(node, ast.JoinedStr):
            parts = (self.text(p.value if isinstance(p, ast.FormattedValue) else p) or "*" for p in node.values)
            return _glue(parts)
        if isinstance(node, ast.Call) and node.args:  # os.path.join(…, "x"), Path(…, "x"), glob.glob("x")
            return self.loose_text(node.args[-1])
        if isinstance(node, ast.BinOp):
            left, right = self.loose_text(node.left), self.loose_text(node.right)
            return _glue([left or "*", "/" if isinstance(node.op, ast.Div) else "", right])
        return self.text(node)


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield each single target of an assignment with what it gets; `a, b = 1, 2` is two assignments."""
    if not isinstance(target, ast.Tuple | ast.List):
        yield target, value
    elif (
        isinstance(value, ast.Tuple | ast.List)
        and len(value.elts) == len(target.elts)
        and not any(isinstance(element, ast.Starred) for element in (*target.elts, *value.elts))
    ):
        for inner, part in zip(target.elts, value.elts, strict=True):
            yield from _pairs(inner, part)


def _name(node: ast.expr) -> str | None:
    """Return the last part of a plain name or of an attribute."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None


def _is_update(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and function.attr == "update"


def _glue(parts: Sequence[str | None] | Iterator[str | None]) -> str | None:
    """Join the parts to one text, if all are known and they are not longer together than a text may be."""
    whole: list[str] = []
    size = 0
    for part in parts:
        size += len(part or "")
        if part is None or size > MOST_LETTERS:
            return None
        whole.append(part)
    return "".join(whole)
