"""Tell program text from everything else that a submission may not bring: by a file's name, and by its bytes.

The check by bytes is the one that counts: what Python, zipimport or a loader of weights reads under any name holds bytes
that no text has. A zip archive, bytecode and a shared library hold NUL bytes by their formats, whatever is in them.
"""

import io
import re
import tokenize

PYTHON = ".py"
# What the originals of the field bring is Python alone; CUDA and C++ are what their kernels might be written in next.
TEXT = (PYTHON, ".cu", ".cuh", ".cpp", ".h", ".md", ".txt", ".toml", ".json", ".yaml")
_MAGIC = {
    b"PK\x03\x04": "a zip archive", b"PK\x05\x06": "a zip archive", b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive", b"\xfd7zXZ": "an xz archive", b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"\x7fELF": "a compiled library", b"\x93NUMPY": "a NumPy array", b"\x80\x02": "a pickle", b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle", b"\x80\x05": "a pickle", b"\x89HDF": "an HDF5 file", b"GGUF": "weights in GGUF",
}  # fmt: skip
_BYTECODE = re.compile(rb"..\r\n", re.DOTALL)  # of Python 3: a number of two bytes, then these
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")


def refusal(name: str, data: bytes) -> str | None:
    """Say why a file is no program text, as the end of a sentence that begins with its name; None where it is."""
    if not name.endswith(TEXT):
        return f"is none of {' '.join(TEXT)}"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"holds {_kind(data)} (byte {error.start} is not UTF-8)"
    control = _CONTROL.search(text)
    if control is not None:
        return f"holds {_kind(data)} (line {text.count(chr(10), 0, control.start()) + 1} has a control character)"
    if name.endswith(PYTHON):
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        except SyntaxError:
            encoding = "none that is known"
        if encoding not in ("utf-8", "utf-8-sig"):
            return f"declares another encoding than UTF-8 ({encoding[:40]})"
    return None


def _kind(data: bytes) -> str:
    if _BYTECODE.match(data):
        return "bytecode of Python"
    return next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), "other than text")
