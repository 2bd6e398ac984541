"""What the names of a script mean: dotted paths, constant strings and small dictionaries, over a whole file.

Scope is not regarded and a later binding wins, which errs on the side of seeing what is hidden behind a name.
"""

from __future__ import annotations

import ast


class Names:
    """Learns bindings node by node, then answers what an expression means."""

    def __init__(self) -> None:
        self.paths: dict[str, str] = {}  # local name -> dotted path
        self.constants: dict[str, str] = {}
        self.dicts: dict[str, ast.expr] = {}
        self.loops: dict[str, list[str | None]] = {}  # loop variable -> the constants that it runs over

    def learn(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.paths[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                self.paths[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    self.bind(target.id, node.value)
        elif isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
            self.bind(node.optional_vars.id, node.context_expr)
        elif isinstance(node, ast.For | ast.comprehension):
            self.loop(node.target, node.iter)

    def bind(self, name: str, value: ast.expr) -> None:
        path, text = self.path(value), self.text(value)
        if path is not None and path != name and (("." in path) or path in self.paths.values()):
            self.paths[name] = path
        if text is not None:
            self.constants[name] = text
        if isinstance(value, ast.Dict) or (isinstance(value, ast.Call) and self.path(value.func) == "dict"):
            self.dicts[name] = value

    def loop(self, target: ast.expr, over: ast.expr) -> None:
        if isinstance(target, ast.Name) and isinstance(over, ast.Tuple | ast.List):
            self.loops[target.id] = [self.text(element) for element in over.elts]

    def path(self, node: ast.expr | None) -> str | None:
        """The dotted path that an expression means; None where it means none."""
        if isinstance(node, ast.Name):
            return self.paths.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            base = self.path(node.value)
            return None if base is None else f"{base}.{node.attr}"
        if isinstance(node, ast.Subscript):
            key, base = self.text(node.slice), self.path(node.value)
            if key is None or base is None:
                return None
            if base == "sys.modules":
                return key
            return f"{base.removesuffix('.__dict__')}.{key}" if base.endswith(".__dict__") else None
        if isinstance(node, ast.Call):
            return self._called_path(node)
        return None

    def _called_path(self, node: ast.Call) -> str | None:
        callee = self.path(node.func)
        first = node.args[0] if node.args else None
        if callee in ("getattr", "builtins.getattr", "operator.attrgetter") and len(node.args) >= 2:
            base, name = self.path(first), self.text(node.args[1])
            return f"{base}.{name}" if base and name else None
        if callee in ("importlib.import_module", "__import__", "builtins.__import__"):
            return self.text(first)
        if callee in ("vars", "builtins.vars") and first is not None:
            base = self.path(first)
            return None if base is None else f"{base}.__dict__"
        return None

    def text(self, node: ast.expr | None) -> str | None:
        """The constant string that an expression is; None where it is none."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            return node.value if isinstance(node.value, str) else node.value.decode("latin-1")
        if isinstance(node, ast.Name):
            return self.constants.get(node.id)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = self.text(node.left), self.text(node.right)
            return None if left is None or right is None else left + right
        if isinstance(node, ast.JoinedStr):
            parts = [self.text(p.value if isinstance(p, ast.FormattedValue) else p) for p in node.values]
            return None if None in parts else "".join(part or "" for part in parts)
        return None

    def keys(self, node: ast.expr) -> list[str | None]:
        """The constants that an index may be: one, or all that a loop variable runs over."""
        if isinstance(node, ast.Name) and node.id in self.loops:
            return self.loops[node.id]
        return [self.text(node)]

    def loose_text(self, node: ast.expr) -> str | None:
        """A string whose unknown parts are stars; None where nothing of it is known."""
        if isinstance(node, ast.JoinedStr):
            return "".join(self.text(p.value if isinstance(p, ast.FormattedValue) else p) or "*" for p in node.values)
        if isinstance(node, ast.Call) and node.args:  # os.path.join(…, "x"), Path(…, "x"), glob.glob("x")
            return self.loose_text(node.args[-1])
        if isinstance(node, ast.BinOp):
            left, right = self.loose_text(node.left), self.loose_text(node.right)
            return None if right is None else f"{left or '*'}{'/' if isinstance(node.op, ast.Div) else ''}{right}"
        return self.text(node)
