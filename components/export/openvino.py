"""Device models in OpenVINO's intermediate representation: a graph and, beside it, the weights."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

from components.export.device_network import CanvasImage, DeviceNetwork
from schema.device_model import BOXES, DEVICE_FORMATS, IMAGES, METADATA_KEY, SCORES, VALID_SHARE, DeviceMetadata
from schema.openvino_import import import_openvino


def write(
    folder: pathlib.Path, network: DeviceNetwork, metadata: DeviceMetadata, calibration: Sequence[CanvasImage]
) -> None:
    """Writes ``openvino``; see ``device_formats.DeviceWriter``."""
    del calibration
    save(convert(network), folder / DEVICE_FORMATS["openvino"].file, metadata)


def convert(network: DeviceNetwork) -> Any:
    """The network as an ``openvino.Model``."""
    model = import_openvino().convert_model(network.concrete)
    for tensors, names in ((model.inputs, {IMAGES, VALID_SHARE}), (model.outputs, {BOXES, SCORES})):
        for tensor in tensors:
            # What TensorFlow called it is a name as well, and which is told first is chance.
            tensor.get_tensor().set_names(tensor.get_names() & names)
    return model


def save(model: Any, path: pathlib.Path, metadata: DeviceMetadata) -> None:
    """Writes graph and weights, in the precision that the model has.

    Args:
      model: an ``openvino.Model``.
      path: of the graph.
      metadata: to go along.
    """
    model.set_rt_info(metadata.to_json(), [METADATA_KEY])
    import_openvino().save_model(model, path, compress_to_fp16=False)
