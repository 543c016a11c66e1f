"""The stand-in for Keras' Adam learns as that does."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tests.fused_adam import FusedAdam


def test_it_takes_the_steps_of_keras() -> None:
    random = np.random.default_rng(0)
    start = random.normal(size=(2, 3)).astype(np.float32)
    ours, theirs = keras.Variable(start), keras.Variable(start)
    fused, reference = FusedAdam([ours], 0.01), keras.optimizers.Adam(0.01)
    reference.build([theirs])
    step = tf.function(lambda gradient: fused.apply([gradient]), autograph=False)
    for _ in range(5):
        gradient = tf.constant(random.normal(size=(2, 3)), tf.float32)
        step(gradient)
        reference.apply_gradients([(gradient, theirs)])
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5)
    assert np.abs(ours.numpy() - start).min() > 1e-4
