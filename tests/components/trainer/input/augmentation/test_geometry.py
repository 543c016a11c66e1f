"""Boxes follow what is shown; compared with plain numpy and with pixels."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.image_decoding import crop
from components.trainer.augmentation_settings import AugmentationSettings
from components.trainer.input.augmentation import geometry as geometry_ops
from components.trainer.input.augmentation.geometry import Geometry

ALWAYS_CROP = AugmentationSettings(crop=1.0, zoom_out=0.0, crop_min_side=0.3, min_visible=0.5)

coordinates = st.floats(0.0, 1.0, width=32, allow_subnormal=False)


@st.composite
def boxes(draw: st.DrawFn) -> list[float]:
    ymin, ymax = sorted((draw(coordinates), draw(coordinates)))
    xmin, xmax = sorted((draw(coordinates), draw(coordinates)))
    return [ymin, xmin, ymax, xmax]


@st.composite
def windows(draw: st.DrawFn) -> list[float]:
    y, x = draw(st.floats(-1.0, 0.75, width=32, allow_subnormal=False)), draw(st.floats(-1.0, 0.75, width=32))
    return [
        y,
        x,
        y + draw(st.floats(0.125, 2.0, width=32, allow_subnormal=False)),
        x + draw(st.floats(0.125, 2.0, width=32)),
    ]


def visible_share_numpy(box: list[float], window: list[float]) -> float:
    height = max(0.0, min(box[2], window[2]) - max(box[0], window[0]))
    width = max(0.0, min(box[3], window[3]) - max(box[1], window[1]))
    area = (box[2] - box[0]) * (box[3] - box[1])
    return height * width / area if area > 0 else 0.0


@settings(max_examples=60, deadline=None)
@given(st.lists(boxes(), min_size=1, max_size=5), windows(), st.booleans(), st.booleans())
def test_boxes_follow_the_window(
    some_boxes: list[list[float]], window: list[float], vertical: bool, horizontal: bool
) -> None:
    geometry = Geometry(tf.constant([window]), tf.constant([[vertical, horizontal]]), tf.constant([0]))
    shown, shares = geometry_ops.boxes_in_window(tf.constant([some_boxes]), geometry)
    height, width = window[2] - window[0], window[3] - window[1]
    for box, found, share in zip(some_boxes, shown[0].numpy(), shares[0].numpy(), strict=True):
        ymin, ymax = np.clip([(box[i] - window[0]) / height for i in (0, 2)], 0, 1)
        xmin, xmax = np.clip([(box[i] - window[1]) / width for i in (1, 3)], 0, 1)
        if vertical:
            ymin, ymax = 1 - ymax, 1 - ymin
        if horizontal:
            xmin, xmax = 1 - xmax, 1 - xmin
        np.testing.assert_allclose(found, [ymin, xmin, ymax, xmax], atol=1e-5)
        if (box[2] - box[0]) * (box[3] - box[1]) > 1e-6:
            assert share == pytest.approx(visible_share_numpy(box, window), abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(st.lists(boxes(), min_size=1, max_size=4), st.integers(0, 2**31))
def test_a_crop_keeps_an_object_or_the_whole_image(some_boxes: list[list[float]], seed: int) -> None:
    present = tf.ones([1, len(some_boxes)], tf.bool)
    geometry = geometry_ops.random_geometry(tf.constant([some_boxes]), present, tf.constant([seed, 0]), ALWAYS_CROP)
    window = geometry.windows_yxyx[0].numpy().tolist()
    assert 0 <= window[0] < window[2] <= 1
    assert 0 <= window[1] < window[3] <= 1
    whole = window == [0, 0, 1, 1]
    assert whole or max(visible_share_numpy(box, window) for box in some_boxes) >= 0.5 - 1e-4


def test_crowds_do_not_hold_a_crop() -> None:
    # The one object to learn is in a corner; the padding and crowd rows are not.
    some_boxes = tf.constant([[[0.0, 0.0, 0.1, 0.1], [0.4, 0.4, 0.6, 0.6]]] * 64)
    present = tf.constant([[True, False]] * 64)
    geometry = geometry_ops.random_geometry(some_boxes, present, tf.constant([1, 2]), ALWAYS_CROP)
    shares = geometry_ops.visible_shares(some_boxes[:, 0], geometry.windows_yxyx)
    assert float(tf.reduce_min(shares)) >= 0.5


def test_images_without_objects_are_cropped_too() -> None:
    none = tf.zeros([32, 0, 4])
    geometry = geometry_ops.random_geometry(none, tf.zeros([32, 0], tf.bool), tf.constant([1, 2]), ALWAYS_CROP)
    sides = geometry.windows_yxyx[:, 2:] - geometry.windows_yxyx[:, :2]
    assert float(tf.reduce_mean(sides)) < 0.9


def test_probabilities_are_kept() -> None:
    chosen = AugmentationSettings(crop=0.3, zoom_out=0.2, horizontal_flip=0.25, vertical_flip=0.0, crop_min_side=0.5)
    none = tf.zeros([4000, 0, 4])
    geometry = geometry_ops.random_geometry(none, tf.zeros([4000, 0], tf.bool), tf.constant([3, 4]), chosen)
    sides = (geometry.windows_yxyx[:, 2:] - geometry.windows_yxyx[:, :2]).numpy().max(axis=-1)
    assert np.mean(sides < 1) == pytest.approx(0.3, abs=0.05)
    assert np.mean(sides > 1) == pytest.approx(0.2, abs=0.04)
    assert np.mean(geometry.mirrored_yx.numpy(), axis=0) == pytest.approx([0.0, 0.25], abs=0.04)


@pytest.mark.parametrize("window", [[0.25, 0.0, 0.75, 0.5], [-0.5, -0.25, 1.5, 1.75], [0.5, 0.5, 1.5, 1.5]])
@pytest.mark.parametrize("mirrored", [[False, False], [True, False], [False, True], [True, True]])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_pixels_are_where_the_boxes_say(window: list[float], mirrored: list[bool], turns: int) -> None:
    box = [0.5, 0.25, 0.75, 0.5]
    image = np.zeros((80, 80, 3), np.uint8)
    image[40:60, 20:40] = 255
    geometry = Geometry(tf.constant(window), tf.constant(mirrored), tf.constant(turns))
    part = crop(tf.constant(image), geometry_ops.part_inside_image(geometry.windows_yxyx))
    shown = geometry_ops.show(part, geometry).numpy()
    batched = Geometry(*(part[tf.newaxis] for part in geometry))
    shown_box, share = geometry_ops.boxes_in_window(tf.constant([[box]]), batched)
    sides = [80 * (window[2] - window[0]), 80 * (window[3] - window[1])]
    assert list(shown.shape) == [*(sides[::-1] if turns % 2 else sides), 3]
    height, width = shown.shape[:2]
    ymin, xmin, ymax, xmax = np.round(shown_box[0, 0].numpy() * [height, width, height, width]).astype(int)
    expected = np.zeros((height, width), bool)
    if float(share[0, 0]) > 0:
        expected[ymin:ymax, xmin:xmax] = True
    np.testing.assert_array_equal(shown[..., 0] == 255, expected)


def iou_numpy(box: list[float], window: list[float]) -> float:
    both = visible_share_numpy(box, window) * (box[2] - box[0]) * (box[3] - box[1])
    areas = [(one[2] - one[0]) * (one[3] - one[1]) for one in (box, window)]
    return both / (sum(areas) - both)


@settings(max_examples=40, deadline=None)
@given(st.lists(boxes(), min_size=1, max_size=4), st.integers(0, 2**31))
def test_a_constrained_crop_overlaps_an_object(some_boxes: list[list[float]], seed: int) -> None:
    chosen = AugmentationSettings(crop=1.0, zoom_out=0.0, crop_min_side=0.2, min_visible=0.0, crop_min_ious=(0.3, 0.5))
    present = tf.ones([1, len(some_boxes)], tf.bool)
    geometry = geometry_ops.random_geometry(tf.constant([some_boxes]), present, tf.constant([seed, 0]), chosen)
    window = geometry.windows_yxyx[0].numpy().tolist()
    assert window == [0, 0, 1, 1] or max(iou_numpy(box, window) for box in some_boxes) >= 0.3 - 1e-4


def test_a_constrained_crop_is_found_where_there_is_one() -> None:
    chosen = AugmentationSettings(crop=1.0, zoom_out=0.0, crop_min_side=0.3, crop_min_ious=(0.5,))
    some_boxes = tf.constant([[[0.2, 0.2, 0.8, 0.8]]] * 100)
    geometry = geometry_ops.random_geometry(some_boxes, tf.ones([100, 1], tf.bool), tf.constant([1, 2]), chosen)
    cropped = [window for window in geometry.windows_yxyx.numpy().tolist() if window != [0, 0, 1, 1]]
    assert len(cropped) > 80
    assert min(iou_numpy([0.2, 0.2, 0.8, 0.8], window) for window in cropped) >= 0.5 - 1e-4


def test_scale_jitter_keeps_the_aspect_ratio_within_its_range() -> None:
    chosen = AugmentationSettings(crop=0.0, zoom_out=0.0, scale_jitter=1.0, scale_jitter_range=(0.5, 2.0))
    none = tf.zeros([500, 0, 4])
    geometry = geometry_ops.random_geometry(none, tf.zeros([500, 0], tf.bool), tf.constant([3, 4]), chosen)
    sides = (geometry.windows_yxyx[:, 2:] - geometry.windows_yxyx[:, :2]).numpy()
    np.testing.assert_allclose(sides[:, 0], sides[:, 1], atol=1e-5)
    scales = 1 / sides[:, 0]
    assert scales.min() == pytest.approx(0.5, abs=0.02)
    assert scales.max() == pytest.approx(2.0, abs=0.02)
    # Smaller images lie inside their ground, larger ones fill the canvas.
    windows = geometry.windows_yxyx.numpy()
    assert np.all((windows[:, :2] <= 0) & (windows[:, 2:] >= 1) | (windows[:, :2] >= 0) & (windows[:, 2:] <= 1.0001))


def test_every_quarter_turn_as_often() -> None:
    chosen = AugmentationSettings(quarter_turn=0.6)
    none = tf.zeros([6000, 0, 4])
    geometry = geometry_ops.random_geometry(none, tf.zeros([6000, 0], tf.bool), tf.constant([3, 4]), chosen)
    counts = np.bincount(geometry.quarter_turns.numpy(), minlength=4) / 6000
    np.testing.assert_allclose(counts, [0.4, 0.2, 0.2, 0.2], atol=0.03)


@settings(max_examples=40, deadline=None)
@given(boxes(), windows(), windows())
def test_a_window_inside_a_window(box: list[float], outer: list[float], inner: list[float]) -> None:
    outer_tensor, inner_geometry = tf.constant([outer]), Geometry.of_windows(tf.constant([inner]))
    at_once, _ = geometry_ops.boxes_in_window(tf.constant([[box]]), inner_geometry.inside(outer_tensor))
    start, size = np.array(outer[:2] * 2), np.tile(np.subtract(outer[2:], outer[:2]), 2)
    unclipped = (np.array(box) - start) / size
    start, size = np.array(inner[:2] * 2), np.tile(np.subtract(inner[2:], inner[:2]), 2)
    np.testing.assert_allclose(at_once[0, 0], np.clip((unclipped - start) / size, 0, 1), atol=1e-3)


def test_much_ground_does_not_take_the_memory_of_many_images() -> None:
    part = np.zeros((200, 300, 3), np.uint8)
    box = [0.25, 0.5, 0.75, 1.0]
    part[50:150, 150:] = (255, 0, 0)
    # A tenth of its size, as large-scale jitter shows it, in the lower right.
    window = [-8.5, -8.0, 1.5, 2.0]
    geometry = Geometry.of_windows(tf.constant([window]))
    shown = geometry_ops.show(tf.constant(part), Geometry(*(one[0] for one in geometry))).numpy()
    assert shown.shape == (400, 600, 3)
    rows, columns = np.where((shown[..., 0] > 190) & (shown[..., 1] < 64))
    found = [rows.min() / 400, columns.min() / 600, (rows.max() + 1) / 400, (columns.max() + 1) / 600]
    expected, _ = geometry_ops.boxes_in_window(tf.constant([[box]]), geometry)
    np.testing.assert_allclose(found, expected[0, 0], atol=1.01 / 400)
