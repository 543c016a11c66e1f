"""One vector for each box: what the backbone makes of the part of an image."""

from __future__ import annotations

import tensorflow as tf

from components.detector.structures import Features

_SMALLEST_SIDE = 1e-6


def describe_boxes(features: Features, boxes_yxyx_normalized: tf.Tensor) -> tf.Tensor:
    """The mean of every level's features under each box, side by side, and the box's size.

    Levels see the same part at different depths; a vector of all of them ("skip pooling", Bell et al. 2016,
    "Inside-Outside Net", section 3.2) has one length whatever the box's size. A mean weighs each cell of a feature map
    by the share of it that the box covers: no sampling grid, and nothing to interpolate.

    Args:
      features: [B, h, w, C] by level, of ``Detector.features``.
      boxes_yxyx_normalized: float32 [B, P, 4] within 0..1 of the canvas; a box without area gives zeros.

    Returns:
      float32 [B, P, D]: D is the number of channels of all levels, and two: logarithms of height and width.
    """
    parts = [_mean_under(tf.cast(features[level], tf.float32), boxes_yxyx_normalized) for level in sorted(features)]
    sides = boxes_yxyx_normalized[..., 2:] - boxes_yxyx_normalized[..., :2]  # [B, P, 2]
    is_real = tf.reduce_all(sides > 0.0, axis=-1, keepdims=True)  # [B, P, 1]
    parts.append(tf.where(is_real, tf.math.log(tf.maximum(sides, _SMALLEST_SIDE)), 0.0))
    return tf.concat(parts, axis=-1)


def _mean_under(feature_map: tf.Tensor, boxes: tf.Tensor) -> tf.Tensor:
    """float32 [B, h, w, C], [B, P, 4] -> float32 [B, P, C]."""
    rows, columns, channels = feature_map.shape[1:]
    over_rows = _covered(boxes[..., 0], boxes[..., 2], rows)  # [B, P, h]
    over_columns = _covered(boxes[..., 1], boxes[..., 3], columns)  # [B, P, w]
    covered = over_rows[..., :, tf.newaxis] * over_columns[..., tf.newaxis, :]  # [B, P, h, w]
    covered = tf.reshape(covered, (-1, tf.shape(boxes)[1], rows * columns))  # [B, P, h * w]
    sums = tf.matmul(covered, tf.reshape(feature_map, (-1, rows * columns, channels)))  # [B, P, C]
    return tf.math.divide_no_nan(sums, tf.reduce_sum(covered, axis=-1, keepdims=True))


def _covered(low: tf.Tensor, high: tf.Tensor, cells: int) -> tf.Tensor:
    """How much of each of so many cells of 0..1 lies between two numbers, in cells: float32 [..., cells]."""
    edges = tf.range(cells, dtype=tf.float32)  # [cells]
    starts, ends = low[..., tf.newaxis] * cells, high[..., tf.newaxis] * cells
    return tf.maximum(tf.minimum(ends, edges + 1.0) - tf.maximum(starts, edges), 0.0)
