"""Changes of finished canvases that leave every box where it is: colour, blur, erasing; for the student alone.

As in Unbiased Teacher (Liu et al. 2021, appendix, table of strong augmentations). Not by the input pipeline, which has
the like (``input.augmentation.pixels``): the teacher has to see the same canvas without them.
"""

from __future__ import annotations

import math
from typing import Final

import tensorflow as tf

from components.trainer.augmentation_settings import AugmentationSettings
from components.trainer.input.augmentation.colour import apply_colour_maps, random_colour_maps
from components.trainer.strategies.settings.mean_teacher import StrongAugmentationSettings

_LUMINANCE: Final = (0.299, 0.587, 0.114)
_BLUR_TAPS: Final = (1.0, 6.0, 15.0, 20.0, 15.0, 6.0, 1.0)
"""Binomial: a Gaussian of standard deviation 1.2 pixels."""
_RECTANGLES: Final = 3
_LEAST_AREA, _MOST_AREA = 0.02, 0.2
_MOST_ELONGATION: Final = 3.0


def strongly_augmented(images: tf.Tensor, seed: tf.Tensor, settings: StrongAugmentationSettings) -> tf.Tensor:
    """Changes each image of a batch in its own way.

    Args:
      images: float32 [B, H, W, 3] in 0..255, H and W known.
      seed: int64 [2]; decides everything.
      settings: ranges and probabilities.

    Returns:
      float32 [B, H, W, 3] in 0..255.
    """
    batch = tf.shape(images)[0]
    seeds = tf.unstack(tf.random.split(tf.cast(seed, tf.int32), 4), num=4)
    colour = AugmentationSettings(
        brightness=settings.colour / 2,
        contrast=min(settings.colour, 0.99),
        saturation=settings.colour,
        hue=settings.colour / 8,
    )
    images = apply_colour_maps(images, random_colour_maps(batch, seeds[0], colour))
    grey, sharp = tf.unstack(tf.random.stateless_uniform([2, batch, 1, 1, 1], seeds[1]))  # [B, 1, 1, 1] each
    luminance = tf.reduce_sum(images * _LUMINANCE, axis=-1, keepdims=True)  # [B, H, W, 1]
    images = tf.where(grey < settings.greyscale, luminance, images)
    strength = tf.random.stateless_uniform([batch, 1, 1, 1], seeds[2])
    strength = tf.where(sharp < settings.blur, strength, 0.0)  # [B, 1, 1, 1]
    images = images + strength * (_blurred(images) - images)
    return _erased(images, seeds[3], settings.erasing)


def _blurred(images: tf.Tensor) -> tf.Tensor:
    """[B, H, W, 3] -> the same under a Gaussian, edges repeated."""
    taps = tf.constant(_BLUR_TAPS) / sum(_BLUR_TAPS)
    reach = len(_BLUR_TAPS) // 2
    for axis, shape in ((1, (-1, 1, 1, 1)), (2, (1, -1, 1, 1))):
        first, last = (
            tf.gather(images, [0] * reach, axis=axis),
            tf.gather(images, [images.shape[axis] - 1] * reach, axis=axis),
        )
        padded = tf.concat([first, images, last], axis=axis)
        kernel = tf.tile(tf.reshape(taps, shape), [1, 1, 3, 1])  # [k, 1, 3, 1] or [1, k, 3, 1]
        images = tf.nn.depthwise_conv2d(padded, kernel, [1, 1, 1, 1], "VALID")
    return images


def _erased(images: tf.Tensor, seed: tf.Tensor, probability: float) -> tf.Tensor:
    """Covers rectangles with one colour each (Zhong et al. 2020, "Random Erasing Data Augmentation")."""
    batch, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    draws = tf.random.stateless_uniform([_RECTANGLES, batch, 8], seed)
    rows = (tf.range(height, dtype=tf.float32) + 0.5) / height  # [H]
    columns = (tf.range(width, dtype=tf.float32) + 0.5) / width  # [W]
    for drawn in tf.unstack(draws):  # [B, 8]
        chance, size, shape, y, x = tf.unstack(drawn[:, :5], axis=-1)  # [B] each
        area = _LEAST_AREA + size * (_MOST_AREA - _LEAST_AREA)
        stretch = tf.exp((shape - 0.5) * math.log(_MOST_ELONGATION))  # root of height / width
        high, wide = tf.minimum(tf.sqrt(area) * stretch, 1.0), tf.minimum(tf.sqrt(area) / stretch, 1.0)
        top, left = y * (1.0 - high), x * (1.0 - wide)
        in_rows = (rows >= top[:, tf.newaxis]) & (rows < (top + high)[:, tf.newaxis])  # [B, H]
        in_columns = (columns >= left[:, tf.newaxis]) & (columns < (left + wide)[:, tf.newaxis])  # [B, W]
        covered = (
            in_rows[:, :, tf.newaxis] & in_columns[:, tf.newaxis] & (chance < probability)[:, tf.newaxis, tf.newaxis]
        )
        images = tf.where(covered[..., tf.newaxis], 255.0 * drawn[:, tf.newaxis, tf.newaxis, 5:], images)
    return images
