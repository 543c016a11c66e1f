"""Resizing in numpy against the graph's functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.detector.layers import resizing as in_the_graph
from schema.device_model import Resizing
from serving.devices.resizing import to_canvas

SIDES = st.integers(1, 90)
GREY_VALUES = 1e-3


def _image(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@settings(max_examples=60)
@given(SIDES, SIDES, SIDES, SIDES, st.booleans(), st.integers(0, 9))
def test_stretched(height: int, width: int, canvas_height: int, canvas_width: int, half: bool, seed: int) -> None:
    image = _image(height, width, seed)
    canvas, share = to_canvas(image, Resizing(canvas_height, canvas_width, None, None, half))
    expected, expected_share = in_the_graph.resize_fixed(image, (canvas_height, canvas_width), half_pixel_centers=half)
    assert canvas.dtype == share.dtype == np.float32
    np.testing.assert_allclose(canvas, expected, atol=GREY_VALUES)
    np.testing.assert_array_equal(share, expected_share)


@settings(max_examples=60)
@given(SIDES, SIDES, st.integers(1, 60), st.integers(0, 60), st.booleans(), st.integers(0, 9))
def test_aspect_kept(height: int, width: int, shorter: int, more: int, half: bool, seed: int) -> None:
    image = _image(height, width, seed)
    longer = shorter + more
    canvas, share = to_canvas(image, Resizing(longer, longer, shorter, longer, half))
    expected, expected_share = in_the_graph.resize_keep_aspect_ratio(
        tf.constant(image),
        min_dimension=shorter,
        max_dimension=longer,
        image_size=(longer, longer),
        half_pixel_centers=half,
    )
    np.testing.assert_allclose(canvas, expected, atol=GREY_VALUES)
    np.testing.assert_array_equal(share, expected_share)


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_padding_has_its_colour(kind: Callable[[object], np.ndarray]) -> None:
    image = np.full((10, 20, 3), 7, kind)
    canvas, share = to_canvas(image, Resizing(8, 8, 8, 8, False, (1.5, 2.5, 3.5)))
    np.testing.assert_array_equal(share, [0.5, 1.0])
    np.testing.assert_array_equal(canvas[:4], np.full((4, 8, 3), 7.0))
    np.testing.assert_array_equal(canvas[4:], np.tile(np.float32([1.5, 2.5, 3.5]), (4, 8, 1)))
