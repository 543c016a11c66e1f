"""What a detector that learns new classes owes to its teacher, the detector that knew the old ones.

Learning without Forgetting (Li & Hoiem 2016) keeps the outputs for what was known as they were, on the new images, for
which the old ones need not be there. Of a detector's many outputs only those where the teacher sees something are held
(Shmelkov et al. 2017, section 3.2: the 64 proposals that look least like background), and none where an annotated
object lies: there the annotation teaches.

Every loss here is 0 where student and teacher agree, and never negative.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import tensorflow as tf

from components.detector.structures import GroundTruth, Teaching
from components.detector.targets import boxes as box_ops
from components.detector.targets.losses import smooth_l1

HELD_ANCHORS: Final = 256
"""Anchors an image that are held to the teacher: about as many as the objects of a full image match."""
HELD_PROPOSALS: Final = 64
"""Proposals an image that the second stage of two is held on."""
_ANNOTATED_IOU: Final = 0.5
"""What overlaps an annotated object by this is that object."""


def is_free(annotated: GroundTruth, boxes_yxyx: tf.Tensor, scale: tf.Tensor | float = 1.0) -> tf.Tensor:
    """bool [B, N]: whether no annotated object is where a box is.

    Args:
      annotated: in the canvas frame.
      boxes_yxyx: float32 [N, 4] or [B, N, 4], in the canvas frame times ``scale``.
      scale: float32 [4], or 1.
    """
    overlaps = box_ops.pairwise_iou(annotated.boxes_yxyx_normalized * scale, boxes_yxyx)  # [B, M, N]
    # One row that overlaps nothing lets M be 0.
    return tf.reduce_max(tf.pad(overlaps, [[0, 0], [0, 1], [0, 0]]), axis=1) < _ANNOTATED_IOU


def single_shot_distillation(
    box_encodings: tf.Tensor,
    class_logits: tf.Tensor,
    taught_boxes: tf.Tensor,
    taught_logits: tf.Tensor,
    free: tf.Tensor,
) -> tf.Tensor:
    """Of sigmoid scores and box encodings, anchor by anchor.

    Args:
      box_encodings: float32 [B, N, 4], the student's.
      class_logits: float32 [B, N, C], the student's for the common classes.
      taught_boxes: float32 [B, N, 4], the teacher's.
      taught_logits: float32 [B, N, C], the teacher's.
      free: bool [B, N]: False for anchors that are left to the annotations.

    Returns:
      float32 []: divided by the teacher's scores, as detection losses are by the number of matched anchors.
    """
    sure = tf.where(free, tf.sigmoid(tf.reduce_max(taught_logits, axis=-1)), 0.0)  # [B, N]
    best = tf.math.top_k(sure, min(HELD_ANCHORS, sure.shape[1]))  # [B, K]

    def held(values: tf.Tensor) -> tf.Tensor:
        return tf.gather(values, best.indices, batch_dims=1)  # [B, K, ...]

    targets = tf.sigmoid(held(taught_logits))  # [B, K, C]
    divergences = tf.nn.sigmoid_cross_entropy_with_logits(
        labels=targets, logits=held(class_logits)
    ) - tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=held(taught_logits))  # [B, K, C]
    of_classes = tf.reduce_sum(divergences, axis=-1) * tf.cast(best.values > 0.0, tf.float32)  # [B, K]
    # Where the teacher sees nothing, its box means nothing.
    of_boxes = smooth_l1(held(box_encodings), held(taught_boxes)) / 4.0 * best.values  # [B, K]
    return tf.reduce_sum(of_classes + of_boxes) / tf.maximum(tf.reduce_sum(best.values), 1.0)


def proposal_distillation(
    box_encodings: tf.Tensor,
    objectness_logits: tf.Tensor,
    taught_boxes: tf.Tensor,
    taught_objectness: tf.Tensor,
    free: tf.Tensor,
) -> tf.Tensor:
    """Of the first of two stages, anchor by anchor.

    Args:
      box_encodings: float32 [B, N, 4], the student's.
      objectness_logits: float32 [B, N, 2], the student's: background, object.
      taught_boxes: float32 [B, N, 4], the teacher's.
      taught_objectness: float32 [B, N, 2], the teacher's.
      free: bool [B, N]: False for anchors that are left to the annotations.

    Returns:
      float32 []: the mean of the held anchors.
    """
    sure = tf.where(free, tf.nn.softmax(taught_objectness)[..., 1], 0.0)  # [B, N]
    best = tf.math.top_k(sure, min(HELD_ANCHORS, sure.shape[1]))  # [B, K]

    def held(values: tf.Tensor) -> tf.Tensor:
        return tf.gather(values, best.indices, batch_dims=1)  # [B, K, ...]

    of_objectness = _divergence(held(objectness_logits), held(taught_objectness))  # [B, K]
    of_boxes = smooth_l1(held(box_encodings), held(taught_boxes)) * best.values  # [B, K]
    is_held = tf.cast(best.values > 0.0, tf.float32)  # [B, K]
    return tf.reduce_sum((of_objectness + of_boxes) * is_held) / tf.maximum(tf.reduce_sum(is_held), 1.0)


class HeldProposals(NamedTuple):
    """A teacher's proposals that the second stage is held on, with what it makes of them.

    Attributes:
      boxes_yxyx_pixels: float32 [B, H, 4].
      weights: float32 [B, H]: 1, or 0 where an image has too few.
      logits: float32 [B, H, 1 + C], for background and the common classes.
      box_encodings: float32 [B, H, Q, 4]; Q is 1, or C for the common classes.
    """

    boxes_yxyx_pixels: tf.Tensor
    weights: tf.Tensor
    logits: tf.Tensor
    box_encodings: tf.Tensor


def held_proposals(teaching: Teaching, canvas_pixels: tf.Tensor) -> HeldProposals:
    """The proposals that look least like background to the teacher.

    Args:
      teaching: of a detector in two stages.
      canvas_pixels: float32 [4], what turns normalised yxyx into pixels.
    """
    predictions = teaching.predictions
    boxes = predictions["proposal_boxes"]  # [B, P, 4]
    logits = teaching.of_teacher(predictions["class_predictions_with_background"], 1)  # [B, P, 1 + C]
    encodings = predictions["refined_box_encodings"]  # [B, P, Q, 4]
    if encodings.shape[2] > 1:
        encodings = tf.gather(encodings, [old for old, _ in teaching.classes], axis=2)
    is_real = tf.range(boxes.shape[1])[tf.newaxis] < predictions["num_proposals"][:, tf.newaxis]  # [B, P]
    usable = is_real & is_free(teaching.annotated, boxes, canvas_pixels)  # [B, P]
    sure = tf.where(usable, 1.0 - tf.nn.softmax(logits)[..., 0], -1.0)  # [B, P]
    best = tf.math.top_k(sure, min(HELD_PROPOSALS, boxes.shape[1]))  # [B, H]

    def held(values: tf.Tensor) -> tf.Tensor:
        return tf.gather(values, best.indices, batch_dims=1)  # [B, H, ...]

    return HeldProposals(held(boxes), tf.cast(best.values >= 0.0, tf.float32), held(logits), held(encodings))


def classifier_distillation(box_encodings: tf.Tensor, class_logits: tf.Tensor, held: HeldProposals) -> tf.Tensor:
    """Of the second of two stages, on the teacher's proposals.

    Args:
      box_encodings: float32 [B, H, Q, 4], the student's; Q as in ``held``.
      class_logits: float32 [B, H, 1 + C], the student's for background and the common classes.
      held: the proposals.

    Returns:
      float32 []: the mean of the held proposals.
    """
    of_classes = _divergence(class_logits, held.logits)  # [B, H]
    scores = tf.nn.softmax(held.logits)[..., 1:]  # [B, H, C]
    if box_encodings.shape[2] == 1:
        scores = tf.reduce_sum(scores, axis=-1, keepdims=True)  # [B, H, 1]
    of_boxes = tf.reduce_sum(smooth_l1(box_encodings, held.box_encodings) * scores, axis=-1)  # [B, H]
    return tf.reduce_sum((of_classes + of_boxes) * held.weights) / tf.maximum(tf.reduce_sum(held.weights), 1.0)


def _divergence(logits: tf.Tensor, taught_logits: tf.Tensor) -> tf.Tensor:
    """Kullback-Leibler divergence of softmaxes, [..., K] -> [...]."""
    targets = tf.nn.softmax(taught_logits)
    return tf.nn.softmax_cross_entropy_with_logits(targets, logits) - tf.nn.softmax_cross_entropy_with_logits(
        targets, taught_logits
    )
