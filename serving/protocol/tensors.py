"""Tensor messages to arrays and back, with the checks a server needs."""

from __future__ import annotations

import math

import grpc
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.protocol.errors import RequestError

MAX_TENSOR_ELEMENTS = 1 << 26
"""A message may describe a tensor far larger than itself (one value, repeated): 64 Mi elements are the limit."""

_VALUE_FIELDS = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_BOOL: "bool_val",
}

_FIELDS_OF_ARRAYS = {
    np.dtype(tf.as_dtype(number).as_numpy_dtype): (number, name) for number, name in _VALUE_FIELDS.items()
}
_FIELDS_OF_ARRAYS[np.dtype(object)] = (types_pb2.DT_STRING, "string_val")

_READ_TYPES = frozenset({*_VALUE_FIELDS, types_pb2.DT_STRING})
"""What inputs of a detector can be; resources and variants are a server's own."""


def to_array(alias: str, message: tensor_pb2.TensorProto) -> npt.NDArray[np.generic]:
    """The array a message describes.

    Raises:
      RequestError: INVALID_ARGUMENT; the type is unknown, the shape is open or too large, or values do not fill it.
    """
    sizes = [dimension.size for dimension in message.tensor_shape.dim]
    if message.tensor_shape.unknown_rank or any(size < 0 for size in sizes):
        raise _malformed(alias, f"shape {sizes} is not fully known")
    if math.prod(sizes) > MAX_TENSOR_ELEMENTS:
        raise _malformed(alias, f"shape {sizes} has more than {MAX_TENSOR_ELEMENTS} elements")
    if message.dtype not in _READ_TYPES:
        names = ", ".join(sorted(tf.as_dtype(number).name for number in _READ_TYPES))
        raise _malformed(alias, f"type {message.dtype}, expected one of {names}")
    if (
        message.dtype == types_pb2.DT_STRING
        and len(message.string_val) == math.prod(sizes)
        and not message.tensor_content
    ):
        # What `tf.make_ndarray` does as well, after much else.
        return np.array(list(message.string_val), object).reshape(sizes)
    try:
        array: npt.NDArray[np.generic] = tf.make_ndarray(message)
    except (TypeError, ValueError, OverflowError) as error:
        raise _malformed(alias, str(error)) from error
    return array


def to_message(array: npt.NDArray[np.generic]) -> tensor_pb2.TensorProto:
    """The message of an array, with values in their typed fields as TF Serving sends them (not `tensor_content`)."""
    message = tensor_pb2.TensorProto()
    fill_message(message, array)
    return message


def fill_message(message: tensor_pb2.TensorProto, array: npt.NDArray[np.generic]) -> None:
    """Makes an empty message what `to_message` returns: for those that lie in another one, which saves a copy."""
    number, field = _FIELDS_OF_ARRAYS.get(array.dtype) or (None, "")
    if number is None:
        message.CopyFrom(tf.make_tensor_proto(array))
        return
    message.dtype = number
    message.tensor_shape.SetInParent()
    for size in array.shape:
        message.tensor_shape.dim.add(size=size)
    getattr(message, field).extend(array.ravel().tolist())


def _malformed(alias: str, why: str) -> RequestError:
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, f"tensor parsing error: {alias}: {why}")
