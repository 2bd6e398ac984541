"""GPT-2's tokenizer from its two files: the merges in their order, and the ids.

The merges write each byte as a letter that can be printed: printable bytes as themselves, the 68 others as the letters
from U+0100 on, in order. The ids must follow from the merges; the file of ids is read to hold that, and for the id of
the end of text. The package tiktoken cuts text and applies the merges.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import DatasetError

if TYPE_CHECKING:
    import tiktoken

END_OF_TEXT = "<|endoftext|>"
AGAIN = "remove it and fetch it again: speedrun fetch hellaswag"


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """Text to ids and back; ordinary text only: what looks like a special token is text."""

    encoding: "tiktoken.Encoding"
    end: int  # the id that begins every document

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        return self.encoding.encode_ordinary(text)

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids; bytes that are no UTF-8, and ids that mean nothing, become replacement characters."""
        return b"".join(self._bytes(id) for id in ids).decode("utf-8", "replace")

    def _bytes(self, id: int) -> bytes:
        try:
            return self.encoding.decode_single_token_bytes(id)
        except KeyError:
            return "\ufffd".encode()


def read_tokenizer(merges: Path, ids: Path) -> Tokenizer:
    """Read the tokenizer; raises DatasetError where the two files are not of one tokenizer, or tiktoken is missing."""
    ranks = _ranks(merges)
    try:
        known = json.loads(ids.read_text("utf-8"))
        assert isinstance(known, dict)
    except (OSError, ValueError, AssertionError, RecursionError):
        raise DatasetError.at(ids, "is no file of ids", AGAIN) from None
    end = known.pop(END_OF_TEXT, None)
    letters = _letters()
    if known != {"".join(letters[byte] for byte in piece): rank for piece, rank in ranks.items()} or end != len(ranks):
        raise DatasetError.at(ids, f"does not hold the ids that follow from {merges.name}", AGAIN)
    try:
        import tiktoken
        from tiktoken_ext.openai_public import r50k_pat_str
    except ImportError:
        todo = "install the eval extra: pip install '.[eval]'"
        raise DatasetError.at("tiktoken", "is not installed", todo) from None
    encoding = tiktoken.Encoding(
        name="gpt2-files", pat_str=r50k_pat_str, mergeable_ranks=ranks, special_tokens={END_OF_TEXT: end}
    )
    return Tokenizer(encoding, end)


def _letters() -> dict[int, str]:
    """Return the letter that stands for each byte, in the order of the ids of single bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def _ranks(path: Path) -> dict[bytes, int]:
    """Return the id of every piece: single bytes first, then what each merge makes; raises DatasetError."""
    letters = _letters()
    bytes_of = {letter: byte for byte, letter in letters.items()}
    ranks = {bytes([byte]): id for id, byte in enumerate(letters)}
    try:
        first, *lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        raise DatasetError.at(path, "cannot be read as UTF-8", AGAIN) from None
    if not first.startswith("#version"):
        raise DatasetError.at(path, "does not begin with #version: no file of merges", AGAIN)
    for number, line in enumerate(lines, start=2):
        if not line and number == len(lines) + 1:
            break
        parts = line.split(" ")
        if len(parts) != 2 or not all(part and set(part) <= bytes_of.keys() for part in parts):
            raise DatasetError.at(f"{path}:{number}", "is no merge of two pieces", AGAIN)
        ranks.setdefault(bytes(bytes_of[letter] for letter in "".join(parts)), len(ranks))
    return ranks
