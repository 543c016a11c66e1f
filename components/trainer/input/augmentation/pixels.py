"""Changes of the pixels where they are: blur, noise, JPEG of low quality, an erased rectangle.

What happens to each image is drawn for a batch (``random_pixel_changes``) and done image by image, in parallel with
decoding. Nothing is computed for a kind whose probability is 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

from components.trainer.augmentation_settings import AugmentationSettings
from components.trainer.input.augmentation.patches import paste

_MAX_JPEG_QUALITY = 95
_MIN_ERASED_AREA = 0.02
_MAX_ERASED_STRETCH = math.sqrt(1 / 0.3)
"""Root of the largest aspect ratio of an erased rectangle (Zhong et al. 2020)."""

_DEVIATION_OF_TWO_BYTES = math.sqrt(2.0 * (256.0**2 - 1.0) / 12.0)


class PixelChanges(NamedTuple):
    """What happens to the images of a batch (or, without B, to one image).

    Attributes:
      blur_sigmas_pixels: float32 [B]; 0 is no blur.
      noise_deviations: float32 [B], of values in 0..255; 0 is no noise.
      jpeg_qualities: int32 [B], 1..100; 0 is none.
      erased_yxyx: float32 [B, 4] in 0..1 of the canvas' part that is image; without area nothing is erased.
      seeds: int32 [B, 2], of the random values that fill and disturb.
    """

    blur_sigmas_pixels: tf.Tensor
    noise_deviations: tf.Tensor
    jpeg_qualities: tf.Tensor
    erased_yxyx: tf.Tensor
    seeds: tf.Tensor

    @classmethod
    def none(cls, batch: tf.Tensor | int) -> PixelChanges:
        """Nothing happens to any image."""
        zeros = tf.zeros([batch])
        return cls(zeros, zeros, tf.zeros([batch], tf.int32), tf.zeros([batch, 4]), tf.zeros([batch, 2], tf.int32))


def random_pixel_changes(batch: tf.Tensor | int, seed: tf.Tensor, settings: AugmentationSettings) -> PixelChanges:
    """Draws what happens to each image.

    Args:
      batch: how many.
      seed: int [2].
      settings: probabilities and ranges.
    """
    draws = tf.random.stateless_uniform([batch, 11], seed)
    happens = draws[:, :4] < [settings.blur, settings.noise, settings.jpeg, settings.erase]  # [B, 4]
    strengths = draws[:, 4:7]  # [B, 3]
    qualities = settings.jpeg_min_quality + (_MAX_JPEG_QUALITY - settings.jpeg_min_quality) * strengths[:, 2]
    seeds = tf.random.stateless_uniform([batch, 2], tf.random.fold_in(seed, 1), None, None, tf.int32)
    return PixelChanges(
        tf.where(happens[:, 0], settings.blur_max_sigma * strengths[:, 0], 0.0),
        tf.where(happens[:, 1], 255.0 * settings.noise_max_deviation * strengths[:, 1], 0.0),
        tf.where(happens[:, 2], tf.cast(tf.round(qualities), tf.int32), 0),
        tf.where(happens[:, 3:], _rectangles(draws[:, 7:], settings.erase_max_area), 0.0),
        seeds,
    )


def _rectangles(draws: tf.Tensor, max_area: float) -> tf.Tensor:
    """Rectangles inside 0..1 from draws: area, aspect ratio and place, float32 [B, 4] -> float32 [B, 4]."""
    area = _MIN_ERASED_AREA + (max_area - _MIN_ERASED_AREA) * draws[:, 0]  # [B]
    stretch = tf.exp((2.0 * draws[:, 1] - 1.0) * math.log(_MAX_ERASED_STRETCH))  # [B]
    sides = tf.minimum(tf.sqrt(area)[:, tf.newaxis] * tf.stack([stretch, 1.0 / stretch], axis=-1), 1.0)  # [B, 2]
    corner = draws[:, 2:] * (1.0 - sides)  # [B, 2]
    return tf.concat([corner, corner + sides], axis=-1)


def change_pixels(
    image: tf.Tensor, valid_height_width: tf.Tensor, changes: PixelChanges, settings: AugmentationSettings
) -> tuple[tf.Tensor, tf.Tensor]:
    """Does to one image what was drawn for it: erasing, blur, noise, JPEG, as light, lens, sensor and file come.

    Args:
      image: uint8 [H, W, 3], a canvas.
      valid_height_width: float32 [2], the share of it that is image.
      changes: of this image.
      settings: tell which kinds there are at all.

    Returns:
      uint8 [H, W, 3] and what was erased, float32 [4] in 0..1 of the canvas, without area when nothing was.
    """
    erased = tf.zeros([4])
    if settings.erase:
        image, erased = _erased(image, valid_height_width, changes)
    if settings.blur:
        sigma = changes.blur_sigmas_pixels
        image = _when(sigma > 0.0, lambda: blurred(image, sigma, settings.blur_max_sigma), image)
    if settings.noise:
        deviation, seed = changes.noise_deviations, changes.seeds
        image = _when(deviation > 0.0, lambda image=image: noisy(image, deviation, seed), image)
    if settings.jpeg:
        quality = changes.jpeg_qualities
        image = _when(quality > 0, lambda image=image: coded_as_jpeg(image, quality), image)
    return image, erased


def _when(condition: tf.Tensor, changed: object, image: tf.Tensor) -> tf.Tensor:
    return tf.ensure_shape(tf.cond(condition, changed, lambda: image), image.shape)


def _erased(image: tf.Tensor, valid_height_width: tf.Tensor, changes: PixelChanges) -> tuple[tf.Tensor, tf.Tensor]:
    """``image`` with its rectangle of random values (Zhong et al. 2020, RE-R), and where in 0..1 of the canvas."""
    canvas = tf.cast(tf.shape(image)[:2], tf.float32)
    pixels = tf.cast(tf.round(changes.erased_yxyx * tf.tile(valid_height_width * canvas, [2])), tf.int32)  # [4]
    height, width = pixels[2] - pixels[0], pixels[3] - pixels[1]

    def erase() -> tf.Tensor:
        noise = tf.random.stateless_uniform([height, width, 3], changes.seeds, 0, 256, tf.int32)
        return paste(image, tf.cast(noise, tf.uint8), pixels[:2])

    return _when(height * width > 0, erase, image), tf.cast(pixels, tf.float32) / tf.tile(canvas, [2])


def blurred(image: tf.Tensor, sigma_pixels: tf.Tensor, max_sigma_pixels: float) -> tf.Tensor:
    """A Gaussian blur; the border is continued by its mirror image.

    Args:
      image: uint8 [H, W, 3].
      sigma_pixels: float32 scalar, above 0.
      max_sigma_pixels: decides the size of the kernel, which is that of every image.

    Returns:
      uint8 [H, W, 3].
    """
    radius = math.ceil(2.5 * max_sigma_pixels)
    offsets = tf.range(-radius, radius + 1, dtype=tf.float32)  # [k]
    kernel = tf.nn.softmax(-(offsets**2) / (2.0 * sigma_pixels**2))  # [k]
    padding = [[0, 0], [radius, radius], [radius, radius], [0, 0]]
    pixels = tf.pad(tf.cast(image[tf.newaxis], tf.float32), padding, "SYMMETRIC")  # [1, H + 2r, W + 2r, 3]
    for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
        along = tf.tile(tf.reshape(kernel, shape), [1, 1, 3, 1])  # [k or 1, 1 or k, 3, 1]
        pixels = tf.nn.depthwise_conv2d(pixels, along, [1, 1, 1, 1], "VALID")
    return tf.cast(pixels[0] + 0.5, tf.uint8)


def noisy(image: tf.Tensor, deviation: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Noise on every value: the sum of two uniform ones, near enough to Gaussian and drawn in a third of the time.

    Args:
      image: uint8 [H, W, 3], H and W known.
      deviation: float32 scalar, of values in 0..255.
      seed: int32 [2].

    Returns:
      uint8 [H, W, 3].
    """
    count = image.shape.num_elements()
    words = tf.random.stateless_uniform([2, -(-count // 4)], seed, None, None, tf.int32)
    uniform = tf.cast(tf.reshape(tf.bitcast(words, tf.int8), [2, -1])[:, :count], tf.float32)  # [2, H W 3]
    noise = tf.reshape(uniform[0] + uniform[1] + 1.0, image.shape) * (deviation / _DEVIATION_OF_TWO_BYTES)
    return tf.cast(tf.clip_by_value(tf.cast(image, tf.float32) + noise + 0.5, 0.0, 255.0), tf.uint8)


def coded_as_jpeg(image: tf.Tensor, quality: tf.Tensor) -> tf.Tensor:
    """uint8 [H, W, 3], int32 scalar in 1..100 -> uint8 [H, W, 3], with what a JPEG of that quality leaves."""
    return tf.io.decode_jpeg(tf.raw_ops.EncodeJpegVariableQuality(images=image, quality=quality), channels=3)
