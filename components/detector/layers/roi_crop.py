"""Cutting region proposals out of a feature map, all to one size."""

from __future__ import annotations

import tensorflow as tf

from components.detector.layers.in_float import in_float
from components.detector.layers.other_runtimes import is_for_other_runtimes

_INSIDE = 1.0 - 1e-6
"""The kernel gives 0 for samples beyond the last feature, also where only rounding put them there."""


def crop_regions(features: tf.Tensor, boxes_yxyx_normalized: tf.Tensor, *, crop_size: int, pool_size: int) -> tf.Tensor:
    """Samples each region bilinearly on a square grid, then max-pools the grid (Huang et al. 2016, section 3.1.2).

    The grid's corner points lie on the corners of the box, where 0 and 1 are the centers of the first and the last
    feature: ``tf.image.crop_and_resize``. No gradient flows into the boxes.

    Args:
      features: float [B, h, w, C].
      boxes_yxyx_normalized: float32 [B, P, 4] within 0..1; a box of zeros gives the first feature everywhere.
      crop_size: side of the sampled grid.
      pool_size: window and stride of the pooling; 1 pools nothing.

    Returns:
      float32 [B * P, crop_size // pool_size, crop_size // pool_size, C], the regions of the first image first.
    """
    shape = tf.shape(boxes_yxyx_normalized)
    images = tf.repeat(tf.range(shape[0]), shape[1])  # [B * P]
    boxes = tf.minimum(tf.reshape(tf.stop_gradient(boxes_yxyx_normalized), (-1, 4)), _INSIDE)  # [B * P, 4]
    # The crops are float32 whatever the features are, and the gradient's kernel knows no bfloat16.
    features = tf.cast(features, tf.float32)
    # Plain gathers take several times the memory, and no gradient was looked at.
    sample = _gather if is_for_other_runtimes() else tf.image.crop_and_resize
    with in_float():
        crops = sample(features, boxes, images, (crop_size, crop_size))  # [B * P, s, s, C]
    return crops if pool_size == 1 else tf.nn.max_pool2d(crops, pool_size, pool_size, "VALID")


def _gather(features: tf.Tensor, boxes: tf.Tensor, images: tf.Tensor, crop_size: tuple[int, int]) -> tf.Tensor:
    """``tf.image.crop_and_resize`` of boxes within 0..1, more than a sample a side, operation by operation as it is."""
    _, rows, columns, channels = features.shape
    starts, ends = boxes[:, :2], boxes[:, 2:]  # [P, 2]
    last = tf.constant([rows - 1.0, columns - 1.0])  # [2]
    steps = (ends - starts) * last / (tf.constant(crop_size, tf.float32) - 1.0)  # [P, 2]
    firsts = starts * last  # [P, 2]
    y, x = (
        firsts[:, axis, tf.newaxis] + tf.range(side, dtype=tf.float32) * steps[:, axis, tf.newaxis]  # [P, s]
        for axis, side in enumerate(crop_size)
    )
    top, left = tf.floor(y), tf.floor(x)  # [P, s]
    below, right = y - top, x - left  # [P, s], how far
    first_row = tf.cast(images, tf.int32)[:, tf.newaxis] * rows  # [P, 1]
    pixels = tf.reshape(features, (-1, channels))  # [B * h * w, C]

    def read(row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        lines = (first_row + tf.cast(row, tf.int32)) * columns  # [P, s]
        return tf.gather(pixels, lines[:, :, tf.newaxis] + tf.cast(column, tf.int32)[:, tf.newaxis])  # [P, s, s, C]

    def read_line(row: tf.Tensor) -> tf.Tensor:
        at_left = read(row, left)
        return at_left + (read(row, tf.math.ceil(x)) - at_left) * right[:, tf.newaxis, :, tf.newaxis]

    upper = read_line(top)
    return upper + (read_line(tf.math.ceil(y)) - upper) * below[:, :, tf.newaxis, tf.newaxis]
