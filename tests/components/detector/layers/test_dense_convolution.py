"""The convolution with fast gradients against Keras' own."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.detector.layers.dense_convolution import DenseConv2D


@pytest.mark.parametrize(
    ("kernel", "strides", "use_bias"),
    [(1, 1, False), (1, 2, True), (3, 1, False), ((1, 7), 1, False), (5, 1, True), (3, 2, False), (2, 1, True)],
)
def test_values_and_gradients_are_those_of_keras(kernel, strides, use_bias):
    inputs = tf.constant(np.random.default_rng(0).normal(size=(5, 7, 6, 4)).astype(np.float32))
    ours = DenseConv2D(3, kernel, strides=strides, padding="same", use_bias=use_bias)
    theirs = keras.layers.Conv2D(3, kernel, strides=strides, padding="same", use_bias=use_bias)
    ours.build(inputs.shape)
    theirs.build(inputs.shape)
    theirs.set_weights(ours.get_weights())
    results = []
    for layer in (ours, theirs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
            loss = tf.reduce_sum(tf.sin(outputs))
        results.append((outputs, *tape.gradient(loss, [inputs, *(v.value for v in layer.trainable_variables)])))
    for mine, reference in zip(*results, strict=True):
        np.testing.assert_allclose(mine, reference, atol=1e-5, rtol=1e-5)


def test_a_batch_of_unknown_size_keeps_the_spatial_shape():
    images = keras.Input((7, 7, 4))
    assert DenseConv2D(8, 1, strides=2, padding="same")(images).shape == (None, 4, 4, 8)
