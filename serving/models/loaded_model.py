"""One version in memory: a SavedModel's signatures, checked and run."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import grpc
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.framework import tensor_shape_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from schema.exported_model import SAVED_MODEL_FILE, SERVING_SIGNATURE
from serving.protocol import errors
from serving.protocol.errors import RequestError

_SERVING_TAG = "serve"

Array = npt.NDArray[np.generic]


class LoadedModel:
    """A SavedModel that answers.

    Attributes:
      version: number of the version.
      signature_defs: signature name -> definition, as the file declares them.
    """

    def __init__(self, version: int, path: pathlib.Path) -> None:
        """Loads the SavedModel in `path`.

        Raises:
          OSError, ValueError, tf.errors.OpError: it is broken or incomplete.
        """
        self.version = version
        saved = saved_model_pb2.SavedModel.FromString((path / SAVED_MODEL_FILE).read_bytes())
        tagged = [graph for graph in saved.meta_graphs if _SERVING_TAG in graph.meta_info_def.tags]
        if not tagged:
            raise ValueError(f"{path / SAVED_MODEL_FILE}: holds no graph with the tag {_SERVING_TAG!r}")
        # The function is what runs; the object must be kept with it, because it owns the variables.
        self._object = tf.saved_model.load(str(path), tags=[_SERVING_TAG])
        self._functions = dict(self._object.signatures)
        self.signature_defs: dict[str, meta_graph_pb2.SignatureDef] = {
            name: definition for name, definition in tagged[0].signature_def.items() if name in self._functions
        }

    def predict(
        self, signature_name: str, inputs: Mapping[str, Array], output_filter: Sequence[str] = ()
    ) -> dict[str, Array]:
        """Runs a signature.

        Args:
          signature_name: empty for `serving_default`.
          inputs: arrays by input alias.
          output_filter: aliases of the outputs to return, all when empty.

        Raises:
          RequestError: the signature, an alias, a type or a shape does not fit, or the graph refused the values.
        """
        name = signature_name or SERVING_SIGNATURE
        definition = self.signature_defs.get(name)
        if definition is None:
            known = ", ".join(sorted(self.signature_defs))
            raise RequestError(
                grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found. Known: {known}.'
            )
        _check_inputs(definition, inputs)
        _check_output_filter(definition, output_filter)
        try:
            outputs = self._functions[name](**{alias: tf.constant(array) for alias, array in inputs.items()})
            return {alias: _as_array(outputs[alias]) for alias in output_filter or sorted(outputs)}
        except tf.errors.OpError as error:
            raise errors.of_tensorflow(error.error_code, error.message) from error


def _as_array(tensor: tf.Tensor) -> Array:
    array: Array = np.asarray(tensor.numpy())
    return array


def _check_inputs(definition: meta_graph_pb2.SignatureDef, inputs: Mapping[str, Array]) -> None:
    """The wording is TF Serving's (predict_util.cc), so that clients that look for it find it."""
    expected, sent = set(definition.inputs), set(inputs)
    if len(expected) != len(sent):
        raise _invalid(
            f"input size does not match signature: {len(sent)}!={len(expected)} "
            f"len({{{_set(sent)}}}) != len({{{_set(expected)}}}). "
            f"Sent extra: {{{_set(sent - expected)}}}. Missing but required: {{{_set(expected - sent)}}}."
        )
    for alias in sorted(sent - expected):
        raise _invalid(
            f"input tensor alias not found in signature: {alias}. "
            f"Inputs expected to be in the set {{{_set(expected)}}}."
        )
    for alias, array in inputs.items():
        info = definition.inputs[alias]
        dtype = tf.as_dtype(array.dtype)
        expected_dtype = tf.as_dtype(info.dtype)
        if dtype != expected_dtype or not _fits(info.tensor_shape, array.shape):
            shape = "unknown" if info.tensor_shape.unknown_rank else [d.size for d in info.tensor_shape.dim]
            raise _invalid(
                f"input {alias}: expected {expected_dtype.name} of shape {shape} (-1 is any size), "
                f"found {dtype.name} of shape {list(array.shape)}"
            )


def _check_output_filter(definition: meta_graph_pb2.SignatureDef, output_filter: Sequence[str]) -> None:
    seen = set()
    for alias in output_filter:
        if alias not in definition.outputs:
            raise _invalid(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {{{_set(set(definition.outputs))}}}."
            )
        if alias in seen:
            raise _invalid(f"duplicate output tensor alias: {alias}")
        seen.add(alias)


def _fits(declared: tensor_shape_pb2.TensorShapeProto, shape: Sequence[int]) -> bool:
    if declared.unknown_rank:
        return True
    sizes = [dimension.size for dimension in declared.dim]
    return len(sizes) == len(shape) and all(size in (-1, found) for size, found in zip(sizes, shape, strict=True))


def _set(aliases: set[str]) -> str:
    return ",".join(sorted(aliases))


def _invalid(message: str) -> RequestError:
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)
