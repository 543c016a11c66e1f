"""Which prediction of a set learns which object: one each, at the least cost (Carion et al. 2020, section 3.1).

The costs are D-FINE's (Peng et al. 2024, "D-FINE: Redefine Regression Task of DETRs as Fine-grained Distribution
Refinement", and its published configuration, which has them from RT-DETR).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import scipy.optimize
import tensorflow as tf
from numpy.typing import NDArray

from components.detector.targets import boxes as box_ops

_CLASS_COST: Final = 2.0
_BOX_COST: Final = 5.0
_GIOU_COST: Final = 2.0
_ALPHA: Final = 0.25
_GAMMA: Final = 2.0
_EPSILON: Final = 1e-8
_WORST: Final = 1e6
"""In place of a cost that is no number; the loss will be none, either, which the training tells of."""


def matching_costs(
    logits: tf.Tensor, boxes_cxcywh: tf.Tensor, classes: tf.Tensor, truth_boxes_cxcywh: tf.Tensor
) -> tf.Tensor:
    """What it costs that a prediction learns an object: focal loss, L1 distance and generalised overlap.

    Args:
      logits: float32 [B, S, Q, C] of S sets of predictions.
      boxes_cxcywh: float32 [B, S, Q, 4], in 0..1 of the canvas.
      classes: int32 [B, M], 0-based; what is below 0 costs as 0 does.
      truth_boxes_cxcywh: float32 [B, M, 4].

    Returns:
      float32 [B, S, Q, M], without a gradient.
    """
    probabilities = tf.sigmoid(logits)  # [B, S, Q, C]
    as_object = _ALPHA * (1.0 - probabilities) ** _GAMMA * -tf.math.log(probabilities + _EPSILON)
    as_background = (1.0 - _ALPHA) * probabilities**_GAMMA * -tf.math.log(1.0 - probabilities + _EPSILON)
    of_classes = tf.gather(
        tf.transpose(as_object - as_background, (0, 3, 1, 2)), tf.maximum(classes, 0), batch_dims=1
    )  # [B, M, S, Q]
    ours = boxes_cxcywh[..., tf.newaxis, :]  # [B, S, Q, 1, 4]
    theirs = truth_boxes_cxcywh[:, tf.newaxis, tf.newaxis]  # [B, 1, 1, M, 4]
    of_boxes = tf.reduce_sum(tf.abs(ours - theirs), axis=-1)  # [B, S, Q, M]
    _, giou = box_ops.ious(box_ops.cxcywh_to_yxyx(ours), box_ops.cxcywh_to_yxyx(theirs))  # [B, S, Q, M]
    return tf.stop_gradient(
        _CLASS_COST * tf.transpose(of_classes, (0, 2, 3, 1)) + _BOX_COST * of_boxes - _GIOU_COST * giou
    )


def assign_objects(costs: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """The cheapest assignment of each set of each image, by the Hungarian algorithm; on the CPU, outside the graph.

    Args:
      costs: float32 [B, S, Q, M].
      weights: float32 [B, M]: objects of weight 0 are nobody's.

    Returns:
      int32 [B, S, Q]: the object that a prediction learns, or -1. Each object is learnt once in each set, while there
      are predictions left.
    """
    assigned = tf.numpy_function(_assign, [costs, weights], tf.int32, stateful=False)
    return tf.ensure_shape(assigned, costs.shape[:3])


def _assign(costs: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.int32]:
    assigned = np.full(costs.shape[:3], -1, np.int32)  # [B, S, Q]
    finite = np.nan_to_num(costs, nan=_WORST, posinf=_WORST, neginf=-_WORST)
    for image, of_image in enumerate(weights):
        objects = np.flatnonzero(of_image > 0.0)
        for number, of_set in enumerate(finite[image]):
            rows, columns = scipy.optimize.linear_sum_assignment(of_set[:, objects])
            assigned[image, number, rows] = objects[columns]
    return assigned


def agreed_assignment(assigned: tf.Tensor, num_objects: Any) -> tf.Tensor:
    """What most of the sets assign to a prediction (D-FINE, section 4.2: the union of all layers' matches).

    Boxes of every layer learn by it, so that what a later layer finds is a goal for those before.

    Args:
      assigned: int32 [B, S, Q] of ``assign_objects``.
      num_objects: M, at least 1.

    Returns:
      int32 [B, Q]: of equally many the first object; -1 where no set assigns any.
    """
    votes = tf.reduce_sum(tf.one_hot(assigned, num_objects, dtype=tf.int32), axis=1)  # [B, Q, M]
    best = tf.argmax(votes, axis=-1, output_type=tf.int32)  # [B, Q]
    return tf.where(tf.reduce_max(votes, axis=-1) > 0, best, -1)
