"""Choices made at once are those that are made one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.evaluator.greedy_choice import GreedyChoice

_BITS = 3

Pair = tuple[int, int, int]
"""Detection, object, bits in which they overlap enough."""


@st.composite
def pairs_to_try(draw: st.DrawFn) -> tuple[list[Pair], list[int], list[bool]]:
    """Pairs in the order in which they are tried; of every object the bits it counts in, and whether it is a crowd."""
    num_truths = draw(st.integers(1, 6))
    crowd = draw(st.lists(st.booleans(), min_size=num_truths, max_size=num_truths))
    counts = [0 if is_crowd else draw(st.integers(0, 2**_BITS - 1)) for is_crowd in crowd]
    pairs = []
    for detection in draw(st.permutations(range(draw(st.integers(0, 8))))):
        wanted = draw(st.lists(st.integers(0, num_truths - 1), max_size=3, unique=True))
        pairs.extend((detection, truth, draw(st.integers(0, 2**_BITS - 1))) for truth in wanted)
    return pairs, counts, crowd


def one_by_one(pairs: list[Pair], counts: list[int], crowd: list[bool], bit: int) -> tuple[dict[int, int], set[int]]:
    """For a single bit: the counting object that each detection takes, and those that take an ignored one."""
    taken: set[int] = set()
    counting: dict[int, int] = {}
    ignored: set[int] = set()
    for detection in dict.fromkeys(pair[0] for pair in pairs):
        wanted = [truth for d, truth, bits in pairs if d == detection and bits >> bit & 1]
        free = [truth for truth in wanted if truth not in taken]
        preferred = [truth for truth in free if counts[truth] >> bit & 1]
        if preferred:
            counting[detection] = preferred[0]
            taken.add(preferred[0])
        elif free:
            ignored.add(detection)
            if not crowd[free[0]]:
                taken.add(free[0])
    return counting, ignored


@given(pairs_to_try())
def test_every_bit_is_chosen_as_if_it_were_alone(case: tuple[list[Pair], list[int], list[bool]]) -> None:
    pairs, counts, crowd = case
    choice = GreedyChoice(8, np.array(counts, np.uint64), np.array(crowd, np.bool_), 2**_BITS - 1)
    detections, truths, passed = (np.array([pair[place] for pair in pairs], np.int64) for place in range(3))
    choice.make(detections, truths, passed.astype(np.uint64))
    for bit in range(_BITS):
        counting, ignored = one_by_one(pairs, counts, crowd, bit)
        assert set(np.flatnonzero(choice.counting >> np.uint64(bit) & np.uint64(1))) == set(counting)
        assert set(np.flatnonzero(choice.ignored >> np.uint64(bit) & np.uint64(1))) == ignored
