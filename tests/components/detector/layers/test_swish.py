"""Swish against TensorFlow's own."""

from __future__ import annotations

import hypothesis.extra.numpy as hnp
import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from components.detector.layers.swish import Swish, swish

ARRAYS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=1, max_dims=4, max_side=5),
    elements=st.floats(-40.0, 40.0, width=32, allow_subnormal=False),
)


@settings(max_examples=25, deadline=None)
@given(ARRAYS)
def test_value_and_gradient_are_silus(values: NDArray[np.float32]) -> None:
    x = tf.constant(values)
    upstream = tf.cos(x)
    results = []
    for function in (swish, tf.nn.silu):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        results.append((y.numpy(), tape.gradient(y, x, upstream).numpy()))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-5, atol=1e-5)


def test_inference_graph_leaves_the_derivative_out() -> None:
    traced = tf.function(Swish()).get_concrete_function(tf.TensorSpec((2, 3), tf.float32))
    reachable, pending = set(), [traced.structured_outputs.op]
    while pending:
        operation = pending.pop()
        if operation.name not in reachable:
            reachable.add(operation.name)
            pending += [tensor.op for tensor in operation.inputs]
    kinds = {traced.graph.get_operation_by_name(name).type for name in reachable}
    assert "Sigmoid" in kinds or "StatefulPartitionedCall" in kinds or "IdentityN" in kinds
    assert traced(tf.zeros((2, 3))).numpy().tolist() == [[0.0] * 3] * 2
