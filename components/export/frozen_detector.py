"""A detector as it is exported: the graph of its detection, with all that no longer changes computed once.

Tracing a detector gives a graph that reads a variable for every parameter, and computes from them, with every image,
what is the same for all images: a batch normalisation's factors, a pyramid's weights. Here all variables become
constants; what depends on nothing else is computed; factors and offsets go into the convolutions
(``affine_folding``). Nothing in it is for training or for one kind of device: what kernels to use is left to the
TensorFlow that runs it.
"""

from __future__ import annotations

import itertools
import os
from typing import Any, Final

import keras
import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.eager import context
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2_as_graph
from tensorflow.python.grappler import tf_optimizer

from components.detector.detector import FinishedDetector
from components.detector.options import DetectorOptions
from components.detector.structures import Detections, Preprocessed
from components.export.affine_folding import fold_affine, node_name

MOST_CONSTANT_BYTES: Final = 2**25
"""Weights up to here are constants of the graph: oneDNN arranges a constant kernel for itself once, a variable with
every image, which is a fifth of what a network this small takes for one. Every signature that is run holds its
constants for itself, though, so that larger weights are variables, which all share; there it takes a few percent."""
_SMALL_BYTES: Final = 4096
"""Of a constant that is no variable in any case."""
_IDENTITIES: Final = frozenset({"Identity", "IdentityN", "StopGradient", "PreventGradient"})
_COUNT: Final = itertools.count()
"""Of frozen graphs in this process."""


