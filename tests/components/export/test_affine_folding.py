"""Factors and offsets per channel end in the kernels in front of them, wherever that changes no number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.framework import graph_pb2

from components.export.affine_folding import BATCH_NORMALIZATIONS, fold_affine

_RANDOM = np.random.default_rng(0)
_IMAGES = _RANDOM.normal(size=(2, 5, 4, 3)).astype(np.float32)
Layer = Callable[[tf.Tensor], tf.Tensor]


def _vector(channels: int, low: float = 0.5) -> tf.Tensor:
    return tf.constant(_RANDOM.uniform(low, 2.0, channels), tf.float32)


def _normalized(x: tf.Tensor, is_training: bool = False) -> tf.Tensor:
    channels = x.shape[-1]
    gamma, beta, mean, variance = (_vector(channels, low) for low in (-1.0, -1.0, -1.0, 0.1))
    if is_training:
        mean = variance = tf.constant([], tf.float32)
    return tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=mean, variance=variance, is_training=is_training
    ).y


def _convolved(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.conv2d(x, tf.constant(_RANDOM.normal(size=(3, 3, x.shape[-1], 6)), tf.float32), 1, "SAME")


def _depthwise(x: tf.Tensor) -> tf.Tensor:
    kernel = tf.constant(_RANDOM.normal(size=(3, 3, x.shape[-1], 2)), tf.float32)
    return tf.nn.depthwise_conv2d(x, kernel, (1, 1, 1, 1), "SAME")


def _gated_product(x: tf.Tensor) -> tf.Tensor:
    kernel = tf.constant(_RANDOM.normal(size=(x.shape[-1], 6)), tf.float32)
    gate = tf.sigmoid(tf.reduce_mean(x, (1, 2)))[..., tf.newaxis]  # [B, C, 1]
    product = tf.matmul(tf.reshape(x, (-1, 20, x.shape[-1])), gate * kernel)
    return tf.reshape(product, (-1, 5, 4, 6))


def _shared_by_levels(x: tf.Tensor) -> tf.Tensor:
    kernel = tf.constant(_RANDOM.normal(size=(3, 3, 3, 6)), tf.float32)
    return tf.add_n([_normalized(tf.nn.conv2d(level, kernel, 1, "SAME")) for level in (x, 2.0 * x)])


def _as_keras_normalizes(x: tf.Tensor) -> tf.Tensor:
    return x * tf.constant(_RANDOM.uniform(0.5, 2.0, (1, 1, 1, 6)), tf.float32) + _vector(6, -1.0)


def _traced(layer: Layer) -> tuple[graph_pb2.GraphDef, str, str]:
    """A graph with constants, and the names of its input and of its output node."""
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, (None, *_IMAGES.shape[1:]))
        output = layer(images)
    return graph.as_graph_def(), images.op.name, output.op.name


def _run(graph: graph_pb2.GraphDef, start: str, end: str) -> np.ndarray:
    def run(images: tf.Tensor) -> tf.Tensor:
        return tf.graph_util.import_graph_def(graph, input_map={start: images}, return_elements=[f"{end}:0"])[0]

    return tf.function(run, autograph=False)(tf.constant(_IMAGES)).numpy()


def _reached(graph: graph_pb2.GraphDef, end: str) -> Counter[str]:
    return Counter(node.op for node in tf.compat.v1.graph_util.extract_sub_graph(graph, [end]).node)


@pytest.mark.parametrize(
    ("layer", "folded", "multiplications"),
    [
        (lambda x: _normalized(_convolved(x)), 1, 0),
        (lambda x: _normalized(tf.identity(tf.nn.bias_add(_convolved(x), _vector(6)))), 1, 0),
        (lambda x: _normalized(_depthwise(x)), 1, 0),
        (lambda x: _normalized(tf.reshape(_depthwise(_convolved(x)), (-1, 20, 1, 12))), 1, 0),
        (lambda x: _normalized(_depthwise(tf.nn.relu6(_normalized(_convolved(x))))), 2, 0),
        (lambda x: _normalized(_gated_product(x)), 1, 1),
        (_shared_by_levels, 2, 1),
        (lambda x: _as_keras_normalizes(_convolved(x)), 1, 0),
        (lambda x: _convolved(x) - _vector(6), 1, 0),
    ],
    ids=["convolution", "bias", "depthwise", "reshape", "two", "gates", "shared", "keras", "difference"],
)  # fmt: skip
def test_the_same_numbers_without_what_is_folded(layer: Layer, folded: int, multiplications: int) -> None:
    graph, start, end = _traced(layer)
    expected = _run(graph, start, end)
    assert fold_affine(graph, [end]) == folded
    np.testing.assert_allclose(_run(graph, start, end), expected, atol=2e-5)
    reached = _reached(graph, end)
    assert not reached.keys() & (BATCH_NORMALIZATIONS | {"Sub"})
    assert reached["BiasAdd"] == folded
    assert reached["Mul"] == multiplications
    # There is nothing left to do.
    assert fold_affine(tf.compat.v1.graph_util.extract_sub_graph(graph, [end]), [end]) == 0


@pytest.mark.parametrize(
    "layer",
    [
        lambda x: _normalized(_convolved(x), is_training=True),
        lambda x: _normalized(tf.nn.relu(_convolved(x))),
        lambda x: (lambda y: _normalized(y) + y)(_convolved(x)),
        lambda x: tf.constant(1.0) - _convolved(x),
        lambda x: tf.reshape(_convolved(x), (-1, 4, 30)) * _vector(30),
        lambda x: _convolved(x) * 2.0,
        lambda x: tf.nn.bias_add(_convolved(x), _vector(6)),
    ],
    ids=["training", "not linear", "read twice", "subtracted from", "other channels", "scalar", "a bias already"],
)  # fmt: skip
def test_what_cannot_be_folded_stays(layer: Layer) -> None:
    graph, _, end = _traced(layer)
    before = graph.SerializeToString(deterministic=True)
    assert fold_affine(graph, [end]) == 0
    assert graph.SerializeToString(deterministic=True) == before


def test_what_is_read_from_outside_stays() -> None:
    names = []

    def layer(x: tf.Tensor) -> tf.Tensor:
        convolved = _convolved(x)
        names.append(convolved.op.name)
        return _normalized(convolved)

    graph, _, end = _traced(layer)
    assert fold_affine(graph, [end, names[0]]) == 0


_STEPS = {
    "factor": lambda y, vector: vector * y,
    "offset": lambda y, vector: tf.add(vector, y),
    "difference": lambda y, vector: y - vector,
    "bias": tf.nn.bias_add,
    "normalization": lambda y, vector: _normalized(y),
    "identity": lambda y, vector: tf.identity(y),
}


@given(st.lists(st.sampled_from(sorted(_STEPS)), min_size=1, max_size=6), st.sampled_from([_convolved, _depthwise]))
def test_any_run_of_factors_and_offsets(steps: list[str], linear: Layer) -> None:
    def layer(x: tf.Tensor) -> tf.Tensor:
        y = linear(x)
        vector = _vector(y.shape[-1])
        for step in steps:
            y = _STEPS[step](y, vector)
        return tf.nn.relu(y)

    graph, start, end = _traced(layer)
    expected = _run(graph, start, end)
    fold_affine(graph, [end])
    np.testing.assert_allclose(_run(graph, start, end), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    assert sum(_reached(graph, end)[op] for op in ("Mul", "AddV2", "Sub", "BiasAdd", "FusedBatchNormV3")) <= 1
