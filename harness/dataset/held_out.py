"""Choose held-out text: the official validation tokens, and as much other text that no run has trained on.

The other text is chosen after a run has ended, by random numbers of the operating system. On the tracks with FineWeb it
is a stretch of the rest of the validation shard; a synthetic track draws it from its source, which also scores both
texts itself.
"""

import random
from dataclasses import dataclass
from pathlib import Path

from harness.core import markov_source
from harness.core.errors import DatasetError
from harness.core.task import Track
from harness.dataset import probe_data
from harness.dataset.shard import DOCUMENT_START, HEADER_BYTES, count_tokens, read_tokens


@dataclass(frozen=True, slots=True)
class Stretch:
    """So many tokens of a shard, and the one behind them, which only ever is a target."""

    path: Path
    first: int
    tokens: int

    @property
    def offset_bytes(self) -> int:
        """Return where it begins in its file."""
        return HEADER_BYTES + 2 * self.first


def official(track: Track, shard: Path) -> Stretch:
    """Return the track's validation tokens; raises DatasetError where the shard holds fewer."""
    if count_tokens(shard) <= track.validation_tokens:
        what = f"holds no more than {count_tokens(shard):,} tokens, {track.validation_tokens:,} and one are needed"
        raise DatasetError.at(shard.name, what, "fetch it again")
    return Stretch(shard, 0, track.validation_tokens)


def other(track: Track, shard: Path, drawn: Path) -> Stretch:
    """Choose other held-out text, as many tokens as there are official ones, or as the rest of the shard holds.

    drawn: where a synthetic track writes it. Raises DatasetError where the shard has no rest.
    """
    wanted = track.validation_tokens
    if track.data.source == "synthetic":
        probe_data.write_other_stretch(track, shard, drawn, probe_data.fresh_random())
        return Stretch(drawn, 0, wanted)
    rest = count_tokens(shard) - wanted - 1
    if rest < 2:
        raise DatasetError.at(shard.name, "holds the validation tokens alone", "fetch it again")
    tokens = min(wanted, rest - 1)
    return Stretch(shard, wanted + 1 + random.SystemRandom().randrange(rest - tokens), tokens)


def columns(track: Track) -> tuple[int, int]:
    """Return how many columns logits need at least, and the one of the document start: ids, without those never used."""
    if track.data.source == "synthetic":
        return markov_source.SYMBOLS + 1, markov_source.SYMBOLS
    return DOCUMENT_START + 1, DOCUMENT_START


def source_blocks(track: Track, stretch: Stretch, block_tokens: int) -> list[float]:
    """Return what a synthetic track's source itself scores on each block of a stretch, nats per token."""
    tokens = read_tokens(stretch.path)[stretch.first : stretch.first + stretch.tokens + 1]
    source = markov_source.make_source(track.data.seed or 0, varied=track.data.varied)
    found = markov_source.oracle_losses(source, tokens)
    count = len(found) // block_tokens
    return [float(mean) for mean in found[: count * block_tokens].reshape(count, block_tokens).mean(1)]
