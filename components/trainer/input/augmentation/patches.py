"""Rectangles of other pixels put on an image, and how much of an object they hide."""

from __future__ import annotations

import tensorflow as tf

from components.trainer.input.augmentation.geometry import visible_shares


def paste(image: tf.Tensor, patch: tf.Tensor, corner_pixels: tf.Tensor) -> tf.Tensor:
    """An image with a patch on it.

    Args:
      image: [H, W, C].
      patch: [h, w, C] of the same type, which lies inside the image.
      corner_pixels: int32 [2], (y, x) of its upper left.

    Returns:
      [H, W, C].
    """
    # Three copies of memory; a mask would look at every pixel.
    y, x = corner_pixels[0], corner_pixels[1]
    bottom, right = y + tf.shape(patch)[0], x + tf.shape(patch)[1]
    rows = tf.concat([image[y:bottom, :x], patch, image[y:bottom, right:]], axis=1)
    return tf.ensure_shape(tf.concat([image[:y], rows, image[bottom:]], axis=0), image.shape)


def hidden_shares(boxes_yxyx: tf.Tensor, patches_yxyx: tf.Tensor, lies_on: tf.Tensor) -> tf.Tensor:
    """Share of each box under patches.

    Where patches overlap on a box, what both hide counts twice: the share is an upper bound.

    Args:
      boxes_yxyx: float32 [B, M, 4].
      patches_yxyx: float32 [B, P, 4] in the same frame; one without area hides nothing.
      lies_on: bool [M, P]: whether the patch was put there after the box.

    Returns:
      float32 [B, M] in 0..1.
    """
    shares = visible_shares(boxes_yxyx[:, :, tf.newaxis], patches_yxyx[:, tf.newaxis])  # [B, M, P]
    return tf.minimum(tf.reduce_sum(tf.where(lies_on, shares, 0.0), axis=-1), 1.0)
