"""Colour changes are the maps they say; compared with plain numpy."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from components.trainer.augmentation_settings import AugmentationSettings
from components.trainer.input.augmentation import colour


def test_colour_map_is_the_affine_map_it_says() -> None:
    chosen = AugmentationSettings(brightness=0.3, contrast=0.5, saturation=0.5, hue=0.1)
    maps = colour.random_colour_maps(tf.constant(3), tf.constant([5, 6]), chosen)
    images = np.random.default_rng(0).uniform(0, 255, (3, 6, 8, 3)).astype(np.float32)
    changed = colour.apply_colour_maps(tf.constant(images), maps).numpy()
    for image, colour_map, found in zip(images, maps.numpy(), changed, strict=True):
        expected = np.clip(image @ colour_map[:3] + colour_map[3], 0, 255)
        np.testing.assert_allclose(found, expected, atol=1e-2)


def test_saturation_and_hue_leave_grey_alone() -> None:
    chosen = AugmentationSettings(brightness=0.0, contrast=0.0, saturation=1.0, hue=0.5)
    maps = colour.random_colour_maps(tf.constant(8), tf.constant([7, 8]), chosen)
    grey = tf.fill([8, 4, 4, 3], 90.0)
    np.testing.assert_allclose(colour.apply_colour_maps(grey, maps), grey, atol=0.5)


def test_no_change_asked_is_no_change() -> None:
    nothing = AugmentationSettings(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    maps = colour.random_colour_maps(tf.constant(2), tf.constant([7, 8]), nothing)
    images = np.random.default_rng(0).uniform(0, 255, (2, 4, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(colour.apply_colour_maps(tf.constant(images), maps), images, atol=1e-2)
