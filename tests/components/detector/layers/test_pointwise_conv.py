"""1 x 1 convolution as a matrix product, against the convolution of the gated input."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.detector.layers.other_runtimes import for_other_runtimes
from components.detector.layers.pointwise_conv import PointwiseConv2D

RNG = np.random.default_rng(0)
INPUTS = tf.constant(RNG.normal(size=(2, 3, 5, 4)).astype(np.float32))
GATE = tf.constant(RNG.uniform(size=(2, 1, 1, 4)).astype(np.float32))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("gated", [False, True])
def test_values_and_gradients_are_those_of_the_convolution(training: bool, gated: bool) -> None:
    layer = PointwiseConv2D(6)
    layer.build(INPUTS.shape)
    results = []
    for ours in (True, False):
        with tf.GradientTape() as tape:
            tape.watch([INPUTS, GATE])
            if ours:
                outputs = layer(INPUTS, gate=GATE if gated else None, training=training)
            else:
                outputs = tf.nn.conv2d(INPUTS * GATE if gated else INPUTS, layer.kernel.value, 1, "SAME")
            loss = tf.reduce_sum(tf.sin(outputs))
        gradients = tape.gradient(loss, [INPUTS, layer.kernel.value, *([GATE] if gated else [])])
        results.append([outputs, *gradients])
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_other_runtimes_get_a_convolution_of_the_product() -> None:
    layer = PointwiseConv2D(6)
    layer.build(INPUTS.shape)
    with for_other_runtimes():
        traced = tf.function(lambda images, gate: layer(images, gate=gate)).get_concrete_function(INPUTS, GATE)
    kinds = [operation.type for operation in traced.graph.get_operations()]
    assert ("Conv2D" in kinds, "BatchMatMulV2" in kinds) == (True, False)
    np.testing.assert_allclose(traced(INPUTS, GATE), layer(INPUTS, gate=GATE), rtol=1e-5, atol=1e-5)


def test_variables_are_those_of_the_keras_layer() -> None:
    ours, theirs = PointwiseConv2D(6, name="a"), keras.layers.Conv2D(6, 1, use_bias=False, name="b")
    for layer in (ours, theirs):
        layer.build(INPUTS.shape)
    assert [(w.name, tuple(w.shape)) for w in ours.weights] == [(w.name, tuple(w.shape)) for w in theirs.weights]
    again = PointwiseConv2D.from_config(ours.get_config())
    assert (again.filters, again.kernel_size, again.use_bias) == (6, (1, 1), False)


@pytest.mark.parametrize("option", [{"strides": 2}, {"activation": "relu"}])
def test_refuses_what_it_would_not_compute(option: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="pointwise convolution has no"):
        PointwiseConv2D(6, **option)
