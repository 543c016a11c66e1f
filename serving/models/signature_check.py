"""Does a request fit the signature it names? The wording is TF Serving's, so that clients that look for it find it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import grpc
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from schema.exported_model import SERVING_SIGNATURE
from serving.protocol.errors import RequestError


def find_signature(
    signature_defs: Mapping[str, meta_graph_pb2.SignatureDef], name: str
) -> tuple[str, meta_graph_pb2.SignatureDef]:
    """Name and definition of a signature; an empty name is `serving_default`.

    Raises:
      RequestError: FAILED_PRECONDITION, the model has none of this name.
    """
    name = name or SERVING_SIGNATURE
    definition = signature_defs.get(name)
    if definition is None:
        known = ", ".join(sorted(signature_defs))
        raise RequestError(
            grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found. Known: {known}.'
        )
    return name, definition


def check_inputs(definition: meta_graph_pb2.SignatureDef, inputs: Mapping[str, tensor_pb2.TensorProto]) -> None:
    """Looks at aliases, types and shapes that messages declare (predict_util.cc), before arrays are made of them.

    Raises:
      RequestError: INVALID_ARGUMENT.
    """
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
    for alias, message in inputs.items():
        info = definition.inputs[alias]
        sizes = [dimension.size for dimension in message.tensor_shape.dim]
        if message.dtype != info.dtype or not _fits(info.tensor_shape, sizes):
            shape = "unknown" if info.tensor_shape.unknown_rank else [d.size for d in info.tensor_shape.dim]
            raise _invalid(
                f"input {alias}: expected {tf.as_dtype(info.dtype).name} of shape {shape} (-1 is any size), "
                f"found {_type_name(message.dtype)} of shape {sizes}"
            )


def check_output_filter(definition: meta_graph_pb2.SignatureDef, output_filter: Sequence[str]) -> None:
    """Looks at the outputs that are asked for.

    Raises:
      RequestError: INVALID_ARGUMENT.
    """
    seen = set()
    for alias in output_filter:
        if alias not in definition.outputs:
            raise _invalid(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {{{_set(definition.outputs)}}}."
            )
        if alias in seen:
            raise _invalid(f"duplicate output tensor alias: {alias}")
        seen.add(alias)


def _fits(declared: tensor_shape_pb2.TensorShapeProto, sizes: Sequence[int]) -> bool:
    if declared.unknown_rank:
        return True
    expected = [dimension.size for dimension in declared.dim]
    # An open size is refused later, as no array can have it.
    return len(expected) == len(sizes) and all(size in (-1, found) for size, found in zip(expected, sizes, strict=True))


def _type_name(number: int) -> str:
    try:
        return tf.as_dtype(number).name
    except TypeError:
        return f"an unknown type ({number})"


def _set(aliases: Collection[str]) -> str:
    return ",".join(sorted(aliases))


def _invalid(message: str) -> RequestError:
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)
