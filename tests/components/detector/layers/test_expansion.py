"""Expansion and its normalisation as one product, against the two Keras layers it stands for."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from components.detector.layers.expansion import ExpansionBatchNormalization, ExpansionConv2D


def _pair(
    channels: int, filters: int, height: int = 5, width: int = 4
) -> tuple[ExpansionConv2D, ExpansionBatchNormalization]:
    convolution, norm = ExpansionConv2D(filters), ExpansionBatchNormalization(momentum=0.9, epsilon=1e-3)
    norm(*convolution(tf.zeros((1, height, width, channels))))
    return convolution, norm


def _expected(
    inputs: tf.Tensor, kernel: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Convolution and batch normalisation from their definitions, the batch's mean and variance."""
    convolved = tf.nn.conv2d(inputs, kernel, 1, "SAME")
    mean, variance = tf.nn.moments(convolved, (0, 1, 2))
    return (convolved - mean) * tf.math.rsqrt(variance + 1e-3) * gamma + beta, mean, variance


@given(seed=st.integers(0, 10_000), channels=st.integers(1, 8), filters=st.integers(1, 12), shift=st.floats(-5, 5))
def test_training_gives_the_numbers_and_gradients_of_convolution_and_normalisation(
    seed: int, channels: int, filters: int, shift: float
) -> None:
    # Of up to 5 channels by the covariance, of more by the fused kernel.
    rng = np.random.default_rng(seed)
    convolution, norm = _pair(channels, filters)
    inputs = tf.constant(rng.normal(shift, 2.0, (3, 5, 4, channels)).astype(np.float32))
    upstream = tf.constant(rng.normal(size=(3, 5, 4, filters)).astype(np.float32))
    values = [rng.normal(size=v.shape).astype(np.float32) for v in (convolution.kernel, norm.gamma, norm.beta)]
    for variable, value in zip((convolution.kernel, norm.gamma, norm.beta), values, strict=True):
        variable.assign(value)

    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = norm(*convolution(inputs), training=True)
    sources = [inputs, convolution.kernel.value, norm.gamma.value, norm.beta.value]
    gradients = tape.gradient(outputs, sources, upstream)

    constants = [inputs, *map(tf.constant, values)]
    with tf.GradientTape() as tape:
        tape.watch(constants)
        expected, mean, variance = _expected(*constants)
    np.testing.assert_allclose(outputs, expected, atol=2e-3, rtol=1e-3)
    for found, wanted in zip(gradients, tape.gradient(expected, constants, upstream), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-2 * (1.0 + np.abs(wanted).max()))
    np.testing.assert_allclose(norm.moving_mean, 0.1 * mean, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(norm.moving_variance, 0.9 + 0.1 * variance * 60 / 59, rtol=1e-3)


@pytest.mark.parametrize("training", [False, True])
def test_moving_statistics_in_inference_and_when_frozen(training: bool) -> None:
    convolution, norm = _pair(3, 6)
    norm.trainable = not training
    for number, variable in enumerate(norm.variables):
        variable.assign(tf.random.stateless_uniform(variable.shape, (number, 7), 0.5, 2.0))
    before = [variable.numpy() for variable in norm.variables]
    inputs = tf.random.stateless_normal((2, 5, 4, 3), (1, 2))
    convolved = tf.nn.conv2d(inputs, convolution.kernel, 1, "SAME")
    scale = norm.gamma / np.sqrt(norm.moving_variance + 1e-3)
    expected = (convolved - norm.moving_mean) * scale + norm.beta
    np.testing.assert_allclose(norm(*convolution(inputs), training=training), expected, atol=1e-5)
    for variable, value in zip(norm.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_variables_are_those_of_the_keras_layers_and_a_model_of_it_is_saved(tmp_path) -> None:
    images = keras.Input((8, 8, 3))
    convolution = ExpansionConv2D(6, kernel_regularizer=keras.regularizers.L2(0.1), name="wide")
    model = keras.Model(images, ExpansionBatchNormalization(name="wide_bn")(*convolution(images)))
    assert [v.name for v in model.variables] == ["kernel", "gamma", "beta", "moving_mean", "moving_variance"]
    assert len(model.losses) == 1
    model.save(tmp_path / "model.keras")
    inputs = tf.random.stateless_normal((2, 8, 8, 3), (1, 2))
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(inputs), model(inputs))
