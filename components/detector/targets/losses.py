"""Classification and box losses of the zoo's detectors, per anchor and not yet reduced.

Callers weigh, sum and normalise: every published configuration divides the sums by the number of matched anchors.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def sigmoid_focal(logits: tf.Tensor, targets: tf.Tensor, *, alpha: float, gamma: float) -> tf.Tensor:
    """Sigmoid focal loss (Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 5).

    Computed with its closed-form gradient: the automatic one keeps about ten arrays as large as the logits.

    Args:
      logits: float32 [..., C].
      targets: float32 [..., C], 0 or 1 (soft targets are allowed); treated as constant.
      alpha: weight of positives; negatives weigh ``1 - alpha``.
      gamma: exponent of the modulating factor.

    Returns:
      float32 [..., C].
    """

    @tf.custom_gradient
    def loss_of(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        probabilities = tf.sigmoid(x)  # [..., C]
        # 1 - p_t for hard and soft targets alike: |t - p| for t in {0, 1}, and t(1-p) + (1-t)p in general.
        miss = targets + probabilities - 2.0 * targets * probabilities  # [..., C]
        weight = (1.0 - alpha) + (2.0 * alpha - 1.0) * targets  # [..., C]
        cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=x)  # [..., C]
        modulated = weight * _power(miss, gamma)  # [..., C]

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            # d miss / dx = (1 - 2t) p (1 - p);  d ce / dx = p - t.
            slope = (1.0 - 2.0 * targets) * probabilities * (1.0 - probabilities)
            of_miss = gamma * weight * _power(miss, gamma - 1.0) * slope * cross_entropy if gamma else 0.0
            return upstream * (modulated * (probabilities - targets) + of_miss)

        return modulated * cross_entropy, gradient

    return loss_of(logits)


def _power(base: tf.Tensor, exponent: float) -> tf.Tensor:
    """``base ** exponent`` without the costly ``pow`` for the exponents that the configurations use."""
    if exponent == 0.0:
        return tf.ones_like(base)
    if exponent == 1.0:
        return base
    if exponent == 2.0:
        return tf.square(base)
    return tf.pow(base, exponent)


def softmax_cross_entropy(logits: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """float32 [..., C] logits and int32 [...] class indices -> float32 [...]."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=classes, logits=logits)


def smooth_l1(predictions: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Smooth L1 loss summed over the last dimension (Fast R-CNN, equation 3).

    ``0.5 x**2`` for ``|x| <= 1``, else ``|x| - 0.5``.

    Args:
      predictions: float32 [..., K].
      targets: float32 [..., K].

    Returns:
      float32 [...].
    """
    error = tf.abs(predictions - targets)  # [..., K]
    quadratic = tf.minimum(error, 1.0)  # [..., K]
    return tf.reduce_sum(0.5 * tf.square(quadratic) + (error - quadratic), axis=-1)  # [...]
