"""The two stages' target assignment and losses (Faster R-CNN, section 3.1.2; Fast R-CNN, section 2.3)."""

from __future__ import annotations

from typing import Final, NamedTuple

import tensorflow as tf

from components.detector.structures import GroundTruth, Proposals
from components.detector.targets import boxes as box_ops
from components.detector.targets.losses import smooth_l1, softmax_cross_entropy
from components.detector.targets.matching import argmax_match, gather_targets
from components.detector.targets.proposal_sampling import balanced_sample

RPN_MATCHED_IOU: Final = 0.7
"""Anchors that overlap an object by at least this, and each object's best one, learn it."""
RPN_SAMPLE: Final = 256
"""Anchors an image that the proposal network learns from, at most half of them positive."""
RPN_POSITIVE_FRACTION: Final = 0.5
CLASSIFIER_POSITIVE_FRACTION: Final = 0.25

LOCALIZATION_WEIGHT: Final = 2.0
CLASSIFICATION_WEIGHT: Final = 1.0
"""The published configurations weigh both stages alike."""


class SampledProposals(NamedTuple):
    """Proposals that the second stage learns from, with their targets.

    Attributes:
      boxes_yxyx_pixels: float32 [B, S, 4].
      weights: float32 [B, S]: 1 for a proposal, 0 where an image had too few.
      classes: int32 [B, S]: 0 for background, else the 0-based class + 1.
      class_weights: float32 [B, S].
      box_targets: float32 [B, S, 4]: encodings relative to the proposal.
      box_weights: float32 [B, S]: 0 for background.
    """

    boxes_yxyx_pixels: tf.Tensor
    weights: tf.Tensor
    classes: tf.Tensor
    class_weights: tf.Tensor
    box_targets: tf.Tensor
    box_weights: tf.Tensor


def rpn_losses(
    box_encodings: tf.Tensor,
    objectness_logits: tf.Tensor,
    anchors_yxyx_pixels: tf.Tensor,
    truth_yxyx_pixels: tf.Tensor,
    truth: GroundTruth,
    seed: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Losses of the region proposal network on a balanced sample of anchors.

    Args:
      box_encodings: float32 [B, N, 4].
      objectness_logits: float32 [B, N, 2]: background, object.
      anchors_yxyx_pixels: float32 [N, 4].
      truth_yxyx_pixels: float32 [B, M, 4].
      truth: whose classes are not looked at (but for padding).
      seed: int32 [2], of the sample.

    Returns:
      ``rpn_localization`` and ``rpn_objectness``: weighted scalars, averaged over sampled anchors, then images.
    """
    matches = argmax_match(
        box_ops.pairwise_iou(truth_yxyx_pixels, anchors_yxyx_pixels),
        truth.weights,
        matched_threshold=RPN_MATCHED_IOU,
        unmatched_threshold=0.3,
        force_match=True,
        row_is_real=truth.classes >= 0,
    )  # [B, N]
    targets = gather_targets(matches, truth_yxyx_pixels, truth.classes, truth.weights)
    sample = balanced_sample(
        targets.class_weights > 0.0,
        matches >= 0,
        sample_size=RPN_SAMPLE,
        positive_fraction=RPN_POSITIVE_FRACTION,
        seed=seed,
    )

    def chosen(values: tf.Tensor) -> tf.Tensor:
        return tf.gather(values, sample.indices, batch_dims=1)  # [B, S, ...]

    box_targets = box_ops.encode(chosen(targets.boxes_yxyx), tf.gather(anchors_yxyx_pixels, sample.indices))
    localization = smooth_l1(chosen(box_encodings), box_targets) * chosen(targets.box_weights) * sample.weights
    is_object = tf.cast(chosen(matches) >= 0, tf.int32)  # [B, S]
    objectness = softmax_cross_entropy(chosen(objectness_logits), is_object) * sample.weights  # [B, S]
    count = tf.maximum(tf.reduce_sum(sample.weights, axis=1), 1.0)  # [B]
    return {
        "rpn_localization": LOCALIZATION_WEIGHT * tf.reduce_mean(tf.reduce_sum(localization, axis=1) / count),
        "rpn_objectness": CLASSIFICATION_WEIGHT * tf.reduce_mean(tf.reduce_sum(objectness, axis=1) / count),
    }


def sample_proposals(
    proposals: Proposals, truth_yxyx_pixels: tf.Tensor, truth: GroundTruth, *, sample_size: int, seed: tf.Tensor
) -> SampledProposals:
    """Matches proposals to ground truth (IoU 0.5) and draws those that the second stage is trained on.

    Ground truth boxes are not added to the proposals, as in the published training.

    Args:
      proposals: P of them.
      truth_yxyx_pixels: float32 [B, M, 4].
      truth: classes and weights of the ground truth.
      sample_size: S.
      seed: int32 [2].
    """
    matches = argmax_match(
        box_ops.pairwise_iou(truth_yxyx_pixels, proposals.boxes_yxyx_pixels),
        truth.weights,
        matched_threshold=0.5,
        unmatched_threshold=0.5,
        force_match=False,
        row_is_real=truth.classes >= 0,
    )  # [B, P]
    targets = gather_targets(matches, truth_yxyx_pixels, truth.classes, truth.weights)
    sample = balanced_sample(
        proposals.is_real & (targets.class_weights > 0.0),
        matches >= 0,
        sample_size=sample_size,
        positive_fraction=CLASSIFIER_POSITIVE_FRACTION,
        seed=seed,
    )

    def chosen(values: tf.Tensor) -> tf.Tensor:
        return tf.gather(values, sample.indices, batch_dims=1)  # [B, S, ...]

    boxes = chosen(proposals.boxes_yxyx_pixels)  # [B, S, 4]
    return SampledProposals(
        boxes_yxyx_pixels=boxes,
        weights=sample.weights,
        classes=chosen(targets.classes) + 1,
        class_weights=chosen(targets.class_weights) * sample.weights,
        box_targets=box_ops.encode(chosen(targets.boxes_yxyx), boxes),
        box_weights=chosen(targets.box_weights) * sample.weights,
    )


def classifier_losses(
    box_encodings: tf.Tensor, class_logits: tf.Tensor, sampled: SampledProposals
) -> dict[str, tf.Tensor]:
    """Losses of the second stage.

    Args:
      box_encodings: float32 [B, S, Q, 4]; Q is 1 (classes share a box) or the number of classes.
      class_logits: float32 [B, S, 1 + classes], background first.
      sampled: the proposals and targets.

    Returns:
      ``localization`` and ``classification``: weighted scalars, averaged over sampled proposals, then images.
    """
    if box_encodings.shape[2] == 1:
        own = box_encodings[:, :, 0]  # [B, S, 4]
    else:
        # Background has no box of its own; it takes any, at weight 0.
        own = tf.gather(box_encodings, tf.maximum(sampled.classes - 1, 0), batch_dims=2)  # [B, S, 4]
    localization = smooth_l1(own, sampled.box_targets) * sampled.box_weights  # [B, S]
    classification = softmax_cross_entropy(class_logits, sampled.classes) * sampled.class_weights  # [B, S]
    count = tf.maximum(tf.reduce_sum(sampled.weights, axis=1), 1.0)  # [B]
    return {
        "localization": LOCALIZATION_WEIGHT * tf.reduce_mean(tf.reduce_sum(localization, axis=1) / count),
        "classification": CLASSIFICATION_WEIGHT * tf.reduce_mean(tf.reduce_sum(classification, axis=1) / count),
    }
