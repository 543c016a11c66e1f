"""D-FINE's losses (Peng et al. 2024): scores that say how good a box is, boxes, and where their sides are distributed.

Weights, exponents and normalisers are those of the published configuration (``dfine_hgnetv2_*_coco``). Whatever a batch
has (no object, no image, boxes without area), every loss and every gradient is finite.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import tensorflow as tf

from components.detector.structures import GroundTruth
from components.detector.targets import boxes as box_ops

_SCORE_WEIGHT: Final = 1.0
_L1_WEIGHT: Final = 5.0
_GIOU_WEIGHT: Final = 2.0
_FINE_GRAINED_WEIGHT: Final = 0.15
_DISTILLATION_WEIGHT: Final = 1.5
_ALPHA: Final = 0.75
_GAMMA: Final = 2.0
_TEMPERATURE: Final = 5.0
_TINY: Final = 1e-16


class SetPredictions(NamedTuple):
    """What several layers predict for the same queries.

    Attributes:
      logits: float32 [B, S, Q, C] of S layers.
      boxes_cxcywh: float32 [B, S, Q, 4], in 0..1 of the canvas.
      corners: float32 [B, L, Q, 4, K]: logits of where the left, top, right and bottom side lie, of the L layers behind
        the first of S.
      references_cxcywh: float32 [B, Q, 4]: what these distances are from; without a gradient.
    """

    logits: tf.Tensor
    boxes_cxcywh: tf.Tensor
    corners: tf.Tensor
    references_cxcywh: tf.Tensor


class Assignment(NamedTuple):
    """Which query learns which object (row of the ground truth), -1 for none.

    Attributes:
      for_scores: int32 [B, S, Q].
      for_boxes: int32 [B, Q].
      score_weights: float32 [B, S, Q]: 0 where not even background is to be learnt.
    """

    for_scores: tf.Tensor
    for_boxes: tf.Tensor
    score_weights: tf.Tensor


def set_losses(
    predicted: SetPredictions,
    truth: GroundTruth,
    assignment: Assignment,
    object_weights: tf.Tensor,
    distances: tf.Tensor,
    reg_scale: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """All losses of one group of queries, weighted, summed over layers, divided by the number of objects.

    Args:
      predicted: of the layers.
      truth: in the canvas frame, with at least one row.
      assignment: of the queries.
      object_weights: float32 [B, M]: how much objects count for scores, by their class.
      distances: float32 [K]: the distance that each place of a distribution stands for, rising.
      reg_scale: float32 []: these are in sizes of the reference, divided by it.

    Returns:
      Scalars ``classification``, ``localization``, ``fine_grained`` and ``self_distillation``.
    """
    boxes_yxyx = box_ops.cxcywh_to_yxyx(predicted.boxes_cxcywh)  # [B, S, Q, 4]
    is_scored, scored = _of_objects(truth.boxes_yxyx_normalized, assignment.for_scores)  # [B, S, Q], [B, S, Q, 4]
    quality = tf.where(is_scored, tf.stop_gradient(box_ops.ious(boxes_yxyx, scored)[0]), 0.0)  # [B, S, Q]
    _, classes = _of_objects(truth.classes, assignment.for_scores)  # [B, S, Q]
    _, counted = _of_objects(object_weights, assignment.for_scores)  # [B, S, Q]
    by_query = varifocal(predicted.logits, tf.where(is_scored, classes, -1), quality)  # [B, S, Q]
    row_weights = assignment.score_weights * tf.where(is_scored, counted, 1.0)  # [B, S, Q]
    # As many objects as one layer learns.
    of_scores = tf.reduce_sum(by_query * row_weights) / _count(is_scored[:, -1:])

    is_boxed, goals = _of_objects(truth.boxes_yxyx_normalized, assignment.for_boxes)  # [B, Q], [B, Q, 4]
    boxed = tf.cast(is_boxed, tf.float32)  # [B, Q]
    num_boxed = _count(is_boxed)
    overlap, giou = box_ops.ious(boxes_yxyx, goals[:, tf.newaxis])  # [B, S, Q]
    distance = tf.abs(predicted.boxes_cxcywh - box_ops.yxyx_to_cxcywh(goals)[:, tf.newaxis])  # [B, S, Q, 4]
    of_boxes = _L1_WEIGHT * tf.reduce_sum(distance, axis=-1) + _GIOU_WEIGHT * (1.0 - giou)  # [B, S, Q]

    num_layers = predicted.corners.shape[1]
    overlap = tf.stop_gradient(overlap[:, 1 : 1 + num_layers])  # [B, L, Q]
    of_corners = fine_grained_localization(
        predicted.corners, predicted.references_cxcywh, goals, distances, reg_scale
    )  # [B, L, Q, 4]
    of_corners *= (overlap * boxed[:, tf.newaxis])[..., tf.newaxis]
    return {
        "classification": _SCORE_WEIGHT * of_scores,
        "localization": tf.reduce_sum(of_boxes * boxed[:, tf.newaxis]) / num_boxed,
        "fine_grained": _FINE_GRAINED_WEIGHT * tf.reduce_sum(of_corners) / num_boxed,
        "self_distillation": _DISTILLATION_WEIGHT
        * decoupled_distillation(
            predicted.corners,
            predicted.logits[:, num_layers],
            overlap[:, :-1],
            is_boxed,
            assignment.score_weights[:, 0],
        ),
    }


def _of_objects(values: tf.Tensor, assigned: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Whether there is an object, bool [B, ...], and what it has of [B, M, ...]; of row 0 where there is none."""
    return assigned >= 0, tf.gather(values, tf.maximum(assigned, 0), batch_dims=1)


