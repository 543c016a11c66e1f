"""JSON of TF Serving's REST to its messages and back; the wording of errors is that of its util/json_tensor.cc."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import grpc
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2

from schema.exported_model import SERVING_SIGNATURE
from serving.protocol import tensors
from serving.protocol.errors import RequestError

_BASE64: Final = "b64"
_BYTES_SUFFIX: Final = "_bytes"
"""Outputs with such a name are sent as base64, other strings as they are."""
_SHOWN_CHARACTERS: Final = 200

SignatureDefs = Mapping[str, meta_graph_pb2.SignatureDef]


def parse(body: bytes) -> dict[str, Any]:
    """The object that a body is.

    Raises:
      RequestError: INVALID_ARGUMENT, it is none.
    """
    if not body:
        raise _invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise _invalid(f"JSON Value: {_shown(document)} Is not object")
    return document


def fill_request(request: predict_pb2.PredictRequest, document: Mapping[str, Any], signatures: SignatureDefs) -> bool:
    """Fills signature and inputs of a request.

    Args:
      request: names the model already.
      document: with `instances` (a list of images) or `inputs` (a list, or an object of lists by input).
      signatures: of the model.

    Returns:
      Whether the answer is to be by rows, as `instances` are.

    Raises:
      RequestError: INVALID_ARGUMENT.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise _invalid(
            f"JSON Value: {_shown(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    request.model_spec.signature_name = name
    definition = signatures.get(name or SERVING_SIGNATURE)
    if definition is None:
        raise _invalid(f'Serving signature name: "{name or SERVING_SIGNATURE}" not found in signature def')
    infos = definition.inputs
    is_by_rows = "instances" in document
    if is_by_rows and "inputs" in document:
        raise _invalid(
            f"JSON Value: {_shown(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist "
        )
    if is_by_rows:
        columns = _columns_of(document["instances"], sorted(infos))
    elif "inputs" in document:
        columns = _named(document["inputs"], sorted(infos))
    else:
        raise _invalid("Missing 'inputs' or 'instances' key")
    for alias, value in columns.items():
        request.inputs[alias].CopyFrom(tensors.to_message(_array(alias, value, infos[alias].dtype)))
    return is_by_rows


def predictions(outputs: Mapping[str, tensor_pb2.TensorProto], is_by_rows: bool) -> str:
    """The answer: `predictions`, a row an image, or `outputs`, by name; without a name where there is one output.

    Raises:
      RequestError: INVALID_ARGUMENT, rows are asked for and an output has none.
    """
    arrays = {alias: tf.make_ndarray(message) for alias, message in outputs.items()}
    if not is_by_rows:
        columns = {alias: _json(alias, array) for alias, array in arrays.items()}
        return json.dumps({"outputs": columns if len(columns) > 1 else next(iter(columns.values()))})
    sizes = {array.shape[0] if array.ndim else 0 for array in arrays.values()}
    if len(sizes) != 1:
        raise _invalid(f"Tensor shapes do not have the same 0th dimension: {sorted(sizes)}; ask with 'inputs' instead")
    columns = {alias: _json(alias, array) for alias, array in arrays.items()}
    if len(columns) == 1:
        return json.dumps({"predictions": next(iter(columns.values()))})
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return json.dumps({"predictions": rows})


def metadata(response: get_model_metadata_pb2.GetModelMetadataResponse, signatures: Any) -> str:
    """`model_spec` and `metadata.signature_def`, as TF Serving lays them out."""

    def as_dict(message: Any) -> Any:
        return json_format.MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )

    return json.dumps(
        {"model_spec": as_dict(response.model_spec), "metadata": {"signature_def": as_dict(signatures)}}, indent=1
    )


def _columns_of(instances: Any, names: Sequence[str]) -> dict[str, Any]:
    """Lists by input, of `instances`: a list of values where there is one input, or of objects by input."""
    if not isinstance(instances, list):
        raise _invalid("JSON Value: Excepting 'instances' to be an list/array")
    if not instances:
        raise _invalid("JSON Value: No values in 'instances' array")
    if not _is_object(instances[0]):
        if len(names) > 1:
            raise _invalid(
                "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
                "tensorinfo_map"
            )
        for index, row in enumerate(instances):
            if _is_object(row):
                raise _invalid(f"Expecting value/list but got object at item {index} of input list")
        return {names[0]: instances}
    for index, row in enumerate(instances):
        if not _is_object(row):
            raise _invalid(f"Expecting object but got list at item {index} of input list")
        if sorted(row) != list(names):
            raise _invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: {_shown(row)} keys must be "
                f"equal to: {','.join(names)}"
            )
    return {name: [row[name] for row in instances] for name in names}


