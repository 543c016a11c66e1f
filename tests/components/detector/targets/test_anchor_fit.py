"""How well anchors can match boxes, against every anchor looked at; and which are chosen."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.detector.detector import Detector
from components.detector.options import OPTIONS
from components.detector.registry import build_detector
from components.detector.targets import anchor_fit
from components.detector.targets.anchor_fit import BoxSizes, best_ious, fitted_options
from components.detector.targets.anchor_fit import anchor_fit as fit_of
from components.detector.targets.anchors import multiscale_levels, normalized_anchors, ssd_levels
from components.detector.targets.boxes import pairwise_iou
from tests.tiny_detectors import TINY_DETECTORS

_PIXELS = st.floats(2.0, 128.0)
_SIZES = st.lists(st.tuples(_PIXELS, _PIXELS), min_size=1, max_size=5)
CANVAS = (128, 160)


def sizes_of(pixels: list[tuple[float, float]]) -> BoxSizes:
    heights, widths = np.array(pixels, np.float64).T
    ones = np.ones(len(pixels))
    return BoxSizes(heights, widths, ones, ones / len(pixels))


@settings(deadline=None, max_examples=30)
@given(pixels=_SIZES, pyramid=st.booleans())
def test_the_best_overlap_is_that_of_all_anchors(pixels: list[tuple[float, float]], pyramid: bool) -> None:
    levels = (
        multiscale_levels(
            [(16, 20), (8, 10), (4, 5)],
            CANVAS,
            min_level=3,
            anchor_scale=2.0,
            aspect_ratios=(1.0, 2.0, 0.5),
            scales_per_octave=2,
        )
        if pyramid
        else ssd_levels([(8, 10), (4, 5), (2, 3), (1, 1)], CANVAS)
    )
    sizes = sizes_of(pixels)
    top, left = anchor_fit._corners(sizes, CANVAS)  # [S, P]
    boxes = np.stack([top, left, top + sizes.heights[:, None], left + sizes.widths[:, None]], axis=-1)  # [S, P, 4]
    assert boxes.min() >= 0.0 and (boxes <= np.tile(CANVAS, 2) + 1e-9).all()
    anchors = normalized_anchors(levels, CANVAS).astype(np.float64) * np.tile(CANVAS, 2)
    overlaps = pairwise_iou(tf.constant(boxes, tf.float32), tf.constant(anchors, tf.float32)).numpy()  # [S, P, N]
    np.testing.assert_allclose(best_ious(sizes, levels, CANVAS), overlaps.max(axis=-1), atol=1e-4)


@functools.cache
def detector(name: str) -> Detector:
    sides = {"efficientdet_d0": 128}
    size = sides.get(name, 64)
    options = {key: value for key, value in TINY_DETECTORS[name].items() if "anchor" not in key}
    return build_detector(name, num_classes=2, image_size=(size, size), **options)


@pytest.mark.parametrize("name", [name for name in TINY_DETECTORS if OPTIONS[name]().has_anchors])
def test_every_detector_gets_anchors_for_tall_boxes(name: str) -> None:
    built = detector(name)
    published, anchors = built.options, built.anchors_yxyx_normalized
    sizes = sizes_of([(36.0, 6.0), (40.0, 7.0), (30.0, 6.0)])
    fitted = fitted_options(built, sizes)
    before, after = (fit_of(built, options, sizes) for options in (published, fitted))
    assert after.goodness > before.goodness + 0.01
    built.use_anchors(fitted)
    assert built.anchors_yxyx_normalized.shape == anchors.shape
    assert not np.allclose(built.anchors_yxyx_normalized, anchors)
    # What the detector is saved with makes the same anchors again.
    again = build_detector(**built.recipe)
    np.testing.assert_array_equal(again.anchors_yxyx_normalized, built.anchors_yxyx_normalized)
    built.use_anchors(published)
    np.testing.assert_array_equal(built.anchors_yxyx_normalized, anchors)


def test_anchors_that_suit_stay() -> None:
    built = detector("ssd_mobilenet_v2_fpnlite")
    assert fitted_options(built, sizes_of([(32.0, 32.0), (45.0, 45.0), (64.0, 64.0)])) is built.options


def test_classes_count_alike() -> None:
    bins = {"common": {(0, 0): 98, (8, 8): 1}, "rare": {(16, 8): 1}}
    sizes = BoxSizes.of_bins(bins, 8, (64, 32))
    np.testing.assert_allclose(sizes.heights, [64, 32, 16])
    np.testing.assert_allclose(sizes.widths, [32, 16, 16])
    np.testing.assert_allclose(sizes.boxes, [98, 1, 1])
    np.testing.assert_allclose(sizes.class_shares, [49 / 99, 0.5 / 99, 0.5])
