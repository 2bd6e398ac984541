"""Find the files of GPT-2's tokenizer on this machine, for scripts that build tables of its vocabulary without network.

They are what the package tiktoken keeps in its cache, each under the sha1 of the address that it loads it from. Only
these two are given to a run, and only with the bytes that tiktoken itself demands: nothing else comes in this way.
"""

from pathlib import Path

from harness.store.files import sha256_file
from harness.store.layout import cache_folder

VARIABLE = "TIKTOKEN_CACHE_DIR"
FILES = {
    "6d1cbeee0f20b3d9449abfede4726ed8212e3aee": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    "6c7ea1a7e38e3a7f062df639a5b80947f075ffe6": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
}  # gpt-2/encodings/main/vocab.bpe and encoder.json


def folder() -> Path:
    """Return where they are looked for: tiktoken puts them there if VARIABLE names this folder."""
    return cache_folder() / "tokenizer"


def find_vocabulary() -> tuple[Path, ...]:
    """Return both files; none where one is missing or is another."""
    paths = tuple(folder() / name for name in FILES)
    try:
        good = all(sha256_file(path) == FILES[path.name] for path in paths)
    except OSError:
        return ()
    return paths if good else ()
