"""Device models in OpenVINO's intermediate representation, in 8-bit integers by NNCF (post-training quantisation)."""

from __future__ import annotations

import contextlib
import io
import logging
import pathlib
from collections.abc import Sequence

from components.detector.layers.in_float import IN_FLOAT
from components.export import openvino
from components.export.device_network import CanvasImage, DeviceNetwork
from schema.device_model import DEVICE_FORMATS, DeviceMetadata
from schema.openvino_import import import_openvino


def write(
    folder: pathlib.Path, network: DeviceNetwork, metadata: DeviceMetadata, calibration: Sequence[CanvasImage]
) -> None:
    """Writes ``openvino_int8``; see ``device_formats.DeviceWriter``."""
    import_openvino()
    # Behind that: importing it imports OpenVINO.
    import nncf

    nncf.set_log_level(logging.ERROR)
    # It draws bars.
    with contextlib.redirect_stdout(io.StringIO()):
        quantized = nncf.quantize(
            openvino.convert(network),
            nncf.Dataset([network.feed(image) for image in calibration]),
            subset_size=len(calibration),
            # Activations by their range and not around 0, where most of them begin.
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(patterns=[f".*{IN_FLOAT}.*"]),
        )
    openvino.save(quantized, folder / DEVICE_FORMATS["openvino_int8"].file, metadata)
