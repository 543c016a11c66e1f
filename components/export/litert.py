"""Device models for LiteRT (TensorFlow Lite), of its builtin operations alone: float32, or weights in float16."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from components.export.device_network import CanvasImage, DeviceNetwork
from components.export.litert_metadata import with_metadata
from schema.device_model import DEVICE_FORMATS, DeviceMetadata


def write(
    folder: pathlib.Path, network: DeviceNetwork, metadata: DeviceMetadata, calibration: Sequence[CanvasImage]
) -> None:
    """Writes ``litert``; see ``device_formats.DeviceWriter``."""
    del calibration
    (folder / DEVICE_FORMATS["litert"].file).write_bytes(with_metadata(convert(network), metadata))


def write_float16(
    folder: pathlib.Path, network: DeviceNetwork, metadata: DeviceMetadata, calibration: Sequence[CanvasImage]
) -> None:
    """Writes ``litert_float16``; see ``device_formats.DeviceWriter``."""
    del calibration
    content = convert(network, weights_in_float16=True)
    (folder / DEVICE_FORMATS["litert_float16"].file).write_bytes(with_metadata(content, metadata))


def convert(network: DeviceNetwork, *, weights_in_float16: bool = False) -> bytes:
    """The network as a flatbuffer of LiteRT.

    Args:
      network: to convert.
      weights_in_float16: half the size. What runs it computes in float32, or in float16 where it does so faster.
    """
    converter: Any = tf.lite.TFLiteConverter.from_concrete_functions([network.concrete], network)
    if weights_in_float16:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    content: bytes = converter.convert()
    return content
