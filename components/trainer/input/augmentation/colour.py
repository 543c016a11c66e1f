"""Changes of colour: one affine map of RGB an image, drawn here and applied to the finished batch.

It is applied on the device that trains, which is faster at it than the host could be.
"""

from __future__ import annotations

import math

import tensorflow as tf

from components.trainer.augmentation_settings import AugmentationSettings

_PIXELS_AT_ONCE = 16
# RGB -> YIQ (NTSC 1953): rows are brightness and the two colour axes that saturation scales and hue turns.
_RGB_TO_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


def random_colour_maps(batch: tf.Tensor, seed: tf.Tensor, settings: AugmentationSettings) -> tf.Tensor:
    """Draws changes of brightness, contrast, saturation and hue, each image's as one affine map of RGB.

    Saturation scales and hue turns the chroma plane of YIQ; contrast is about middle grey.

    Args:
      batch: int32 scalar, how many.
      seed: int [2].
      settings: ranges.

    Returns:
      float32 [B, 4, 3]: ``[r, g, b, 1] @ map`` is the changed RGB (0..255).
    """
    draws = tf.random.stateless_uniform([batch, 4], seed, -1.0, 1.0)
    brightness, contrast, saturation, hue = tf.unstack(draws, axis=-1)  # [B] each
    gain = 1.0 + contrast * settings.contrast
    chroma = 1.0 + saturation * settings.saturation
    angle = hue * settings.hue * 2.0 * math.pi
    cos, sin = chroma * tf.cos(angle), chroma * tf.sin(angle)
    zero, one = tf.zeros_like(gain), tf.ones_like(gain)
    rows = ((one, zero, zero), (zero, cos, -sin), (zero, sin, cos))
    turn = tf.stack([tf.stack(row, axis=-1) for row in rows], axis=-2)  # [B, 3, 3], acts on YIQ columns
    to_yiq = tf.constant(_RGB_TO_YIQ)
    matrices = tf.linalg.matrix_transpose(tf.linalg.inv(to_yiq) @ turn @ to_yiq)  # [B, 3, 3], acts on RGB rows
    offsets = 127.5 * (1.0 - gain) + 255.0 * brightness * settings.brightness  # [B]
    offsets = tf.tile(offsets[:, tf.newaxis, tf.newaxis], [1, 1, 3])  # [B, 1, 3]
    return tf.concat([gain[:, tf.newaxis, tf.newaxis] * matrices, offsets], axis=1)


def apply_colour_maps(images: tf.Tensor, colour_maps: tf.Tensor) -> tf.Tensor:
    """Changes the colours of a batch.

    A product with a 3 x 3 matrix is too small for the matrix kernels; as many pixels as divide the image (up to 16) go
    through one block-diagonal matrix, several times as fast.

    Args:
      images: float32 [B, H, W, 3] in 0..255, H and W known.
      colour_maps: float32 [B, 4, 3].

    Returns:
      float32 [B, H, W, 3], clipped to 0..255.
    """
    shape = tf.shape(images)
    at_once = math.gcd(images.shape[1] * images.shape[2], _PIXELS_AT_ONCE)
    blocks = tf.einsum("pq,bij->bpiqj", tf.eye(at_once), colour_maps[:, :3])  # [B, P, 3, P, 3]
    blocks = tf.reshape(blocks, [-1, 3 * at_once, 3 * at_once])
    rows = tf.reshape(images, [shape[0], -1, 3 * at_once])  # [B, H * W / P, 3 P]
    mapped = tf.matmul(rows, blocks) + tf.tile(colour_maps[:, 3:], [1, 1, at_once])
    return tf.reshape(tf.clip_by_value(mapped, 0.0, 255.0), shape)
