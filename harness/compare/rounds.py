"""The order of the runs where several candidates share the runs of A, and what each candidate's comparison takes of it.

A round is made of units in the order of a coin: A alone, and A before each candidate.

    A B C …   →   A·B   A   A·D   A·C        then the next round, in another order

Hard because what a run leaves to the next one must not decide. So every run of a candidate follows a run of A, and it
is compared with the runs of A that follow one of A. Those of A that follow another candidate are in no comparison but
that one's: whatever a third script leaves behind, no figure of the others knows of it. A candidate that is decided
drops out with its run and the one of A before it; the order of the rest stays as it was drawn.

Pure: nothing is read, run or written here.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

A = "A"
LETTERS = "BCDEF"  # of candidates
_COIN = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Turn:
    """One run of the order."""

    arm: str
    round: int  # from 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run of one comparison stands among all."""

    index: int  # in the order of all runs
    arm: str
    after: str  # the script before it; the first run counts as one after A
    round: int


def draw(candidates: str, rounds: int) -> tuple[str, ...]:
    """Draw the order of every round, like "ABAACAD"."""
    drawn = []
    for _ in range(rounds):
        units = [A, *(A + letter for letter in candidates)]
        _COIN.shuffle(units)
        drawn.append("".join(units))
    return tuple(drawn)


def turns(orders: Sequence[str], candidates: str, dropped: Mapping[str, int]) -> list[Turn]:
    """Return whose turn it is, run by run; dropped: candidates that take no part from this round on.

    Nothing is left to run once none takes part.
    """
    made = []
    for number, order in enumerate(orders):
        gone = [letter for letter in candidates if dropped.get(letter, len(orders)) <= number]
        if len(gone) == len(candidates):
            break
        for letter in gone:
            order = order.replace(A + letter, "")
        made += [Turn(arm, number) for arm in order]
    return made


def whole_rounds(order: Sequence[Turn], runs: int) -> int:
    """Count the rounds of which every run is made."""
    if runs < len(order):
        return order[runs].round
    return order[-1].round + 1 if order else 0


def places_of(candidate: str, order: Sequence[Turn], runs: int, dropped: Mapping[str, int]) -> list[Place]:
    """Return the runs of whole rounds that decide about one candidate: its own, and those of A after A or after it."""
    whole = min(whole_rounds(order, runs), dropped.get(candidate, len(order)))
    found, before = [], A
    for index, turn in enumerate(order[:runs]):
        mine = turn.arm == candidate or (turn.arm == A and before in (A, candidate))
        if mine and turn.round < whole:
            found.append(Place(index, turn.arm, before, turn.round))
        before = turn.arm
    return found