def _count(mask: tf.Tensor) -> tf.Tensor:
    """float32 []: how many are true, at least 1."""
    return tf.maximum(tf.reduce_sum(tf.cast(mask, tf.float32)), 1.0)


def varifocal(logits: tf.Tensor, classes: tf.Tensor, quality: tf.Tensor) -> tf.Tensor:
    """Varifocal loss (Zhang et al. 2021, equation 2, with D-FINE's factor for background).

    Args:
      logits: float32 [..., C].
      classes: int32 [...], 0-based; -1 for background.
      quality: float32 [...]: the score that an object is to have, the overlap of its box.

    Returns:
      float32 [...], summed over classes.
    """
    of_class = tf.one_hot(classes, logits.shape[-1])  # [..., C]
    targets = of_class * quality[..., tf.newaxis]  # [..., C]
    background = _ALPHA * tf.stop_gradient(tf.sigmoid(logits)) ** _GAMMA * (1.0 - of_class)  # [..., C]
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits)  # [..., C]
    return tf.reduce_sum(losses * (background + targets), axis=-1)  # [...]


def fine_grained_localization(
    corners: tf.Tensor,
    references_cxcywh: tf.Tensor,
    goals_yxyx: tf.Tensor,
    distances: tf.Tensor,
    reg_scale: tf.Tensor,
) -> tf.Tensor:
    """How far distributions are from the two places around where a side is (D-FINE, equation 6, without the overlap).

    Args:
      corners: float32 [B, L, Q, 4, K], logits.
      references_cxcywh: float32 [B, Q, 4].
      goals_yxyx: float32 [B, Q, 4]: the boxes to learn.
      distances: float32 [K], rising.
      reg_scale: float32 [].

    Returns:
      float32 [B, L, Q, 4].
    """
    cx, cy, width, height = tf.unstack(references_cxcywh, axis=-1)  # each [B, Q]
    ymin, xmin, ymax, xmax = tf.unstack(goals_yxyx, axis=-1)  # each [B, Q]
    from_center = tf.stack([cx - xmin, cy - ymin, xmax - cx, ymax - cy], axis=-1)  # [B, Q, 4]
    sizes = tf.stack([width, height, width, height], axis=-1) / reg_scale + _TINY  # [B, Q, 4]
    sought = from_center / sizes - reg_scale / 2.0  # [B, Q, 4], from the reference's side outwards
    num_places = corners.shape[-1]
    left = tf.searchsorted(distances, tf.reshape(sought, (-1,)), side="right") - 1  # [B * Q * 4]
    left = tf.reshape(tf.clip_by_value(left, 0, num_places - 2), tf.shape(sought))  # [B, Q, 4]
    low, high = tf.gather(distances, left), tf.gather(distances, left + 1)  # [B, Q, 4]
    right_share = tf.clip_by_value((sought - low) / (high - low), 0.0, 1.0)  # [B, Q, 4]
    goal = (
        tf.one_hot(left, num_places) * (1.0 - right_share)[..., tf.newaxis]
        + tf.one_hot(left + 1, num_places) * right_share[..., tf.newaxis]
    )  # [B, Q, 4, K]
    return -tf.reduce_sum(tf.stop_gradient(goal)[:, tf.newaxis] * tf.nn.log_softmax(corners), axis=-1)


def decoupled_distillation(
    corners: tf.Tensor, last_logits: tf.Tensor, overlap: tf.Tensor, is_boxed: tf.Tensor, is_real: tf.Tensor
) -> tf.Tensor:
    """What the layers before the last owe to its distributions (D-FINE, equation 7), summed over them.

    Queries with an object count by the overlap of their boxes, the others by the last layer's score; the means of both
    kinds count by the square roots of their numbers.

    Args:
      corners: float32 [B, L, Q, 4, K], logits.
      last_logits: float32 [B, Q, C], of the last layer.
      overlap: float32 [B, L - 1, Q], of the others' boxes with their objects.
      is_boxed: bool [B, Q]: which have an object.
      is_real: float32 [B, Q]: 0 for padding.

    Returns:
      float32 [].
    """
    taught = tf.nn.softmax(tf.stop_gradient(corners[:, -1:]) / _TEMPERATURE)  # [B, 1, Q, 4, K]
    ours = tf.nn.log_softmax(corners[:, :-1] / _TEMPERATURE)  # [B, L - 1, Q, 4, K]
    divergence = tf.reduce_sum(taught * (tf.math.log(taught + _TINY) - ours), axis=-1)  # [B, L - 1, Q, 4]
    score = tf.stop_gradient(tf.sigmoid(tf.reduce_max(last_logits, axis=-1)))  # [B, Q]
    with_object = tf.cast(is_boxed, tf.float32)[:, tf.newaxis]  # [B, 1, Q]
    without = is_real[:, tf.newaxis] * (1.0 - with_object)  # [B, 1, Q]
    weighted = _TEMPERATURE**2 * tf.reduce_mean(divergence, axis=-1)  # [B, L - 1, Q]
    mean_with = tf.reduce_sum(weighted * overlap * with_object) / _count(is_boxed)
    mean_without = tf.reduce_sum(weighted * score[:, tf.newaxis] * without) / tf.maximum(tf.reduce_sum(without), 1.0)
    roots = tf.sqrt(tf.stack([tf.reduce_sum(with_object), tf.reduce_sum(without)]))  # [2]
    shares = tf.math.divide_no_nan(roots, tf.reduce_sum(roots))  # [2]
    return mean_with * shares[0] + mean_without * shares[1]
