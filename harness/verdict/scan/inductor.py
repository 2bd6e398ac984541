"""Know inductor's settings: which dotted paths mean them, and where in a script a scan cannot follow them.

Hard because a module is an object: it can be put into a list, given to a function, kept in a class. Whoever holds it
there can set anything under any name. So every place is a finding where the settings, or what sets them, are not only
read, compared, printed or given a plain name.
"""

import ast
from collections.abc import Mapping

INDUCTOR = "torch._inductor.config"
# Settings by which inductor is tuned; whoever assigns one of these means inductor, whatever he calls the module.
INDUCTOR_SETTINGS = {
    "coordinate_descent_tuning", "max_autotune", "max_autotune_gemm", "max_autotune_pointwise", "epilogue_fusion",
    "shape_padding", "coordinate_descent_check_all_directions", "combo_kernels", "aggressive_fusion", "cpp_wrapper",
    "max_autotune_gemm_backends", "coordinate_descent_search_radius", "loop_ordering_after_fusion",
}  # fmt: skip
MODES = {"max-autotune", "max-autotune-no-cudagraphs", "reduce-overhead"}
# Methods of the settings that only tell them.
READING = {
    "get", "keys", "items", "values", "copy", "get_config_copy", "shallow_copy_dict", "to_dict", "save_config",
    "save_config_portable", "codegen_config", "get_hash", "get_type",
}  # fmt: skip
# Functions that may look at them.
LOOKING = {"getattr", "hasattr", "print", "repr", "str", "isinstance", "vars", "dir", "type", "id", "len", "sorted"}
_GROUPS = ("triton", "cpp", "cuda", "cutlass", "rocm", "xpu", "halide", "trace", "aot_inductor", "test_configs")
_SETTING = ("__dict__", "patch", "load_config", "update", "__setattr__", "__delattr__", "_config")
_SETTINGS = {"torch._inductor", INDUCTOR, *(f"{INDUCTOR}.{name}" for name in (*_GROUPS, *_SETTING))}
# What takes settings by position: which argument, counted from 0, is the mode and which the options.
POSITIONS = {
    "torch._TorchCompileInductorWrapper": {"mode": 0, "options": 1},
    "torch._inductor.compile": {"options": 2},
    "torch._inductor.compile_fx.compile_fx": {"options": 3},
    # Methods of the wrapper, whatever holds it.
    "apply_mode": {"mode": 0},
    "apply_options": {"options": 0},
}


def canonical(path: str) -> str:
    """Return a path with inductor's settings under their own name, by whichever module they were reached.

    `torch._inductor.compile_fx.config` is `torch._inductor.config`, and so is `anything._inductor.config`.
    """
    if "_inductor" not in path:
        return path
    parts = path.split(".")
    if "_inductor" not in parts:
        return path
    rest = parts[parts.index("_inductor") + 1 :]
    if "config" in rest:
        rest = rest[rest.index("config") :]
    return ".".join(["torch", "_inductor", *rest])


def is_settings(path: str | None) -> bool:
    """Whether a path is the settings, a group of them, what sets them, or the package that holds them."""
    return path in _SETTINGS


def holder(node: ast.AST, parents: Mapping[int, ast.AST], named: bool) -> ast.AST | None:
    """Find who holds the settings that `node` means, where the scan cannot follow; None where it can.

    named: the expression got a plain name, under which it is still known.
    """
    parent = parents.get(id(node))
    while isinstance(parent, ast.BoolOp | ast.UnaryOp):
        node, parent = parent, parents.get(id(parent))
    if named:
        above = parents.get(id(parent)) if isinstance(parent, ast.Assign | ast.AnnAssign) else None
        return above if isinstance(above, ast.ClassDef) else None
    if isinstance(parent, ast.Attribute | ast.Subscript | ast.Expr | ast.Compare | ast.FormattedValue | ast.NamedExpr):
        return None
    asks = isinstance(parent, ast.If | ast.While | ast.Assert | ast.IfExp | ast.For | ast.comprehension | ast.Call)
    if asks and any(node is getattr(parent, part, None) for part in ("test", "iter", "func")):
        return None
    if isinstance(parent, ast.keyword):
        parent = parents.get(id(parent))
    return parent