class FrozenDetector:
    """Detects as the detector it was made of, to the rounding of float32; what that learns later does not reach it.

    Args:
      detector: trained; computes in float32.
    """

    def __init__(self, detector: FinishedDetector) -> None:
        self.detector = detector
        self.image_size = detector.image_size
        self.options: DetectorOptions = detector.options
        self.recipe: dict[str, Any] = detector.recipe
        self.classifier = detector.classifier
        self._graph, self._inputs, self._outputs = frozen_graph(detector)
        self._variables = _take_constants(self._graph)

    @property
    def weights(self) -> list[keras.Variable]:
        """Those that are no constants of the graph."""
        return list(self._variables.values())

    def resize(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See ``Detector.resize``."""
        return self.detector.resize(image)

    def normalize(self, images: tf.Tensor) -> tf.Tensor:
        """See ``Detector.normalize``."""
        return self.detector.normalize(images)

    def preprocess(self, images: tf.Tensor) -> Preprocessed:
        """See ``Detector.preprocess``."""
        return self.detector.preprocess(images)

    def save_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Those of the detector that it was made of."""
        self.detector.save_weights(filepath)

    def detect(self, preprocessed: Preprocessed) -> Detections:
        """See ``Detector.detect``."""
        values = dict(zip(self._inputs, preprocessed, strict=True))
        values |= {f"{name}:0": tf.convert_to_tensor(variable) for name, variable in self._variables.items()}
        return Detections(
            *tf.graph_util.import_graph_def(
                self._graph, input_map=values, return_elements=self._outputs, name="detector"
            )
        )


def frozen_graph(detector: FinishedDetector) -> tuple[graph_pb2.GraphDef, list[str], list[str]]:
    """The graph of ``detect`` without variables.

    Args:
      detector: as in :class:`FrozenDetector`.

    Returns:
      The graph, the tensors that it reads (which no node of it makes) and those that it is run for, in the order of the
      fields of ``Preprocessed`` and ``Detections``.
    """
    frame = Preprocessed(
        tf.TensorSpec((None, *detector.image_size, 3), tf.float32), tf.TensorSpec((None, 2), tf.float32)
    )
    traced = tf.function(detector.detect, input_signature=[frame], autograph=False).get_concrete_function()
    # Loops stay loops, with their bodies in functions: lowered ones cannot be imported into a function.
    constant, graph = convert_variables_to_constants_v2_as_graph(traced, lower_control_flow=False)
    inputs, outputs = ([tensor.name for tensor in tensors] for tensors in (constant.inputs, constant.outputs))
    starts, ends = ([node_name(name) for name in names] for names in (inputs, outputs))
    graph = _needed(graph, starts, ends)
    graph = _needed(_constants_folded(graph, [*starts, *ends]), starts, ends)
    fold_affine(graph, ends)
    graph = _needed(graph, starts, ends)
    _remove(graph, set(starts))
    _define_functions(graph, f"frozen_{next(_COUNT)}_")
    return graph, inputs, outputs


def _needed(graph: graph_pb2.GraphDef, inputs: list[str], outputs: list[str]) -> graph_pb2.GraphDef:
    """The inputs, and what the outputs are computed of.

    Identities are passed over: those that matter to gradients alone stand between a convolution and its normalisation.
    Control edges are gone: they only kept variables from being read too late.
    """
    nodes = {node.name: node for node in graph.node}

    def origin(reference: str) -> str:
        node = nodes[node_name(reference)]
        if node.op not in _IDENTITIES:
            return reference
        return origin(node.input[int(reference.partition(":")[2] or 0)])

    for node in graph.node:
        data = [origin(reference) for reference in node.input if not reference.startswith("^")]
        node.ClearField("input")
        node.input.extend(data)
    needed, unseen = {*inputs, *outputs}, [*outputs]
    while unseen:
        for reference in nodes[unseen.pop()].input:
            if (name := node_name(reference)) not in needed:
                needed.add(name)
                unseen.append(name)
    kept = graph_pb2.GraphDef(versions=graph.versions, library=graph.library)
    kept.node.extend(node for node in graph.node if node.name in needed)
    return kept


def _constants_folded(graph: graph_pb2.GraphDef, kept: list[str]) -> graph_pb2.GraphDef:
    """Computes what depends on constants only; nodes that are kept keep their names."""
    with tf.Graph().as_default() as imported:
        tf.graph_util.import_graph_def(graph, name="")
    meta_graph = tf.compat.v1.train.export_meta_graph(graph_def=graph, graph=imported)
    meta_graph.collection_def["train_op"].node_list.value.extend(kept)
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.optimizers.append("constfold")
    config.graph_options.rewrite_options.min_graph_nodes = -1
    optimized: graph_pb2.GraphDef = tf_optimizer.OptimizeGraph(config, meta_graph)
    return optimized


def _take_constants(graph: graph_pb2.GraphDef) -> dict[str, keras.Variable]:
    """Takes the larger constants out of a graph whose constants are large together; variables by their names."""
    sizes = {
        node.name: node.attr["value"].tensor.ByteSize()
        for node in graph.node
        if node.op == "Const" and node.attr["dtype"].type == tf.float32.as_datatype_enum
    }
    if sum(sizes.values()) <= MOST_CONSTANT_BYTES:
        return {}
    taken = {
        node.name: keras.Variable(tf.make_ndarray(node.attr["value"].tensor), trainable=False, name="frozen")
        for node in graph.node
        if sizes.get(node.name, 0) > _SMALL_BYTES
    }
    _remove(graph, set(taken))
    return taken


def _remove(graph: graph_pb2.GraphDef, names: set[str]) -> None:
    """Nodes that are given from outside when the graph is used."""
    kept = [node for node in graph.node if node.name not in names]
    del graph.node[:]
    graph.node.extend(kept)


def _define_functions(graph: graph_pb2.GraphDef, prefix: str) -> None:
    """Gives the functions of a graph (bodies of loops) names of their own: of one name there can be one definition."""
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    for node in nodes:
        for attribute in node.attr.values():
            for function in (attribute.func, *attribute.list.func):
                if function.name:
                    function.name = prefix + function.name
    for definition in graph.library.function:
        definition.signature.name = prefix + definition.signature.name
        # Importing a graph into a function leaves it to the caller that this process knows the functions.
        context.context().add_function_def(definition)
