"""Pasted objects are where their boxes say, rare classes more often; what they hide is known."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from components.trainer.augmentation_settings import AugmentationSettings
from components.trainer.input.augmentation.copy_paste import ObjectBank, Pastes, paste_objects, random_pastes
from components.trainer.input.augmentation.patches import hidden_shares, paste


def two_objects(shares: tuple[float, float] = (0.5, 0.5)) -> ObjectBank:
    """A red and a green one."""
    crops = []
    for colour in ((255, 0, 0), (0, 255, 0)):
        pixels = tf.tile(tf.constant([[colour]], tf.uint8), [20, 30, 1])
        crops.append(tf.io.encode_jpeg(pixels, quality=95, chroma_downsampling=False))
    return ObjectBank(
        tf.stack(crops),
        tf.constant([[0.25, 0.4], [0.3, 0.2]]),
        tf.constant([0, 1]),
        tf.constant([shares[0], shares[0] + shares[1]]),
    )


@pytest.mark.parametrize("valid", [[1.0, 1.0], [0.6, 1.0]])
def test_paint_is_where_the_boxes_say(valid: list[float]) -> None:
    chosen = AugmentationSettings(copy_paste=1.0, copy_paste_objects=1)
    black = tf.zeros([64, 96, 3], tf.uint8)
    for seed in range(12):
        drawn = random_pastes(1, tf.constant([seed, 0]), two_objects(), chosen)
        pastes = Pastes(*(part[0] for part in drawn))
        image, boxes = paste_objects(black, tf.constant(valid), pastes)
        mask = image.numpy()[..., int(pastes.classes[0])] > 150
        rows, columns = np.where(mask)
        found = [rows.min() / 64, columns.min() / 96, (rows.max() + 1) / 64, (columns.max() + 1) / 96]
        np.testing.assert_allclose(found, boxes[0], atol=1e-6)
        assert found[2] <= valid[0]
        sides = np.array(found[2:]) - found[:2]
        original = two_objects().sides_yx[int(pastes.classes[0])].numpy()
        assert np.all((sides / original > 0.65) & (sides / original < 1.5))


def test_as_many_as_asked_and_rare_classes_more_often() -> None:
    chosen = AugmentationSettings(copy_paste=0.5, copy_paste_objects=3)
    pastes = random_pastes(4000, tf.constant([1, 2]), two_objects((0.2, 0.8)), chosen)
    counts = (pastes.classes.numpy() >= 0).sum(axis=-1)
    np.testing.assert_allclose(np.bincount(counts) / 4000, [1 / 2, 1 / 6, 1 / 6, 1 / 6], atol=0.03)
    there = pastes.classes.numpy()[pastes.classes.numpy() >= 0]
    assert np.mean(there) == pytest.approx(0.8, abs=0.03)
    assert np.all((pastes.sides_yx.numpy() > 0).all(axis=-1) == (pastes.classes.numpy() >= 0))


def test_nothing_pasted_is_nothing_changed() -> None:
    chosen = AugmentationSettings(copy_paste=0.0, copy_paste_objects=2)
    image = tf.constant(np.random.default_rng(0).integers(0, 256, (16, 16, 3)), tf.uint8)
    for drawn in (random_pastes(1, tf.constant([1, 2]), two_objects(), chosen), Pastes.none(1)):
        pasted, boxes = paste_objects(image, tf.constant([1.0, 1.0]), Pastes(*(part[0] for part in drawn)))
        np.testing.assert_array_equal(pasted, image)
        assert not boxes.numpy().any()


@hypothesis_settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 12), st.integers(0, 12))
def test_a_patch_is_where_its_corner_says(height: int, width: int, y: int, x: int) -> None:
    image, patch = np.zeros((24, 24, 1), np.uint8), np.ones((height, width, 1), np.uint8)
    expected = image.copy()
    expected[y : y + height, x : x + width] = 1
    np.testing.assert_array_equal(paste(tf.constant(image), tf.constant(patch), tf.constant([y, x])), expected)


def test_only_later_patches_hide() -> None:
    boxes = tf.constant([[[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 1.0, 0.5]]])
    patches = tf.constant([[[0.0, 0.0, 0.25, 0.5], [0.5, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]])
    everything, only_the_second = [[True] * 3] * 2, [[False, True, True]] * 2
    np.testing.assert_allclose(hidden_shares(boxes, patches, tf.constant(everything)), [[0.5, 0.75]])
    np.testing.assert_allclose(hidden_shares(boxes, patches, tf.constant(only_the_second)), [[0.0, 0.5]])
