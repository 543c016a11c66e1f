from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.log_histogram import LogHistogram

NUMBERS = st.lists(st.floats(1e-4, 1e4), min_size=1, max_size=200)


@given(NUMBERS, st.floats(0, 1))
def test_a_quantile_is_within_a_bin_of_the_exact_one(numbers: list[float], level: float) -> None:
    histogram = LogHistogram()
    histogram.add(np.array(numbers))
    exact = np.quantile(numbers, level, method="inverted_cdf")
    assert histogram.quantiles([level])[0] == pytest.approx(exact, rel=0.011)


@given(NUMBERS, NUMBERS)
def test_merging_is_adding_in_any_order(some: list[float], others: list[float]) -> None:
    merged, swapped, together = LogHistogram(), LogHistogram(), LogHistogram()
    parts = []
    for numbers in (some, others):
        part = LogHistogram()
        part.add(np.array(numbers))
        parts.append(part)
    for part in parts:
        merged.merge(part)
    for part in reversed(parts):
        swapped.merge(part)
    together.add(np.array(some + others))
    levels = (0.0, 0.3, 0.5, 1.0)
    assert merged.quantiles(levels) == swapped.quantiles(levels) == together.quantiles(levels)


def test_powers_of_two_are_exact_and_nothing_has_no_quantiles() -> None:
    histogram = LogHistogram()
    assert histogram.quantiles([0.5]) == ()
    histogram.add(np.array([]))
    histogram.add(np.array([0.25, 2.0, 1.0]))
    assert histogram.quantiles([0.0, 0.5, 1.0]) == (0.25, 1.0, 2.0)
