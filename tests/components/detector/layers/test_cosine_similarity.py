"""Scores by cosines against the formula in numpy."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.detector.layers.cosine_similarity import CosineConv2D, CosineDense, CosineSeparableConv2D

SCALE = 7.0
BIAS = np.float32([0.5, -1.0, 2.0])
LAYERS = {
    "dense": (lambda: CosineDense(3, scale=SCALE, name="ours"), lambda: keras.layers.Dense(3), (4, 6)),
    "conv": (lambda: CosineConv2D(3, scale=SCALE, name="ours"), lambda: keras.layers.Conv2D(3, 1), (2, 3, 5, 6)),
    "separable": (
        lambda: CosineSeparableConv2D(3, 3, scale=SCALE, padding="same", name="ours"),
        lambda: keras.layers.SeparableConv2D(3, 3, padding="same"),
        (2, 3, 5, 6),
    ),
}


def by_definition(vectors: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """``scale * cos(x, w) + bias``, in float64: [..., C] and [C, K] -> [..., K]."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True) * np.linalg.norm(columns, axis=0)
    return SCALE * (vectors @ columns) / lengths + BIAS


@pytest.fixture(params=LAYERS)
def case(request: pytest.FixtureRequest) -> Any:
    ours, theirs, shape = LAYERS[request.param]
    layer, keras_layer = ours(), theirs()
    for one in (layer, keras_layer):
        one.build(shape)
    layer.bias.assign(BIAS)
    inputs = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return layer, keras_layer, inputs


def test_logits_are_the_formula_s(case: Any) -> None:
    layer, _, inputs = case
    kernel = getattr(layer, "pointwise_kernel", None)
    read, columns = inputs, np.asarray(layer.kernel if kernel is None else kernel)
    if kernel is not None:
        read = tf.nn.depthwise_conv2d(inputs, layer.depthwise_kernel.value, (1, 1, 1, 1), "SAME").numpy()
    expected = by_definition(read.astype(np.float64), columns.reshape(-1, 3).astype(np.float64))
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-4)


def test_variables_are_those_of_the_keras_layer(case: Any) -> None:
    ours, theirs, inputs = case
    assert [(w.name, tuple(w.shape)) for w in ours.weights] == [(w.name, tuple(w.shape)) for w in theirs.weights]
    again = type(ours).from_config(ours.get_config())
    again.build(inputs.shape)
    again.set_weights(ours.get_weights())
    np.testing.assert_array_equal(again(inputs), ours(inputs))


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-2, 1e3), st.floats(1e-2, 1e3))
def test_lengths_do_not_count(of_inputs: float, of_kernel: float) -> None:
    layer = CosineDense(3, scale=SCALE)
    layer.build((4, 6))
    inputs = np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32)
    before = layer(inputs).numpy()
    layer.kernel.assign(layer.kernel * of_kernel)
    np.testing.assert_allclose(layer(of_inputs * inputs), before, rtol=1e-4, atol=1e-4)


def test_zeros_have_no_direction() -> None:
    layer = CosineDense(3, scale=SCALE)
    layer.build((1, 6))
    inputs = tf.zeros((1, 6))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        logits = layer(inputs)
    np.testing.assert_array_equal(logits, [[0.0, 0.0, 0.0]])
    assert np.isfinite(tape.gradient(logits, inputs)).all()
