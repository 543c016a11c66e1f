"""The values pass, the gradient is multiplied: by sign and by size."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.trainer.strategies.adaptation.gradient_scaling import scale_gradient


@pytest.mark.parametrize("factor", [-1.0, -0.25, 0.0, 0.5, 2.0])
def test_the_gradient_is_multiplied(factor: float) -> None:
    x = tf.Variable([[1.0, -2.0], [3.0, 0.5]])
    with tf.GradientTape() as tape:
        y = scale_gradient(x, tf.constant(factor))
        total = tf.reduce_sum(y * y * y)
    np.testing.assert_array_equal(y.numpy(), x.numpy())
    np.testing.assert_allclose(tape.gradient(total, x).numpy(), factor * 3.0 * x.numpy() ** 2)


def test_in_a_graph_with_a_factor_that_changes() -> None:
    x = tf.Variable([2.0])

    @tf.function(autograph=False)
    def gradient(factor: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(tf.square(scale_gradient(tf.identity(x), -factor)))
        return tape.gradient(total, x)

    assert [float(gradient(tf.constant(weight))[0]) for weight in (0.0, 0.1, 1.0)] == pytest.approx([0.0, -0.4, -4.0])
