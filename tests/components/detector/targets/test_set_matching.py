"""The cheapest matching against all matchings, costs against their formulas."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.detector.targets.set_matching import agreed_assignment, assign_objects, matching_costs


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**16), queries=st.integers(1, 5), weights=st.lists(st.sampled_from([0.0, 1.0]), max_size=4))
def test_no_matching_costs_less(seed: int, queries: int, weights: list[float]) -> None:
    """Costs of two images and three sets; objects of weight 0 are nobody's, and of too many objects some are."""
    costs = np.random.default_rng(seed).normal(size=(2, 3, queries, len(weights))).astype(np.float32)
    of_images = np.array([weights, weights[::-1]], np.float32).reshape(2, len(weights))
    found = assign_objects(tf.constant(costs), tf.constant(of_images)).numpy()
    assert found.shape == (2, 3, queries) and found.dtype == np.int32
    for image, number in itertools.product(range(2), range(3)):
        objects = np.flatnonzero(of_images[image])
        table, assigned = costs[image, number], found[image, number]
        learning = np.flatnonzero(assigned >= 0)
        assert len(learning) == min(queries, len(objects)) == len(set(assigned[learning]))
        assert set(assigned[learning]) <= set(objects)
        if len(objects) <= queries:
            orders = itertools.permutations(range(queries), len(objects))
            least = min(table[list(order), objects].sum() for order in orders)
        else:
            least = min(table[range(queries), list(some)].sum() for some in itertools.permutations(objects, queries))
        assert table[learning, assigned[learning]].sum() == pytest.approx(least, abs=1e-5)


def test_what_is_no_number_matches_something() -> None:
    costs = np.full((1, 1, 3, 2), np.nan, np.float32)
    costs[0, 0, 1] = (0.5, np.inf)
    assert assign_objects(tf.constant(costs), tf.ones((1, 2)))[0, 0, 1] == 0


def test_costs_are_those_of_the_formulas() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (2, 3, 4, 5)).astype(np.float32)
    boxes = rng.uniform(0.2, 0.6, (2, 3, 4, 4)).astype(np.float32)
    classes = rng.integers(0, 5, (2, 6)).astype(np.int32)
    truth = rng.uniform(0.2, 0.6, (2, 6, 4)).astype(np.float32)
    found = matching_costs(tf.constant(logits), tf.constant(boxes), tf.constant(classes), tf.constant(truth)).numpy()
    for b, s, q, m in np.ndindex(2, 3, 4, 6):
        p = 1 / (1 + np.exp(-logits[b, s, q, classes[b, m]]))
        focal = 0.25 * (1 - p) ** 2 * -np.log(p + 1e-8) - 0.75 * p**2 * -np.log(1 - p + 1e-8)
        ours, theirs = boxes[b, s, q], truth[b, m]
        starts, ends = ours[:2] - ours[2:] / 2, ours[:2] + ours[2:] / 2
        their_starts, their_ends = theirs[:2] - theirs[2:] / 2, theirs[:2] + theirs[2:] / 2
        common = np.prod(np.maximum(np.minimum(ends, their_ends) - np.maximum(starts, their_starts), 0))
        union = np.prod(ours[2:]) + np.prod(theirs[2:]) - common
        around = np.prod(np.maximum(ends, their_ends) - np.minimum(starts, their_starts))
        giou = common / union - (around - union) / around
        assert found[b, s, q, m] == pytest.approx(
            2 * focal + 5 * np.abs(ours - theirs).sum() - 2 * giou, rel=1e-4, abs=1e-5
        )


def test_most_votes_win() -> None:
    assigned = tf.constant([[[0, 1, -1, 2], [0, 2, -1, -1], [1, 2, -1, -1]]])  # [1, 3, 4]
    assert agreed_assignment(assigned, 3).numpy().tolist() == [[0, 2, -1, 2]]
