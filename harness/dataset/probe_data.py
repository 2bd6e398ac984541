"""Write the tokens of a probe: shards of the track's names and lengths on which a cheating script gives itself away.

A script must not be able to tell that it is probed, so every prepared file has the name, the length, the mode and the
times of the one that it stands for, its ids stay in the track's alphabet, and documents start where they start there:
loaders that align to documents run out of data where starts are rarer, or out of space where they are more frequent.
The random numbers come from the operating system, so that nobody can prepare for them. A file of 100 M tokens takes
about a second; nothing here holds more than 8 M.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.core import markov_source
from harness.core.errors import DatasetError
from harness.core.task import Track
from harness.dataset.shard import DOCUMENT_START, HEADER_BYTES, Tokens, read_tokens
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
    """Return the ids that occur in the track's text but the document start, shape (n,)."""
    count = markov_source.SYMBOLS if track.data.source == "synthetic" else _GPT2_SYMBOLS
    return np.arange(count, dtype=np.uint16)


def known_symbols(track: Track, random: Random) -> Tokens:
    """Draw the K symbols of a source of known entropy from the alphabet."""
    return random.choice(alphabet(track), _known_count(track), replace=False)


def known_entropy(track: Track, validation: Path) -> float:
    """Return what nobody scores less than on such a source in the place of this validation shard, nats per token.

    All K symbols are equally likely, and where documents start costs nothing at least: they start where they do in the
    track's own shard, which a script may know by heart. Whoever does not know it pays some 0.008 nats more on FineWeb,
    0.026 on the smoke track.
    """
    targets = read_tokens(validation)[1 : track.validation_tokens + 1]
    starts = int(np.count_nonzero(targets == DOCUMENT_START))
    return float((1 - starts / len(targets)) * np.log(_known_count(track)))


def untrained_loss(track: Track) -> float:
    """Return the loss of a model that has learned nothing: ln of the number of ids, nats per token."""
    return float(np.log(len(alphabet(track)) + 1))


def _known_count(track: Track) -> int:
    return _KNOWN_SYNTHETIC if track.data.source == "synthetic" else _KNOWN_GPT2


def write_noise(source: Path, target: Path, ids: Tokens, random: Random) -> None:
    """Write the shard `source` with every token but the document starts drawn independently and uniformly from `ids`."""
    tokens = read_tokens(source)

    def piece(start: int, stop: int) -> Tokens:
        drawn = ids[random.integers(0, len(ids), stop - start)]
        return np.where(tokens[start:stop] == DOCUMENT_START, np.uint16(DOCUMENT_START), drawn)

    _write(source, target, piece)


def document_lengths(source: Path, most: int = _PIECE) -> npt.NDArray[np.int64]:
    """Measure the lengths of the documents at the beginning of a shard, tokens, shape (n,); the last one may be cut."""
    tokens = read_tokens(source)[:most]
    starts = np.flatnonzero(tokens == DOCUMENT_START)
    return np.diff(starts, append=len(tokens)) if len(starts) else np.array([len(tokens)])


def write_new_documents(
    source: Path, target: Path, ids: Tokens, lengths: npt.NDArray[np.int64], random: Random
) -> None:
    """Write a shard of the length of `source` that tells nothing of it: documents of `ids` drawn uniformly.

    Their lengths are drawn from `lengths`, so they start as often as the track's and nowhere where those do but by chance.
    """
    count = len(read_tokens(source))
    starts = np.zeros(1, dtype=np.int64)
    while starts[-1] < count:
        drawn = random.choice(lengths, 1 + int(1.1 * (count - starts[-1]) / lengths.mean()))
        starts = np.append(starts, starts[-1] + np.cumsum(drawn))

    def piece(start: int, stop: int) -> Tokens:
        tokens = ids[random.integers(0, len(ids), stop - start)]
        tokens[starts[(starts >= start) & (starts < stop)] - start] = DOCUMENT_START
        return tokens

    _write(source, target, piece)


def relabelling(track: Track, random: Random) -> Tokens:
    """Draw a permutation of the alphabet as a table from id to id, shape (65536,); the document start stays."""
    table = np.arange(1 << 16, dtype=np.uint16)
    table[alphabet(track)] = random.permutation(alphabet(track))
    return table


def write_relabelled(source: Path, target: Path, table: npt.NDArray[np.uint16]) -> None:
    """Write the shard `source` with every id replaced through `table`."""
    tokens = read_tokens(source)
    _write(source, target, lambda start, stop: table[tokens[start:stop]])


def write_other_stretch(track: Track, source: Path, target: Path, random: Random) -> None:
    """Write a validation shard whose first tokens are other held-out text than those of the track's own, `source`.

    A synthetic track draws them from its source. Of another one they are text that the shard holds behind the track's
    validation tokens: it is turned so that it begins with a document there.
    """
    tokens = read_tokens(source)
    if track.data.source == "synthetic":
        made = markov_source.make_source(track.data.seed or 0, varied=track.data.varied)
        whole = -(-len(tokens) // markov_source.LANES) * markov_source.LANES
        drawn = markov_source.draw(made, whole, int(random.integers(1 << 40, 1 << 60)))  # no seed of the track's shards
        _write(source, target, lambda start, stop: drawn[start:stop])
        return
    first, last = track.validation_tokens + 1, len(tokens) - track.validation_tokens - 1
    starts = first + np.flatnonzero(tokens[first:last] == DOCUMENT_START)
    if not len(starts):
        raise DatasetError.at(source.name, "holds no second stretch of validation text", "probe with --probe NAME")
    begin = int(random.choice(starts))
    _write(source, target, lambda start, stop: np.take(tokens, np.arange(begin + start, begin + stop), mode="wrap"))


def _write(source: Path, target: Path, piece: Callable[[int, int], Tokens]) -> None:
    """Write a shard in the place of `source`, piece by piece, with its length, its mode and its times."""
    like, count = source.stat(), len(read_tokens(source))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            with source.open("rb") as original:
                file.write(original.read(HEADER_BYTES))
            for start in range(0, count, _PIECE):
                file.write(piece(start, min(start + _PIECE, count)).astype("<u2", copy=False).tobytes())
        os.utime(target, ns=(like.st_atime_ns, like.st_mtime_ns))
        os.chmod(target, stat.S_IMODE(like.st_mode))
    except OSError as error:
        raise disk_error(target, error) from error
