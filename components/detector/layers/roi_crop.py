"""Cutting region proposals out of a feature map, all to one size."""

from __future__ import annotations

import tensorflow as tf

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
    crops = tf.image.crop_and_resize(features, boxes, images, (crop_size, crop_size))  # [B * P, s, s, C]
    return crops if pool_size == 1 else tf.nn.max_pool2d(crops, pool_size, pool_size, "VALID")
