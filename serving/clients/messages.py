"""The messages of a prediction, without TensorFlow: whose import would take seconds for a request of milliseconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schema import exported_model
from serving.clients.errors import MessageError
from serving.protocol.message_classes import message_classes

PREDICT_METHOD: Final = "/tensorflow.serving.PredictionService/Predict"

# As in tensorflow/core/framework/tensor.proto and tensorflow_serving/apis/{model,predict}.proto, as far as it is used.
_CLASSES: Final = message_classes(
    {
        "Dim": (("size", 1, "int64"), ("name", 2, "string")),
        "TensorShapeProto": (("dim", 2, "repeated Dim"), ("unknown_rank", 3, "bool")),
        "TensorProto": (
            ("dtype", 1, "int32"),
            ("tensor_shape", 2, "TensorShapeProto"),
            ("tensor_content", 4, "bytes"),
            ("float_val", 5, "repeated float"),
            ("string_val", 8, "repeated bytes"),
            ("int64_val", 10, "repeated int64"),
        ),
        "ModelSpec": (
            ("name", 1, "string"),
            ("version", 2, "Int64Value"),
            ("signature_name", 3, "string"),
            ("version_label", 4, "string"),
        ),
        "PredictRequest": (
            ("model_spec", 1, "ModelSpec"),
            ("inputs", 2, "map TensorProto"),
            ("output_filter", 3, "repeated string"),
        ),
        "PredictResponse": (("outputs", 1, "map TensorProto"), ("model_spec", 2, "ModelSpec")),
    }
)
PredictResponse: Final = _CLASSES["PredictResponse"]

_STRING: Final = 7
_VALUES: Final[Mapping[int, tuple[str, Any]]] = {
    1: ("float_val", np.float32),
    _STRING: ("string_val", object),
    9: ("int64_val", np.int64),
}
"""Field and type of array by the number of a DataType (tensorflow/core/framework/types.proto)."""


def predict_request(images: Sequence[bytes], model_name: str, version: int | None = None, label: str = "") -> Any:
    """A PredictRequest for the signature `serving_default`.

    Args:
      images: JPEG or PNG files.
      model_name: on the server.
      version: to insist on.
      label: of a version to insist on; a version and a label exclude each other.
    """
    # Without an `output_filter`: a name in it that a version lacks, as older ones lack thresholds, is refused; and TF
    # Serving runs a request for some of the outputs outside of its batches.
    request = _CLASSES["PredictRequest"]()
    request.model_spec.name = model_name
    request.model_spec.signature_name = exported_model.SERVING_SIGNATURE
    if version is not None:
        request.model_spec.version.value = version
    if label:
        request.model_spec.version_label = label
    tensor = request.inputs[exported_model.IMAGE_BYTES]
    tensor.dtype = _STRING
    tensor.tensor_shape.dim.add(size=len(images))
    tensor.string_val.extend(images)
    return request


def to_array(name: str, tensor: Any) -> npt.NDArray[Any]:
    """The array of a TensorProto.

    Raises:
      MessageError: its type is none of an answer's, or values do not fill its shape.
    """
    if tensor.dtype not in _VALUES:
        raise MessageError(f"{name} has the type {tensor.dtype}, expected one of {sorted(_VALUES)}")
    field, kind = _VALUES[tensor.dtype]
    sizes = [dimension.size for dimension in tensor.tensor_shape.dim]
    count = math.prod(sizes)
    if tensor.tensor_content and tensor.dtype != _STRING:
        values = np.frombuffer(tensor.tensor_content, kind)
    else:
        values = np.array(list(getattr(tensor, field)), kind)
        if 0 < values.size < count:
            # Equal values at the end may be left out.
            values = np.concatenate([values, np.repeat(values[-1:], count - values.size)])
    if values.size != count:
        raise MessageError(f"{name} has {values.size} values, expected {count} for the shape {sizes}")
    return values.reshape(sizes)
