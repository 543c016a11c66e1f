"""Faster stable sorts against numpy's own stable one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.evaluator import stable_order
from components.evaluator.stable_order import best_first, ordered_by

SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, -np.nan, 5e-324, -5e-324, 1e308, 0.1, float(np.float32(0.1))]


@given(scores=st.lists(st.one_of(st.sampled_from(SPECIAL), st.floats(), st.floats(width=32)), min_size=1))
def test_scores_fall_as_numpy_sorts_them(scores: list[float]) -> None:
    array = np.array(scores)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stable_order, "_FEW", 0)
        np.testing.assert_array_equal(best_first(array), np.argsort(-array, kind="stable"))


def test_many_scores_with_ties() -> None:
    random = np.random.default_rng(0)
    for scores in (random.random(10_000).round(2), random.random(10_000).astype(np.float32).astype(np.float64)):
        np.testing.assert_array_equal(best_first(scores), np.argsort(-scores, kind="stable"))


@pytest.mark.parametrize("highest", [3, 70_000])
def test_keys_rise_and_ties_stay(highest: int) -> None:
    random = np.random.default_rng(1)
    keys, places = random.integers(0, highest, 500), random.permutation(500)
    np.testing.assert_array_equal(ordered_by(keys, places), places[np.argsort(keys[places], kind="stable")])
