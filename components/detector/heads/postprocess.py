"""From scored boxes to detections: per-class non-maximum suppression with the TF Object Detection API's semantics."""

from __future__ import annotations

import tensorflow as tf

from components.detector.structures import Detections
from components.detector.targets import boxes as box_ops

_NOT_FOUND = tf.float32.min
"""Score of a row without a box."""


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
    boxes, clip to the window, drop what has no area left, keep the ``max_total`` best scores. So is the order of equal
    scores, alone and in a batch: within a class the lower anchor comes first, then the lower class.

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
    num_anchors, num_classes = scores.shape[1:]
    boxes_by_class = tf.transpose(boxes_yxyx, (0, 2, 1, 3))  # [B, Q, N, 4]
    scores_by_class = tf.reshape(tf.transpose(scores, (0, 2, 1)), (-1, num_anchors))  # [B * C, N]

    def suppress(row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image, class_index = row // num_classes, row % num_classes
        found = tf.raw_ops.NonMaxSuppressionV4(
            boxes=boxes_by_class[image, tf.minimum(class_index, boxes_by_class.shape[1] - 1)],  # [N, 4]
            scores=scores_by_class[row],  # [N]
            max_output_size=max_per_class,
            iou_threshold=iou_threshold,
            score_threshold=score_threshold,
            pad_to_max_output_size=True,
        )
        return found.selected_indices, found.valid_outputs

    # combined_non_max_suppression would take all rows at once, but has equal scores in the order of its heap. Neither
    # has a GPU much to do for.
    with tf.device("/CPU:0"):
        if scores_by_class.shape[0] == 1:
            # The proposals of one image: without a loop, which other runtimes than TensorFlow's may not have.
            selected, counts = (tf.expand_dims(part, 0) for part in suppress(tf.constant(0)))
        else:
            selected, counts = tf.map_fn(
                suppress,
                tf.range(tf.shape(scores_by_class)[0]),
                fn_output_signature=(tf.TensorSpec((max_per_class,), tf.int32), tf.TensorSpec((), tf.int32)),
            )  # [B * C, K], [B * C]
    rows = num_classes * max_per_class
    anchors = tf.reshape(selected, (-1, num_classes, max_per_class))  # [B, C, K]
    if boxes_by_class.shape[1] == 1:
        anchors = tf.reshape(anchors, (-1, 1, rows))  # [B, 1, C * K]
    boxes = tf.reshape(tf.gather(boxes_by_class, anchors, batch_dims=2), (-1, rows, 4))  # [B, C * K, 4]
    window = tf.reshape(tf.convert_to_tensor(window_yxyx, boxes.dtype), (-1, 1, 4))  # [B or 1, 1, 4]
    clipped = box_ops.clip(boxes, window)  # [B, C * K, 4]
    is_found = tf.reshape(tf.range(max_per_class) < counts[:, tf.newaxis], (-1, rows))  # [B, C * K]
    found_scores = tf.reshape(tf.gather(scores_by_class, selected, batch_dims=1), (-1, rows))  # [B, C * K]
    ranked = tf.where(is_found & (box_ops.area(clipped) > 0.0), found_scores, _NOT_FOUND)
    # Of equal values top_k, too, takes the first.
    best = tf.math.top_k(ranked, min(max_total, rows))  # [B, <= max_total]
    is_valid = best.values > _NOT_FOUND
    detections = Detections(
        boxes_yxyx_normalized=tf.where(is_valid[..., tf.newaxis], tf.gather(clipped, best.indices, batch_dims=1), 0.0),
        scores=tf.where(is_valid, best.values, 0.0),
        classes=tf.where(is_valid, best.indices // max_per_class, -1),
        counts=tf.reduce_sum(tf.cast(is_valid, tf.int32), axis=1),
    )
    return detections if rows >= max_total else _pad_rows(detections, max_total - rows)


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
