"""Tell by its text whether a script keeps the contract: it saves its weights, and they can be loaded without training.

Nothing is executed. Scripts from before the contract, and originals, have no function `load`; they are started as
they always were, without the argument.
"""

import ast

LOAD, SAVE = "load", "save"


def keeps_contract(source: bytes) -> bool:
    """Whether a script has a top-level function `load(path)` and a setting called `save`."""
    try:
        tree = ast.parse(source)
        return any(map(_is_load, tree.body)) and any(map(_names_save, ast.walk(tree)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _is_load(node: ast.stmt) -> bool:
    """Whether a statement defines `load` so that it can be called with one argument."""
    if not isinstance(node, ast.FunctionDef) or node.name != LOAD:
        return False
    taken = [*node.args.posonlyargs, *node.args.args]
    needed = len(taken) - len(node.args.defaults)
    return (
        bool(taken) and needed <= 1 and len(node.args.kwonlyargs) == sum(d is not None for d in node.args.kw_defaults)
    )


def _names_save(node: ast.AST) -> bool:
    """Whether a node is the field of a dataclass, or a text, that names the argument."""
    if isinstance(node, ast.AnnAssign):
        return isinstance(node.target, ast.Name) and node.target.id == SAVE
    return isinstance(node, ast.Constant) and node.value in (SAVE, f"{SAVE}=")
