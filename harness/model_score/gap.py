"""Compare how well two texts are known: the official one should be no better known than other held-out text.

Two stretches of text differ in how hard they are, so a script's own two losses say little. An honest model beside it
has the same texts before it: what is hard for one is hard for the other, block by block, and the difference of the two
has a spread of its own that says how much chance can do.
"""

import math
from collections.abc import Sequence

from harness.core import stats
from harness.core.scores import Gap

Losses = Sequence[Sequence[float]]  # of the official text and of the other one, per block


def compare(own: Losses, reference: Losses, name: str) -> Gap | None:
    """Return the gap between two texts beyond that of the reference; None with fewer than two blocks of either."""
    beyond = [[a - b for a, b in zip(mine, theirs, strict=True)] for mine, theirs in zip(own, reference, strict=True)]
    if min(map(len, beyond)) < 2:
        return None
    official, other = beyond
    error = math.sqrt(sum(stats.sd(text) ** 2 / len(text) for text in beyond))
    return Gap(stats.mean(official) - stats.mean(other), error, len(official) + len(other), name)
