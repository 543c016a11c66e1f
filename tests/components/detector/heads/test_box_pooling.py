"""The mean of features under a box: against a mean of fine pixels."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np
import tensorflow as tf

from components.detector.heads.box_pooling import describe_boxes

FINE = 60
"""Pixels of a side: a multiple of every map's cells below."""


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(
    corners=st.lists(st.tuples(*[st.integers(0, FINE)] * 4), min_size=1, max_size=4), seed=st.integers(0, 9)
)
def test_means_of_all_levels_and_the_size(corners: list[tuple[int, int, int, int]], seed: int) -> None:
    boxes = np.array([[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in corners])
    random = np.random.default_rng(seed)
    maps = {"level_3": random.normal(size=(1, 12, 10, 3)), "level_4": random.normal(size=(1, 6, 5, 2))}
    features = {level: tf.constant(values, tf.float32) for level, values in maps.items()}
    found = describe_boxes(features, tf.constant(boxes[np.newaxis] / FINE, tf.float32))[0].numpy()
    assert found.shape == (len(boxes), 3 + 2 + 2)
    for vector, (top, left, bottom, right) in zip(found, boxes, strict=True):
        if bottom == top or right == left:
            np.testing.assert_array_equal(vector[-2:], 0.0)
            continue
        means = [
            values[0]
            .repeat(FINE // values.shape[1], axis=0)
            .repeat(FINE // values.shape[2], axis=1)[top:bottom, left:right]
            .mean(axis=(0, 1))
            for values in maps.values()
        ]
        size = np.log([(bottom - top) / FINE, (right - left) / FINE])
        np.testing.assert_allclose(vector, np.concatenate([*means, size]), atol=1e-4)
