"""Balanced sampling against counts worked out in numpy."""

from __future__ import annotations

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from components.detector.targets.proposal_sampling import balanced_sample

_COLUMNS = 37


@settings(max_examples=60, deadline=None)
@given(
    candidate=hnp.arrays(bool, (2, _COLUMNS)),
    positive=hnp.arrays(bool, (2, _COLUMNS)),
    size=st.sampled_from([1, 8, 16, _COLUMNS, 64]),
    fraction=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    seed=st.integers(0, 1000),
)
def test_takes_as_many_of_each_kind_as_the_rule_says(candidate, positive, size, fraction, seed):
    sample = balanced_sample(
        tf.constant(candidate),
        tf.constant(positive),
        sample_size=size,
        positive_fraction=fraction,
        seed=tf.constant([seed, 0]),
    )
    indices, weights = sample.indices.numpy(), sample.weights.numpy()
    assert indices.shape == weights.shape == (2, min(size, _COLUMNS))
    for row in range(2):
        assert len(set(indices[row])) == len(indices[row])
        chosen = indices[row][weights[row] == 1]
        assert candidate[row, chosen].all()
        positives = min((candidate & positive)[row].sum(), int(size * fraction))
        negatives = min((candidate & ~positive)[row].sum(), size - positives)
        assert positive[row, chosen].sum() == positives
        assert (~positive[row, chosen]).sum() == negatives


def test_same_seed_same_sample_and_every_candidate_can_be_drawn():
    candidate, positive = tf.ones((1, 50), tf.bool), tf.zeros((1, 50), tf.bool)

    def draw(seed: int) -> tuple[int, ...]:
        sample = balanced_sample(
            candidate, positive, sample_size=10, positive_fraction=0.5, seed=tf.constant([seed, seed])
        )
        return tuple(sample.indices.numpy()[0])

    assert draw(3) == draw(3)
    assert set().union(*(draw(seed) for seed in range(60))) == set(range(50))


def test_refuses_a_fraction_outside_0_and_1():
    mask = tf.ones((1, 4), tf.bool)
    with pytest.raises(ValueError, match=r"positive_fraction must be in 0..1, found 1.5"):
        balanced_sample(mask, mask, sample_size=2, positive_fraction=1.5, seed=tf.constant([0, 0]))
