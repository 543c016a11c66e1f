"""A device model behind the signatures of a SavedModel, so that whoever asks sees no difference."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Final

import grpc
import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from schema import exported_model
from serving.clients import image_files
from serving.devices.device_detector import DeviceDetector
from serving.devices.suppression import Found
from serving.models.runnable import Array, Call
from serving.protocol.errors import RequestError

_METHOD: Final = "tensorflow/serving/predict"
_Tensors = Mapping[str, tuple[int, Sequence[int]]]
"""Type and shape by alias."""


class ServedDeviceModel:
    """A device model that answers ``serving_default``, ``serving_tolerant`` and ``serving_tensor``.

    The images of a request are computed one after the other, as the network takes one at a time. Records are not
    answered (``evaluate``): they are for the pipeline's Evaluator, which has the SavedModel.

    Attributes:
      version: number of the version.
      signature_defs: signature name -> definition, with the inputs and outputs of a SavedModel of ours.
    """

    def __init__(self, version: int, path: pathlib.Path) -> None:
        """Loads the device model in the folder `path`, and runs it once: the first image takes longer.

        Raises:
          DeviceModelError: it cannot be used.
        """
        self.version = version
        self._detector = DeviceDetector.open(path)
        self._rows = self._detector.metadata.suppression.max_total
        self.signature_defs: Mapping[str, meta_graph_pb2.SignatureDef] = self._signatures()
        self._detector.find(np.zeros((1, 1, 3), np.uint8))

    def run(self, call: Call) -> dict[str, Array]:
        """Runs a signature whatever the deadline; see `Runnable.run`."""
        if call.signature_name == exported_model.TENSOR_SIGNATURE:
            images = call.inputs[exported_model.IMAGES].astype(np.uint8, copy=False)
            if 0 in images.shape[1:3]:
                raise _invalid(f"input {exported_model.IMAGES}: images of shape {list(images.shape[1:])} have no pixel")
            outputs = self._outputs([self._detector.find(image) for image in images])
        else:
            is_tolerant = call.signature_name == exported_model.TOLERANT_SIGNATURE
            outputs = self._detect(call.inputs[exported_model.IMAGE_BYTES].tolist(), is_tolerant)
        return {alias: outputs[alias] for alias in call.output_aliases or outputs}

    def close(self) -> None:
        """Frees the network."""
        del self._detector

    def _detect(self, encoded: Sequence[bytes], is_tolerant: bool) -> dict[str, Array]:
        """Detects objects in image files; one that does not decode fails alone, or all of them."""
        found: list[Found | None] = []
        for file in encoded:
            try:
                found.append(self._detector.find(image_files.decode(file)))
            except image_files.ImageFileError:
                found.append(None)
        unreadable = [str(index) for index, one in enumerate(found) if one is None]
        if not is_tolerant:
            if unreadable:
                raise _invalid(
                    f"{exported_model.UNREADABLE_IMAGE} at index {' '.join(unreadable)} of a batch of {len(found)}"
                )
            return self._outputs(found)
        errors = [b"" if one else exported_model.UNREADABLE_IMAGE.encode() for one in found]
        return self._outputs(found) | {exported_model.IMAGE_ERRORS: np.array(errors, object)}

    def _outputs(self, found: Sequence[Found | None]) -> dict[str, Array]:
        """The outputs of a SavedModel, padded as it pads them."""
        shape = (len(found), self._rows)  # [B, N]
        outputs: dict[str, Array] = {
            exported_model.BOXES: np.zeros((*shape, 4), np.float32),
            exported_model.SCORES: np.zeros(shape, np.float32),
            exported_model.CLASSES: np.zeros(shape, np.int64),
            exported_model.CLASS_NAMES: np.full(shape, b"", object),
            exported_model.COUNTS: np.array([len(one.scores) if one else 0 for one in found], np.int64),
        }
        if self._detector.metadata.thresholds is not None:
            outputs[exported_model.THRESHOLDS] = np.ones(shape, np.float32)
        for image, one in enumerate(found):
            for row, detection in enumerate(self._detector.detections(one) if one else ()):
                outputs[exported_model.BOXES][image, row] = detection.box_yxyx_normalized
                outputs[exported_model.SCORES][image, row] = detection.score
                outputs[exported_model.CLASSES][image, row] = detection.class_id
                outputs[exported_model.CLASS_NAMES][image, row] = detection.class_name.encode()
                if detection.threshold is not None:
                    outputs[exported_model.THRESHOLDS][image, row] = detection.threshold
        return outputs

    def _signatures(self) -> dict[str, meta_graph_pb2.SignatureDef]:
        padded = (-1, self._rows)
        outputs: dict[str, tuple[int, Sequence[int]]] = {
            exported_model.BOXES: (types_pb2.DT_FLOAT, (*padded, 4)),
            exported_model.SCORES: (types_pb2.DT_FLOAT, padded),
            exported_model.CLASSES: (types_pb2.DT_INT64, padded),
            exported_model.CLASS_NAMES: (types_pb2.DT_STRING, padded),
            exported_model.COUNTS: (types_pb2.DT_INT64, (-1,)),
        }
        if self._detector.metadata.thresholds is not None:
            outputs[exported_model.THRESHOLDS] = (types_pb2.DT_FLOAT, padded)
        encoded: _Tensors = {exported_model.IMAGE_BYTES: (types_pb2.DT_STRING, (-1,))}
        decoded: _Tensors = {exported_model.IMAGES: (types_pb2.DT_UINT8, (-1, -1, -1, 3))}
        errors: _Tensors = {exported_model.IMAGE_ERRORS: (types_pb2.DT_STRING, (-1,))}
        return {
            exported_model.SERVING_SIGNATURE: _signature(encoded, outputs),
            exported_model.TOLERANT_SIGNATURE: _signature(encoded, {**outputs, **errors}),
            exported_model.TENSOR_SIGNATURE: _signature(decoded, outputs),
        }


def _signature(inputs: _Tensors, outputs: _Tensors) -> meta_graph_pb2.SignatureDef:
    definition = meta_graph_pb2.SignatureDef(method_name=_METHOD)
    for infos, tensors in ((definition.inputs, inputs), (definition.outputs, outputs)):
        for alias, (dtype, shape) in tensors.items():
            infos[alias].name = alias
            infos[alias].dtype = dtype
            for size in shape:
                infos[alias].tensor_shape.dim.add(size=size)
    return definition


def _invalid(message: str) -> RequestError:
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)
