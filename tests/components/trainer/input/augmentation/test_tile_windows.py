"""Parts that are trained on have a tile's size, lie on the image and show objects."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.detector.tiling_settings import TilingSettings
from components.trainer.input.augmentation.geometry import visible_shares
from components.trainer.input.augmentation.tile_windows import random_tile_windows

WHOLE = [0.0, 0.0, 1.0, 1.0]
NO_WHOLE = TilingSettings(rows=3, columns=4, whole_image=False, background_share=0.0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 0.95), st.floats(0, 0.95))
def test_a_lone_small_object_is_on_every_part(seed: int, y: float, x: float) -> None:
    # The first row is a crowd, which no part has to show.
    boxes = tf.constant([[[0.0, 0.0, 1.0, 0.2], [y, x, y + 0.05, x + 0.05]]] * 16)
    present = tf.constant([[False, True]] * 16)
    windows = random_tile_windows(boxes, present, tf.constant([seed, 1]), NO_WHOLE, 0.5).numpy()
    np.testing.assert_allclose(windows[:, 2:] - windows[:, :2], [NO_WHOLE.tile_share_yx] * 16, atol=1e-5)
    assert windows.min() >= 0
    assert windows.max() <= 1 + 1e-5
    assert float(tf.reduce_min(visible_shares(boxes[:, 1], tf.constant(windows)))) >= 0.5 - 1e-3


def test_shares_of_background_and_of_whole_images() -> None:
    tiling = TilingSettings(rows=2, columns=2, background_share=0.3)
    boxes, present = tf.constant([[[0.0, 0.0, 0.02, 0.02]]] * 4000), tf.ones([4000, 1], tf.bool)
    windows = random_tile_windows(boxes, present, tf.constant([3, 1]), tiling, 0.5)
    is_whole = np.all(windows.numpy() == WHOLE, axis=-1)
    assert is_whole.mean() == pytest.approx(1 / 5, abs=0.03)
    shows = visible_shares(boxes[:, 0], windows).numpy()[~is_whole] >= 0.5
    # Parts taken anywhere hardly ever show the corner.
    assert shows.mean() == pytest.approx(0.7, abs=0.04)


def test_images_without_objects_and_with_none_that_fits() -> None:
    none = random_tile_windows(tf.zeros([8, 0, 4]), tf.zeros([8, 0], tf.bool), tf.constant([3, 1]), NO_WHOLE, 0.5)
    np.testing.assert_allclose(none[:, 2:] - none[:, :2], [NO_WHOLE.tile_share_yx] * 8, atol=1e-5)
    large, present = tf.constant([[WHOLE]] * 8), tf.ones([8, 1], tf.bool)
    with_whole = TilingSettings(rows=3, columns=3, background_share=0.0)
    windows = random_tile_windows(large, present, tf.constant([3, 1]), with_whole, 0.5)
    np.testing.assert_array_equal(windows, [WHOLE] * 8)
