"""Paths and bodies of TF Serving's REST API, as far as a prediction needs them; see `serving.clients.messages`."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schema import exported_model
from serving.clients.errors import MessageError
from serving.clients.transport import ModelChoice

_KINDS: Final[Mapping[str, tuple[Any, str]]] = {
    exported_model.BOXES: (np.float32, "fiu"),
    exported_model.SCORES: (np.float32, "fiu"),
    exported_model.THRESHOLDS: (np.float32, "fiu"),
    exported_model.CLASSES: (np.int64, "iu"),
    exported_model.COUNTS: (np.int64, "iu"),
}
"""Type of an output's array, and the kinds of numbers in JSON that fit; class names are strings."""


def model_path(model: ModelChoice) -> str:
    """Path of a model, of its version or of its label."""
    path = f"/v1/models/{urllib.parse.quote(model.name, safe='')}"
    if model.version:
        return f"{path}/versions/{model.version}"
    return f"{path}/labels/{urllib.parse.quote(model.label, safe='')}" if model.label else path


def predict_body(images: Sequence[bytes]) -> bytes:
    """The body that asks the signature `serving_default` by columns.

    Args:
      images: JPEG or PNG files.
    """
    column = [{"b64": base64.b64encode(image).decode()} for image in images]
    document = {
        "signature_name": exported_model.SERVING_SIGNATURE,
        "inputs": {exported_model.IMAGE_BYTES: column},
    }
    return json.dumps(document).encode()


def outputs_of(document: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
    """Arrays by name of an answer by columns, as far as it has a detector's.

    Raises:
      MessageError: it is no such answer, or values are not what they ought to be.
    """
    columns = document.get("outputs")
    if not isinstance(columns, dict):
        raise MessageError(f"expected an object 'outputs' with an entry for each output, found {_shown(document)}")
    names = (*exported_model.OUTPUTS, exported_model.THRESHOLDS)
    return {name: _array(name, columns[name]) for name in names if name in columns}


def version_of(metadata: Mapping[str, Any]) -> int:
    """Number of the version that metadata are of.

    Raises:
      MessageError: they say none.
    """
    spec = metadata.get("model_spec")
    version = spec.get("version") if isinstance(spec, dict) else None
    # In JSON, protobuf's 64-bit numbers are strings.
    if not str(version).isdecimal():
        raise MessageError(f"expected the number of a version as model_spec.version, found {_shown(metadata)}")
    return int(str(version))


def _array(name: str, column: Any) -> npt.NDArray[Any]:
    try:
        if name == exported_model.CLASS_NAMES:
            return _strings(name, column)
        kind, fitting = _KINDS[name]
        found = np.array(column)
    except ValueError as error:
        raise MessageError(f"{name}: lists of one level differ in size") from error
    if found.size and found.dtype.kind not in fitting:
        raise MessageError(f"{name}: expected numbers of the type {np.dtype(kind).name}, found {_shown(column)}")
    return found.astype(kind)


def _strings(name: str, column: Any) -> npt.NDArray[np.object_]:
    found = np.array(column, object)
    if not all(isinstance(value, str) for value in found.flat):
        raise MessageError(f"{name}: expected strings, found {_shown(column)}")
    encoded = np.empty(found.size, object)
    encoded[:] = [value.encode("utf-8", "replace") for value in found.flat]
    return encoded.reshape(found.shape)


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
