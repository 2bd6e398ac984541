"""However a log is damaged: no crash, no number that was not printed, and both ways of reading agree."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.property import log_mutations
from tests.property.log_mutations import ANY, CORPUS, KEEPS_NUMBERS, check

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
# The old lines (`s:N tel:F`) end in a bare number, so a cut within it cannot be seen; they are damaged in the second test.
ENDED = sorted(name for name in CORPUS if not name.startswith("L"))


@settings(UNHURRIED, max_examples=1500)
@given(
    name=st.sampled_from(ENDED),
    # Each at most once: a line within a line within a line is a line that nobody can tell from one that was printed.
    mutations=st.lists(st.sampled_from(KEEPS_NUMBERS), min_size=1, max_size=3, unique=True),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_log_that_was_cut_mixed_or_decorated_gives_only_points_that_were_printed(
    name: str, mutations: list[log_mutations.Mutation], seed: int
) -> None:
    draw = random.Random(seed)
    data = CORPUS[name]
    for mutate in mutations:
        if mutate is log_mutations.glue:
            data += CORPUS[draw.choice(ENDED)]
        else:
            data = mutate(data, draw) if data else data
    check(data, keeps_numbers=True)


@settings(UNHURRIED, max_examples=1200)
@given(
    name=st.sampled_from(sorted(CORPUS)),
    mutations=st.lists(st.sampled_from(ANY), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_log_with_any_damage_gives_only_numbers_that_stand_in_it(
    name: str, mutations: list[log_mutations.Mutation], seed: int
) -> None:
    draw = random.Random(seed)
    data = CORPUS[name]
    for mutate in mutations:
        data = mutate(data, draw) if data else data
    check(data, keeps_numbers=False)


_WORDS = [
    b"step:",
    b"s:",
    b"5/8",
    b"1/8",
    b" ",
    b"val_loss:",
    b"train_time:",
    b"step_avg:",
    b"3.1",
    b"40ms",
    b"7s",
    b"nan",
]
_WORDS += [
    b"\n",
    b"\r",
    b"\x1b[0m",
    b"\0",
    b"=" * 100,
    b"tel:",
    b"trl:",
    b"=== seed 1 start",
    b"=== seed 1 exit_status",
    b":",
]
_WORDS += [b"step:1/8 val_loss:3.2 train_time:5ms step_avg:5.00ms\n", b"step:2/8 train_time:9ms step_avg:4.50ms\n"]


@settings(UNHURRIED, max_examples=500)
@given(st.lists(st.one_of(st.sampled_from(_WORDS), st.binary(max_size=8)), max_size=60).map(b"".join))
def test_words_of_the_grammar_in_any_order_give_only_numbers_that_stand_there(data: bytes) -> None:
    check(data, keeps_numbers=False)
