"""Find where a script uses the tokenizer, by its syntax tree: its tables then name ids by the bytes that they stand for.

Such tables are legal: they are of the vocabulary, not of a text. A probe that renames all ids would break them.
"""

import ast
from collections.abc import Iterator

MODULES = {"tiktoken", "tiktoken_ext", "tokenizers", "transformers", "sentencepiece"}
FILES = ("vocab.bpe", "encoder.json", "merges.txt", "gpt2.tiktoken", "r50k_base.tiktoken", "tokenizer.json")
BYTES = {"decode_single_token_bytes", "decode_tokens_bytes", "token_byte_values", "encode_single_token"}


def find_tokenizer(files: dict[str, bytes]) -> str | None:
    """Return the first place where Python files use a tokenizer, "train_gpt.py:12 imports tiktoken", else None."""
    return next((f"{place} {said}" for place, said in _uses(files)), None)


def find_tiktoken(files: dict[str, bytes]) -> str | None:
    """Return the first place where Python files import the package tiktoken, "train_gpt.py:12", else None."""
    return next((place for place, said in _uses(files) if said.startswith("imports tiktoken")), None)


def _uses(files: dict[str, bytes]) -> Iterator[tuple[str, str]]:
    """Yield each place where a tokenizer is used, file by file and line by line, and what is done there."""
    for name in sorted(name for name in files if name.endswith(".py")):
        try:
            tree = ast.parse(files[name])
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        found = [(node.lineno, said) for node in ast.walk(tree) if (said := _said(node)) and hasattr(node, "lineno")]
        yield from ((f"{name}:{line}", said) for line, said in sorted(found))


def _said(node: ast.AST) -> str | None:
    if isinstance(node, ast.Import):
        modules = [alias.name.partition(".")[0] for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        modules = [(node.module or "").partition(".")[0]]
    elif isinstance(node, ast.Call):  # importlib.import_module("tiktoken"), __import__("tiktoken")
        texts = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        modules = [text for text in texts if isinstance(text, str)]
    elif isinstance(node, ast.Attribute) and node.attr in BYTES:
        return f"asks for {node.attr}"
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(FILES):
        return f"names {node.value[-40:]}"
    else:
        return None
    return next((f"imports {module}" for module in modules if module in MODULES), None)
