"""What a teacher finds in unlabelled images, as ground truth for a student that sees the same canvas."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from components.detector.structures import Detections, GroundTruth


class PseudoLabels(NamedTuple):
    """Pseudo-labels of a batch.

    Attributes:
      truth: in the canvas frame. Detections below the threshold that are to be ignored have weight 0, as crowds have.
      labelled: bool [B]: whether the image has one that is learnt.
    """

    truth: GroundTruth
    labelled: tf.Tensor


def pseudo_labels(
    detections: Detections, valid_height_width: tf.Tensor, score_thresholds: tf.Tensor, ignored_from: float
) -> PseudoLabels:
    """Detections that are sure enough, as ground truth.

    No gradient flows through them.

    Args:
      detections: of the teacher, N an image, in 0..1 of the shown image.
      valid_height_width: float32 [B, 2], the share of the canvas that is the shown image.
      score_thresholds: float32 [C], by class; a detection with this score or a higher one is a label.
      ignored_from: one with a lower score, down to this, is neither learnt nor taught as background.
    """
    real = detections.classes >= 0  # [B, N]
    needed = tf.gather(score_thresholds, tf.maximum(detections.classes, 0))  # [B, N]
    learnt = real & (detections.scores >= needed)  # [B, N]
    kept = real & (detections.scores >= tf.minimum(needed, ignored_from))  # [B, N]
    to_canvas = tf.tile(valid_height_width, [1, 2])[:, tf.newaxis]  # [B, 1, 4]
    boxes = tf.clip_by_value(detections.boxes_yxyx_normalized, 0.0, 1.0) * to_canvas  # [B, N, 4]
    truth = GroundTruth(
        boxes_yxyx_normalized=tf.where(kept[..., tf.newaxis], boxes, 0.0),
        classes=tf.where(kept, detections.classes, -1),
        weights=tf.cast(learnt, tf.float32),
        valid_height_width=valid_height_width,
    )
    return PseudoLabels(
        GroundTruth(*(tf.stop_gradient(part) for part in truth)), tf.stop_gradient(tf.reduce_any(learnt, axis=1))
    )
