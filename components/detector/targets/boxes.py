"""Box arithmetic: conversions, areas, intersection over union, clipping, and the Faster R-CNN box coding.

Formats are in the names: ``yxyx`` is (ymin, xmin, ymax, xmax), ``cxcywh`` is (center x, center y, width, height).
Unless a name says ``normalized`` or ``pixels``, a function works in either unit as long as all its arguments agree.
"""

from __future__ import annotations

import tensorflow as tf

ScaleFactors = tuple[float, float, float, float]

ZOO_SCALE_FACTORS: ScaleFactors = (10.0, 10.0, 5.0, 5.0)
"""(y, x, height, width) scales of the SSDs' and Faster R-CNN's box coder in the published configurations."""

_EPSILON = 1e-8
"""Added to sizes before dividing or taking logarithms, as in the TF Object Detection API's coder."""


def yxyx_to_cxcywh(boxes_yxyx: tf.Tensor) -> tf.Tensor:
    """float32 [..., 4] (ymin, xmin, ymax, xmax) -> float32 [..., 4] (center x, center y, width, height)."""
    ymin, xmin, ymax, xmax = tf.unstack(boxes_yxyx, axis=-1)  # each [...]
    return tf.stack([(xmin + xmax) / 2.0, (ymin + ymax) / 2.0, xmax - xmin, ymax - ymin], axis=-1)  # [..., 4]


def cxcywh_to_yxyx(boxes_cxcywh: tf.Tensor) -> tf.Tensor:
    """The inverse of :func:`yxyx_to_cxcywh`; a negative width or height makes an inverted box."""
    cx, cy, width, height = tf.unstack(boxes_cxcywh, axis=-1)  # each [...]
    return tf.stack([cy - height / 2.0, cx - width / 2.0, cy + height / 2.0, cx + width / 2.0], axis=-1)  # [..., 4]


def area(boxes_yxyx: tf.Tensor) -> tf.Tensor:
    """float32 [..., 4] -> float32 [...]: area, 0 for inverted boxes."""
    ymin, xmin, ymax, xmax = tf.unstack(boxes_yxyx, axis=-1)  # each [...]
    return tf.maximum(ymax - ymin, 0.0) * tf.maximum(xmax - xmin, 0.0)  # [...]


def pairwise_iou(boxes_yxyx: tf.Tensor, others_yxyx: tf.Tensor) -> tf.Tensor:
    """Intersection over union of every box with every other box of the same batch entry.

    Args:
      boxes_yxyx: float32 [..., M, 4].
      others_yxyx: float32 [..., N, 4]; leading dimensions broadcast against those of ``boxes_yxyx``, so one set of
        anchors [N, 4] serves a whole batch [B, M, 4].

    Returns:
      float32 [..., M, N] in 0..1; 0 where boxes do not touch (also for two empty boxes).
    """
    # [..., M, 1] against [..., 1, N]: the long dimension (anchors) is last, which is what CPU kernels vectorise over.
    ymin, xmin, ymax, xmax = (tf.expand_dims(side, -1) for side in tf.unstack(boxes_yxyx, axis=-1))
    other_ymin, other_xmin, other_ymax, other_xmax = (
        tf.expand_dims(side, -2) for side in tf.unstack(others_yxyx, axis=-1)
    )
    height = tf.nn.relu(tf.minimum(ymax, other_ymax) - tf.maximum(ymin, other_ymin))  # [..., M, N]
    width = tf.nn.relu(tf.minimum(xmax, other_xmax) - tf.maximum(xmin, other_xmin))  # [..., M, N]
    intersection = height * width  # [..., M, N]
    areas = tf.expand_dims(area(boxes_yxyx), -1)  # [..., M, 1]
    other_areas = tf.expand_dims(area(others_yxyx), -2)  # [..., 1, N]
    return tf.math.divide_no_nan(intersection, areas + other_areas - intersection)  # [..., M, N]