def _named(inputs: Any, names: Sequence[str]) -> dict[str, Any]:
    """Lists by input, of `inputs`."""
    if not _is_object(inputs):
        if len(names) > 1:
            raise _invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        return {names[0]: inputs}
    for name in names:
        if name not in inputs:
            raise _invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: inputs[name] for name in names}


def _array(alias: str, value: Any, dtype: int) -> npt.NDArray[np.generic]:
    """The array of nested lists, in an input's type."""
    kind = tf.as_dtype(dtype)
    try:
        if kind == tf.string:
            leaves: list[bytes] = []
            shape = _shape(value)
            _gather_strings(value, shape, leaves)
            array = np.empty(len(leaves), object)
            array[:] = leaves
            return array.reshape(shape)
        found = np.array(value)
    except (ValueError, RecursionError, OverflowError) as error:
        raise _invalid(f"input {alias}: lists of one level differ in size, or numbers are too large") from error
    if found.size == 0:
        return np.zeros(found.shape, kind.as_numpy_dtype)
    is_fitting = (
        found.dtype.kind == "b" if kind == tf.bool else found.dtype.kind in ("iuf" if kind.is_floating else "iu")
    )
    if is_fitting and kind.is_integer:
        is_fitting = kind.min <= found.min() and found.max() <= kind.max
    if not is_fitting:
        raise _invalid(f"JSON Value: {_shown(value)} is not of expected type: {kind.name}")
    return found.astype(kind.as_numpy_dtype)


def _shape(value: Any) -> list[int]:
    """Sizes of nested lists, by the first of each level."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def _gather_strings(value: Any, shape: Sequence[int], leaves: list[bytes]) -> None:
    if isinstance(value, list):
        if not shape or len(value) != shape[0]:
            raise _invalid(f"Encountered list at unexpected size: {len(value)} expected size: {[*shape[:1]]}")
        for item in value:
            _gather_strings(item, shape[1:], leaves)
    elif shape:
        raise _invalid(f"JSON Value: {_shown(value)} found at incorrect level")
    elif isinstance(value, str):
        leaves.append(value.encode(errors="surrogatepass"))
    elif isinstance(value, dict):
        if _is_object(value):
            raise _invalid(f"JSON Value: {_shown(value)} not formatted correctly for base64 data")
        try:
            leaves.append(base64.b64decode(value[_BASE64], validate=True))
        except (binascii.Error, ValueError) as error:
            raise _invalid("Unable to base64 decode") from error
    else:
        raise _invalid(f"JSON Value: {_shown(value)} Type: {type(value).__name__} is not of expected type: string")


def _is_object(value: Any) -> bool:
    """Is it an object, and not bytes written as one?"""
    return isinstance(value, dict) and not (list(value) == [_BASE64] and isinstance(value[_BASE64], str))


def _json(alias: str, array: npt.NDArray[Any]) -> Any:
    """Nested lists of an output."""
    if array.dtype == object:
        if alias.endswith(_BYTES_SUFFIX):
            return _nested(array, lambda value: {_BASE64: base64.b64encode(value).decode()})
        return _nested(array, lambda value: value.decode(errors="replace"))
    if array.dtype.kind == "f":
        # The shortest digits that are this float32: those of a double would be noise from the ninth on.
        return np.asarray(array.astype(str), np.float64).tolist()
    return array.tolist()


def _nested(array: npt.NDArray[Any], convert: Any) -> Any:
    converted = np.empty(array.shape, object)
    for index, value in np.ndenumerate(array):
        converted[index] = convert(value)
    return converted.tolist()


def _shown(value: Any) -> str:
    """A value in an error, cut: a caller's image need not come back."""
    text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _invalid(message: str) -> RequestError:
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)
