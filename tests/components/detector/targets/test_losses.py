from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.detector.targets import losses


def focal_by_definition(logits: tf.Tensor, targets: tf.Tensor, alpha: float, gamma: float) -> tf.Tensor:
    """Equation 5 of the paper, differentiated automatically."""
    p = tf.sigmoid(logits)
    p_t = targets * p + (1 - targets) * (1 - p)
    alpha_t = targets * alpha + (1 - targets) * (1 - alpha)
    return alpha_t * (1 - p_t) ** gamma * tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.75, 2.0), (0.25, 1.5), (0.5, 1.0), (0.5, 0.0)])
def test_focal_loss_and_its_gradient(alpha: float, gamma: float) -> None:
    rng = np.random.default_rng(0)
    logits = tf.constant(rng.normal(0, 3, (6, 5)).astype(np.float32))
    targets = tf.constant((rng.uniform(size=(6, 5)) > 0.6).astype(np.float32))
    upstream = tf.constant(rng.uniform(size=(6, 5)).astype(np.float32))
    results = []
    for loss in (losses.sigmoid_focal, lambda x, t, alpha, gamma: focal_by_definition(x, t, alpha, gamma)):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(logits, targets, alpha=alpha, gamma=gamma)
        results.append((value, tape.gradient(value, logits, upstream)))
    np.testing.assert_allclose(results[0][0], results[1][0], atol=1e-5)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-5)


def test_smooth_l1_is_huber() -> None:
    errors = np.linspace(-3, 3, 25, dtype=np.float32)[:, None]
    expected = np.where(np.abs(errors) <= 1, 0.5 * errors**2, np.abs(errors) - 0.5)[:, 0]
    np.testing.assert_allclose(losses.smooth_l1(errors, np.zeros_like(errors)), expected, atol=1e-6)
