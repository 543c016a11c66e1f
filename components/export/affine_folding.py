"""Batch normalisation folded into the convolutions in front of it, in a graph whose weights are constants.

Behind training a batch normalisation is a factor and an offset for every channel. A convolution and a matrix product
are linear: the factor goes into the columns of their kernel. What is left is an offset, which TensorFlow's kernels add
(and clip by the ReLU behind it) while they write the convolution's result; the activations are passed over once.

Any run of per-channel factors and offsets is folded together: a convolution's bias in front of its normalisation, and
normalisation by TensorFlow's fused operation as well as by Keras' elementary ones. A convolution that several levels of
a pyramid share, each with a normalisation of its own, becomes one for each level.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import attr_value_pb2, graph_pb2, types_pb2
from tensorflow.core.framework.node_def_pb2 import NodeDef as Node

BATCH_NORMALIZATIONS: Final = frozenset({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"})
_DEPTHWISE: Final = "DepthwiseConv2dNative"
_CONVOLUTIONS: Final = frozenset({"Conv2D", _DEPTHWISE})
_MATRIX_PRODUCTS: Final = frozenset({"MatMul", "BatchMatMulV2"})
_ADDITIONS: Final = frozenset({"Add", "AddV2", "BiasAdd"})


@dataclasses.dataclass(frozen=True)
class _Affine:
    """``x * scale + offset`` over the last axis, float64 [C] each."""

    scale: NDArray[np.float64]
    offset: NDArray[np.float64]

    def then(self, other: _Affine) -> _Affine:
        """This, and the other behind it."""
        return _Affine(self.scale * other.scale, self.offset * other.scale + other.offset)


def fold_affine(graph: graph_pb2.GraphDef, outputs: Sequence[str]) -> int:
    """Folds what the module says, in place; nodes that nothing reads any more stay behind.

    Args:
      graph: frozen, without control edges; float32 and NHWC are folded, other nodes and bodies of functions left alone.
      outputs: names of the nodes whose values are read from outside.

    Returns:
      How many convolutions and products have taken something in.
    """
    folding = _Folding(graph, frozenset(outputs))
    linear = [node for node in graph.node if node.op in _CONVOLUTIONS | _MATRIX_PRODUCTS]
    return sum(folding.fold_behind(node) for node in linear)


def node_name(reference: str) -> str:
    """The node that an input of a node refers to: ``^name``, ``name`` or ``name:1``."""
    return reference.removeprefix("^").partition(":")[0]


def _attribute(node: Node, name: str) -> attr_value_pb2.AttrValue:
    """An empty one where there is none; asking the map itself would make one."""
    return node.attr[name] if name in node.attr else attr_value_pb2.AttrValue()


class _Folding:
    def __init__(self, graph: graph_pb2.GraphDef, outputs: frozenset[str]) -> None:
        self._graph = graph
        self._nodes: dict[str, Node] = {node.name: node for node in graph.node}
        self._outputs = outputs
        self._readings: dict[str, list[tuple[Node, str]]] = {}
        """Who reads a node, by which reference."""
        for node in graph.node:
            for reference in node.input:
                self._readings.setdefault(node_name(reference), []).append((node, reference))

    def fold_behind(self, linear: Node) -> bool:
        """Folds all that follows a convolution or product; whether there was anything."""
        found = self._kernel(linear)
        if found is None:
            return False
        kernel = found[1]
        channels = int(kernel.shape[-1] * (kernel.shape[-2] if linear.op == _DEPTHWISE else 1))
        affine = _Affine(np.ones(channels), np.zeros(channels))
        passed: list[Node] = []
        last, between, node, steps = None, list[Node](), linear, 0
        rank = 4 if linear.op in _CONVOLUTIONS else 2
        while (reader := self._only_reader(node)) is not None:
            if reader.op == "Reshape" and self._keeps_channels(reader, node, channels):
                passed.append(reader)
                rank = 1
            elif (following := self._affine_of(reader, node, channels, rank)) is not None:
                affine, last, between = affine.then(following), reader, list(passed)
                steps += 1
            elif reader.op != "Identity":
                break
            node = reader
        if last is None or (steps == 1 and last.op == "BiasAdd"):
            return False
        self._replace(linear, between, last, affine)
        return True

    def _kernel(self, linear: Node) -> tuple[Node, NDArray[Any], int] | None:
        """The node that reads the constant whose last axis is that of the result, the constant, and as which input.

        It is the convolution or product itself, or what multiplies a product's kernel with gates.
        """
        if _attribute(linear, "T").type != types_pb2.DT_FLOAT or _attribute(linear, "data_format").s == b"NCHW":
            return None
        if _attribute(linear, "transpose_b").b or _attribute(linear, "adj_y").b:
            return None
        kernel = self._constant(linear.input[1])
        if kernel is not None:
            return linear, kernel, 1
        gated = self._source(linear.input[1])
        if linear.op in _MATRIX_PRODUCTS and gated.op == "Mul":
            for index in (0, 1):
                kernel = self._constant(gated.input[index])
                if kernel is not None and kernel.ndim > 1 and kernel.shape[-1] > 1:
                    return gated, kernel, index
        return None

    def _only_reader(self, node: Node) -> Node | None:
        """The one that reads a node, its first output alone."""
        readings = self._readings.get(node.name, [])
        if len(readings) != 1 or node.name in self._outputs:
            return None
        reader, reference = readings[0]
        return reader if reference in (node.name, f"{node.name}:0") else None

    def _keeps_channels(self, reshape: Node, inner: Node, channels: int) -> bool:
        shape = self._constant(reshape.input[1])
        return shape is not None and shape.size > 0 and int(shape[-1]) == channels and self._reads_first(reshape, inner)

    def _reads_first(self, node: Node, inner: Node) -> bool:
        return node_name(node.input[0]) == inner.name

    def _affine_of(self, node: Node, inner: Node, channels: int, rank: int) -> _Affine | None:
        """What a node does to each channel of ``inner``, which it reads and which has at least so many axes.

        None: something else.
        """
        if node.op in BATCH_NORMALIZATIONS:
            return self._normalization(node, inner)
        if node.op not in _ADDITIONS | {"Mul", "Sub"}:
            return None
        is_first = self._reads_first(node, inner)
        if node.op == "Sub" and not is_first:
            return None
        other = self._constant(node.input[int(is_first)])
        # A vector over the last axis, whatever axes of length 1 are in front.
        if other is None or not 1 <= other.ndim <= rank or other.size != channels or other.shape[-1] != channels:
            return None
        vector = other.reshape(-1).astype(np.float64)  # [C]
        if node.op == "Mul":
            return _Affine(vector, np.zeros(channels))
        return _Affine(np.ones(channels), -vector if node.op == "Sub" else vector)

    def _normalization(self, node: Node, inner: Node) -> _Affine | None:
        others_are_read = any(reference != node.name for _, reference in self._readings.get(node.name, []))
        if _attribute(node, "is_training").b or others_are_read or not self._reads_first(node, inner):
            return None
        statistics = [self._constant(reference) for reference in node.input[1:5]]
        if any(array is None for array in statistics):
            return None
        gamma, beta, mean, variance = (np.asarray(array, np.float64) for array in statistics)  # [C] each
        scale = gamma / np.sqrt(variance + _attribute(node, "epsilon").f)
        return _Affine(scale, beta - mean * scale)

    def _replace(self, linear: Node, between: list[Node], last: Node, affine: _Affine) -> None:
        """A convolution or product that has the factors in its kernel, and its offset; ``last`` gives the result."""
        found = self._kernel(linear)
        assert found is not None, "its channels have been counted"
        reader, kernel, index = found
        columns = kernel.shape[-2:] if linear.op == _DEPTHWISE else kernel.shape[-1:]
        scaled = self._add_constant(f"{last.name}/kernel", kernel * affine.scale.reshape(columns))
        if reader is not linear:
            scaled, index = self._add_copy(reader, f"{last.name}/gated_kernel", {index: scaled}), 1
        result = self._add_copy(linear, f"{last.name}/{linear.op}", {index: scaled})
        offset = Node(op="BiasAdd", device=last.device)
        offset.input.extend(["", self._add_constant(f"{last.name}/offset", affine.offset)])
        offset.attr["T"].type = types_pb2.DT_FLOAT
        offset.attr["data_format"].s = b"NHWC"
        # A product and its offset are one kernel when nothing stands between them.
        *inner, outer = [offset, *between] if linear.op == "MatMul" else [*between, offset]
        for number, node in enumerate(inner):
            result = self._add_copy(node, f"{last.name}/{node.op}_{number}", {0: result})
        name = last.name
        last.CopyFrom(outer)
        last.name, last.input[0] = name, result

    def _add_copy(self, node: Node, name: str, inputs: Mapping[int, str]) -> str:
        copy = self._graph.node.add()
        copy.CopyFrom(node)
        copy.name = name
        for index, source in inputs.items():
            copy.input[index] = source
        return name

    def _add_constant(self, name: str, array: NDArray[np.float64]) -> str:
        node = self._graph.node.add(name=name, op="Const")
        node.attr["dtype"].type = types_pb2.DT_FLOAT
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array, tf.float32))
        return name

    def _source(self, reference: str) -> Node:
        """The node behind an input, identities passed over."""
        node = self._nodes[node_name(reference)]
        return self._source(node.input[0]) if node.op == "Identity" else node

    def _constant(self, reference: str) -> NDArray[Any] | None:
        node = self._source(reference)
        return tf.make_ndarray(node.attr["value"].tensor) if node.op == "Const" else None
