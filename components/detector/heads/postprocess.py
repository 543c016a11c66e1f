"""From scored boxes to detections: per-class non-maximum suppression with the TF Object Detection API's semantics."""

from __future__ import annotations

import tensorflow as tf

from components.detector.detector import Detections
from components.detector.targets import boxes as box_ops

_SPARE = 10
"""Suppression keeps this many times ``max_total`` before boxes without area in the window are dropped."""


def batch_non_max_suppression(
    boxes_yxyx: tf.Tensor,
    scores: tf.Tensor,
    *,
    score_threshold: float,
    iou_threshold: float,
    max_per_class: int,
    max_total: int,
    window_yxyx: tf.Tensor,
) -> Detections:
    """Greedy suppression within each class, then the best of all classes.

    The order of the steps is that of the original's ``batch_multiclass_non_max_suppression``: suppress on unclipped
    boxes, clip to the window, drop what has no area left, keep the ``max_total`` best scores.

    Args:
      boxes_yxyx: float32 [B, N, Q, 4]; Q is 1 (classes share boxes) or C (a box for each class).
      scores: float32 [B, N, C], without background.
      score_threshold: boxes must score above it.
      iou_threshold: a box that overlaps a better one of its class by more is suppressed.
      max_per_class: kept of each class.
      max_total: rows of the result.
      window_yxyx: float32 [4] or [B, 4]: where boxes are clipped to, in the boxes' own frame.

    Returns:
      Detections with ``max_total`` rows, in the frame of ``boxes_yxyx``.
    """
    num_classes = scores.shape[-1]
    kept = min(max_per_class * num_classes, _SPARE * max_total)
    # The kernel is the original's greedy algorithm for all classes and images in parallel, with the same tie order.
    found = tf.image.combined_non_max_suppression(
        boxes_yxyx,
        scores,
        max_output_size_per_class=max_per_class,
        max_total_size=kept,
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
        clip_boxes=False,
    )
    window = tf.convert_to_tensor(window_yxyx, boxes_yxyx.dtype)
    window = tf.reshape(window, (-1, 1, 4))  # [B or 1, 1, 4]
    clipped = box_ops.clip(found.nmsed_boxes, window)  # [B, kept, 4]
    is_found = tf.range(kept)[tf.newaxis] < found.valid_detections[:, tf.newaxis]  # [B, kept]
    is_valid = is_found & (box_ops.area(clipped) > 0.0)  # [B, kept]
    # Best first is already the order: valid rows only have to move to the front, which a stable sort does.
    order = tf.argsort(tf.cast(~is_valid, tf.int32), axis=1, stable=True)[:, :max_total]  # [B, <= max_total]
    valid = tf.gather(is_valid, order, batch_dims=1)  # [B, <= max_total]
    detections = Detections(
        boxes_yxyx_normalized=tf.where(valid[..., tf.newaxis], tf.gather(clipped, order, batch_dims=1), 0.0),
        scores=tf.where(valid, tf.gather(found.nmsed_scores, order, batch_dims=1), 0.0),
        classes=tf.where(valid, tf.cast(tf.gather(found.nmsed_classes, order, batch_dims=1), tf.int32), -1),
        counts=tf.reduce_sum(tf.cast(valid, tf.int32), axis=1),
    )
    return detections if kept >= max_total else _pad_rows(detections, max_total - kept)


def _pad_rows(detections: Detections, rows: int) -> Detections:
    """Appends empty rows, for detectors with fewer classes than ``max_total / max_per_class``."""
    return Detections(
        boxes_yxyx_normalized=tf.pad(detections.boxes_yxyx_normalized, [[0, 0], [0, rows], [0, 0]]),
        scores=tf.pad(detections.scores, [[0, 0], [0, rows]]),
        classes=tf.pad(detections.classes, [[0, 0], [0, rows]], constant_values=-1),
        counts=detections.counts,
    )


def canvas_window(valid_height_width: tf.Tensor) -> tf.Tensor:
    """float32 [B, 2], the share of the canvas that is image -> float32 [B, 4], the window of the image on it (yxyx)."""
    return tf.pad(valid_height_width, [[0, 0], [2, 0]])  # [B, 4]


def to_original_frame(detections: Detections, valid_height_width: tf.Tensor) -> Detections:
    """Boxes normalised to the canvas -> boxes normalised to the image on it (float32 [B, 2] shares)."""
    shares = tf.tile(valid_height_width, (1, 2))[:, tf.newaxis]  # [B, 1, 4]
    return detections._replace(boxes_yxyx_normalized=detections.boxes_yxyx_normalized / shares)
