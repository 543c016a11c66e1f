from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.detector.layers.batch_norm import FusedBatchNormalization


def test_same_numbers_as_keras_and_unbiased_moving_variance() -> None:
    inputs = tf.random.stateless_normal((4, 3, 3, 2), (1, 2)) * 3.0 + 1.0
    fused, plain = (
        layer(momentum=0.9, epsilon=1e-3) for layer in (FusedBatchNormalization, keras.layers.BatchNormalization)
    )
    np.testing.assert_allclose(fused(inputs, training=True), plain(inputs, training=True), atol=1e-5)
    np.testing.assert_allclose(fused.moving_mean, plain.moving_mean, atol=1e-6)
    count = 4 * 3 * 3
    variance = np.var(np.asarray(inputs), axis=(0, 1, 2)) * count / (count - 1)
    np.testing.assert_allclose(fused.moving_variance, 0.9 + 0.1 * variance, rtol=1e-5)
    plain.set_weights(fused.get_weights())
    np.testing.assert_allclose(fused(inputs), plain(inputs), atol=1e-5)
    assert [v.name for v in fused.variables] == [v.name for v in plain.variables]


def test_a_frozen_layer_uses_and_keeps_its_statistics() -> None:
    layer = FusedBatchNormalization(momentum=0.5)
    layer.build((None, 2, 2, 1))
    layer.trainable = False
    inputs = tf.fill((1, 2, 2, 1), 5.0)
    np.testing.assert_allclose(layer(inputs, training=True), inputs / np.sqrt(1.0 + layer.epsilon), rtol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean, [0.0])


def test_refuses_what_the_kernel_cannot_do() -> None:
    with pytest.raises(ValueError, match="fused kernel"):
        FusedBatchNormalization()(tf.zeros((2, 3)))