def ious(boxes_yxyx: tf.Tensor, others_yxyx: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Intersection over union of each box with its other, plain and generalised (Rezatofighi et al. 2019, algorithm 1).

    Args:
      boxes_yxyx: float32 [..., 4]; inverted boxes have no area.
      others_yxyx: float32 [..., 4]; leading dimensions broadcast.

    Returns:
      float32 [...] in 0..1, and float32 [...] in -1..1. Finite, and with finite gradients, for empty boxes, too.
    """
    starts, ends = boxes_yxyx[..., :2], boxes_yxyx[..., 2:]  # [..., 2]
    other_starts, other_ends = others_yxyx[..., :2], others_yxyx[..., 2:]  # [..., 2]
    intersection = area(tf.concat([tf.maximum(starts, other_starts), tf.minimum(ends, other_ends)], axis=-1))  # [...]
    union = area(boxes_yxyx) + area(others_yxyx) - intersection  # [...]
    plain = tf.math.divide_no_nan(intersection, union)  # [...]
    enclosing = area(tf.concat([tf.minimum(starts, other_starts), tf.maximum(ends, other_ends)], axis=-1))  # [...]
    return plain, plain - tf.math.divide_no_nan(enclosing - union, enclosing)


def clip(boxes_yxyx: tf.Tensor, window_yxyx: tf.Tensor) -> tf.Tensor:
    """Clips every side into a window.

    Args:
      boxes_yxyx: float32 [..., 4].
      window_yxyx: float32 broadcastable to ``boxes_yxyx``, e.g. [4] or [B, 1, 4].

    Returns:
      float32 [..., 4]; a box outside the window becomes a line or a point on its border (area 0).
    """
    window = tf.convert_to_tensor(window_yxyx, boxes_yxyx.dtype)
    low = tf.concat([window[..., :2], window[..., :2]], axis=-1)  # [..., 4]
    high = tf.concat([window[..., 2:], window[..., 2:]], axis=-1)  # [..., 4]
    return tf.maximum(tf.minimum(boxes_yxyx, high), low)  # [..., 4]


def encode(
    boxes_yxyx: tf.Tensor, anchors_yxyx: tf.Tensor, scale_factors: ScaleFactors = ZOO_SCALE_FACTORS
) -> tf.Tensor:
    """Box targets relative to anchors (Faster R-CNN, section 3.1.2), in the order ty, tx, th, tw.

    Args:
      boxes_yxyx: float32 [..., N, 4].
      anchors_yxyx: float32 [N, 4] or [..., N, 4].
      scale_factors: the four targets are multiplied by these.

    Returns:
      float32 [..., N, 4]; finite also for empty boxes.
    """
    cx, cy, width, height = tf.unstack(yxyx_to_cxcywh(boxes_yxyx), axis=-1)  # each [..., N]
    anchor_cx, anchor_cy, anchor_width, anchor_height = tf.unstack(yxyx_to_cxcywh(anchors_yxyx), axis=-1)
    anchor_height, anchor_width = anchor_height + _EPSILON, anchor_width + _EPSILON
    coded = tf.stack(
        [
            (cy - anchor_cy) / anchor_height,
            (cx - anchor_cx) / anchor_width,
            tf.math.log((height + _EPSILON) / anchor_height),
            tf.math.log((width + _EPSILON) / anchor_width),
        ],
        axis=-1,
    )  # [..., N, 4]
    return coded * tf.constant(scale_factors, coded.dtype)


def decode(encodings: tf.Tensor, anchors_yxyx: tf.Tensor, scale_factors: ScaleFactors = ZOO_SCALE_FACTORS) -> tf.Tensor:
    """The inverse of :func:`encode`: float32 [..., N, 4] (ty, tx, th, tw) -> float32 [..., N, 4] (yxyx)."""
    ty, tx, th, tw = tf.unstack(encodings / tf.constant(scale_factors, encodings.dtype), axis=-1)  # each [..., N]
    anchor_cx, anchor_cy, anchor_width, anchor_height = tf.unstack(yxyx_to_cxcywh(anchors_yxyx), axis=-1)
    center_y = ty * anchor_height + anchor_cy
    center_x = tx * anchor_width + anchor_cx
    half_height = tf.exp(th) * anchor_height / 2.0
    half_width = tf.exp(tw) * anchor_width / 2.0
    return tf.stack(
        [center_y - half_height, center_x - half_width, center_y + half_height, center_x + half_width], axis=-1
    )  # [..., N, 4]
