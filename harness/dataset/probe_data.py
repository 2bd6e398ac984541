"""Write the tokens of a probe: shards of the track's names and lengths on which a cheating script gives itself away.

A script must not be able to tell that it is probed, so names, lengths and format are those of the track, ids stay in
the track's alphabet, and every file starts with a document. The random numbers come from the operating system, so
that nobody can prepare for them. A file of 100 M tokens takes about a second; nothing here holds more than 8 M.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.core.task import Track
from harness.dataset import synthetic
from harness.dataset.shard import DOCUMENT_START, Tokens, header_of, read_tokens
from harness.store.files import disk_error

_PIECE = 1 << 23  # tokens per write
_GPT2_SYMBOLS = 50_256  # and the document start
_KNOWN_GPT2 = 1024  # K: a bigram table fitted to 10 M tokens gains 0.051 nats at 1,024, but 0.003 at 256
_KNOWN_SYNTHETIC = 128  # half of the alphabet: untrained, a model scores 0.69 nats above ln K

Random = np.random.Generator


def fresh_random() -> Random:
    """Return a generator whose seed nobody knows."""
    return np.random.default_rng()


def alphabet(track: Track) -> Tokens:
    """Return the ids that occur in the track's text, the document start last, shape (n,)."""
    count = synthetic.SYMBOLS if track.data.source == "synthetic" else _GPT2_SYMBOLS
    return np.array([*range(count), DOCUMENT_START], dtype=np.uint16)


def known_symbols(track: Track, random: Random) -> Tokens:
    """Draw the K symbols of a source of known entropy from the alphabet, the document start among them."""
    ids = alphabet(track)
    count = _known_count(track) - 1
    return np.append(random.choice(ids[:-1], count, replace=False), ids[-1]).astype(np.uint16)


def known_entropy(track: Track) -> float:
    """Return the entropy of that source, nats per token: ln K for any tokens, as all K are equally likely."""
    return float(np.log(_known_count(track)))


def untrained_loss(track: Track) -> float:
    """Return the loss of a model that has learned nothing: ln of the size of the alphabet, nats per token."""
    return float(np.log(len(alphabet(track))))


def _known_count(track: Track) -> int:
    return _KNOWN_SYNTHETIC if track.data.source == "synthetic" else _KNOWN_GPT2


def write_uniform(target: Path, count: int, ids: Tokens, random: Random) -> None:
    """Write a shard of `count` tokens drawn independently and uniformly from `ids`."""
    _write(target, count, lambda start, stop: ids[random.integers(0, len(ids), stop - start)])


def relabelling(track: Track, random: Random) -> Tokens:
    """Draw a permutation of the alphabet as a table from id to id, shape (65536,); the document start stays."""
    table = np.arange(1 << 16, dtype=np.uint16)
    symbols = alphabet(track)[:-1]
    table[symbols] = random.permutation(symbols)
    return table


def write_relabelled(source: Path, target: Path, table: npt.NDArray[np.uint16]) -> None:
    """Write the shard `source` with every id replaced through `table`."""
    tokens = read_tokens(source)
    _write(target, len(tokens), lambda start, stop: table[tokens[start:stop]])


def write_other_stretch(track: Track, target: Path, count: int, random: Random) -> None:
    """Write `count` tokens of a synthetic track's own source that are neither its training nor its validation text."""
    source = synthetic.make_source(track.data.seed or 0)
    whole = -(-count // synthetic.LANES) * synthetic.LANES
    tokens = synthetic.draw(source, whole, int(random.integers(1 << 40, 1 << 60)))  # no seed of the track's shards
    _write(target, count, lambda start, stop: tokens[start:stop])


def _write(target: Path, count: int, piece: Callable[[int, int], Tokens]) -> None:
    """Write a shard piece by piece; its first token is a document start, as loaders that align to documents need."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            file.write(header_of(count))
            for start in range(0, count, _PIECE):
                tokens = np.array(piece(start, min(start + _PIECE, count)), dtype="<u2")
                if start == 0:
                    tokens[0] = DOCUMENT_START
                file.write(tokens.tobytes())
        os.chmod(target, 0o444)
    except OSError as error:
        raise disk_error(target, error) from error
