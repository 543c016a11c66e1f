from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.detector.layers import resizing
from schema.device_model import Resizing


def test_fixed_shape_stretches() -> None:
    image = tf.constant(np.arange(2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 3))
    resized, share = resizing.resize_fixed(image, (4, 2))
    assert resized.dtype == tf.float32
    # Rows 0, 0.5, 1 and, beyond the last, 1: no half-pixel centers.
    np.testing.assert_allclose(resized[:, 0, 0], [0, 3, 6, 6])
    np.testing.assert_array_equal(share, [1, 1])


@pytest.mark.parametrize(
    ("size", "inner"), [((20, 40), (32, 64)), ((40, 20), (64, 32)), ((64, 64), (64, 64)), ((200, 2), (64, 1))]
)
def test_aspect_ratio_is_kept_and_the_rest_is_padding(size: tuple[int, int], inner: tuple[int, int]) -> None:
    image = tf.fill((*size, 3), 200.0)
    canvas, share = resizing.resize_keep_aspect_ratio(image, min_dimension=64, max_dimension=64, image_size=(64, 64))
    height, width = inner
    assert canvas.shape == (64, 64, 3)
    np.testing.assert_allclose(canvas[:height, :width], np.full((height, width, 3), 200.0))
    np.testing.assert_array_equal(canvas[height:], np.zeros((64 - height, 64, 3)))
    np.testing.assert_array_equal(canvas[:, width:], np.zeros((64, 64 - width, 3)))
    np.testing.assert_allclose(share, np.divide(inner, 64))


def test_shorter_side_decides_while_the_longer_fits() -> None:
    canvas, share = resizing.resize_keep_aspect_ratio(
        tf.zeros((10, 15, 3)), min_dimension=40, max_dimension=80, image_size=(80, 80)
    )
    np.testing.assert_allclose(share, [0.5, 0.75])
    assert canvas.shape == (80, 80, 3)


def test_padding_has_the_colour_that_it_is_given() -> None:
    image = tf.constant(np.random.default_rng(0).integers(0, 256, (20, 40, 3), np.uint8))
    colour = (123.675, 116.28, 103.53)
    canvas, share = resizing.resize_to_canvas(image, Resizing(64, 64, 64, 64, True, colour))
    black, _ = resizing.resize_to_canvas(image, Resizing(64, 64, 64, 64, True))
    np.testing.assert_allclose(share, [0.5, 1.0])
    np.testing.assert_allclose(canvas[:32], black[:32], atol=1e-4)
    np.testing.assert_allclose(canvas[32:], np.broadcast_to(np.float32(colour), (32, 64, 3)), atol=1e-4)


def test_without_dimensions_an_image_is_stretched() -> None:
    image = tf.constant(np.random.default_rng(0).integers(0, 256, (20, 40, 3), np.uint8))
    for half_pixel_centers in (False, True):
        canvas, share = resizing.resize_to_canvas(image, Resizing(32, 48, None, None, half_pixel_centers))
        expected, _ = resizing.resize_fixed(image, (32, 48), half_pixel_centers=half_pixel_centers)
        np.testing.assert_array_equal(canvas, expected)
        np.testing.assert_array_equal(share, [1.0, 1.0])
