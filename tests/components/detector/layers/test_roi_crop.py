"""Region cropping against bilinear interpolation written out in numpy."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.detector.layers.other_runtimes import for_other_runtimes
from components.detector.layers.roi_crop import crop_regions


def _interpolate(feature: np.ndarray, y: float, x: float) -> np.ndarray:
    """[h, w, C] at a fractional position within it -> [C]."""
    rows, columns, _ = feature.shape
    top, left = min(int(y), rows - 1), min(int(x), columns - 1)
    bottom, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
    dy, dx = y - top, x - left
    upper = feature[top, left] * (1 - dx) + feature[top, right] * dx
    lower = feature[bottom, left] * (1 - dx) + feature[bottom, right] * dx
    return upper * (1 - dy) + lower * dy


def _crop(feature: np.ndarray, box: np.ndarray, crop_size: int, pool_size: int) -> np.ndarray:
    rows, columns, depth = feature.shape
    grid = np.linspace(0.0, 1.0, crop_size)
    ys = (box[0] + (box[2] - box[0]) * grid) * (rows - 1)
    xs = (box[1] + (box[3] - box[1]) * grid) * (columns - 1)
    sampled = np.stack([np.stack([_interpolate(feature, y, x) for x in xs]) for y in ys])
    side = crop_size // pool_size
    return sampled.reshape(side, pool_size, side, pool_size, depth).max(axis=(1, 3))


_side = st.floats(0.0, 1.0, width=32, allow_subnormal=False)


@settings(max_examples=40, deadline=None)
@given(
    corners=st.lists(st.tuples(_side, _side, _side, _side), min_size=2, max_size=2),
    pool_size=st.sampled_from([1, 2]),
    seed=st.integers(0, 99),
)
def test_equals_bilinear_sampling_then_max_pooling(corners, pool_size, seed):
    features = np.random.default_rng(seed).normal(size=(2, 5, 7, 3)).astype(np.float32)
    boxes = np.array([[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in corners], np.float32)[
        :, None
    ]  # [2, 1, 4]: one region an image
    crops = crop_regions(tf.constant(features), tf.constant(boxes), crop_size=6, pool_size=pool_size).numpy()
    expected = [_crop(features[image], boxes[image, 0], 6, pool_size) for image in range(2)]
    np.testing.assert_allclose(crops, expected, atol=1e-4)
    with for_other_runtimes():
        gathered = crop_regions(tf.constant(features), tf.constant(boxes), crop_size=6, pool_size=pool_size).numpy()
    np.testing.assert_allclose(gathered, crops, atol=1e-6)


def test_the_whole_image_has_no_empty_border():
    features = tf.ones((1, 40, 40, 1))
    boxes = tf.constant([[[0.0, 0.0, 1.0, 1.0], [0.1, 0.3, 1.0, 1.0]]])
    assert crop_regions(features, boxes, crop_size=14, pool_size=1).numpy().min() > 0.999


def test_regions_are_ordered_by_image_and_gradients_reach_features_only():
    features = tf.constant(np.arange(2, dtype=np.float32).reshape(2, 1, 1, 1) * np.ones((2, 4, 4, 1), np.float32))
    boxes = tf.constant([[[0.0, 0.0, 0.5, 0.5]] * 3] * 2)
    with tf.GradientTape() as tape:
        tape.watch((features, boxes))
        crops = crop_regions(features, boxes, crop_size=2, pool_size=1)
    of_features, of_boxes = tape.gradient(crops, (features, boxes))
    np.testing.assert_allclose(crops.numpy()[:, 0, 0, 0], [0, 0, 0, 1, 1, 1])
    assert of_boxes is None
    np.testing.assert_allclose(tf.reduce_sum(of_features), 2 * 3 * 4, rtol=1e-5)
