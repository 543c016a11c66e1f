"""Device models in OpenVINO's intermediate representation, in 8-bit integers by NNCF (post-training quantisation).

All that any calibration image brings about is in a tensor's range. (NNCF's own way is the mean over images; as in
``litert_int8``, it costs 0.02 AP of the demo's detector.)
"""

from __future__ import annotations

import contextlib
import io
import logging
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

from components.detector.layers.in_float import IN_FLOAT
from components.export import openvino
from components.export.device_network import CanvasImage, DeviceNetwork
from schema.device_model import DEVICE_FORMATS, DeviceMetadata
from schema.openvino_import import import_openvino

_WITH_WEIGHTS: Final = ("Convolution", "GroupConvolution", "MatMul")


def write(
    folder: pathlib.Path, network: DeviceNetwork, metadata: DeviceMetadata, calibration: Sequence[CanvasImage]
) -> None:
    """Writes ``openvino_int8``; see ``device_formats.DeviceWriter``."""
    import_openvino()
    # Behind that: importing it imports OpenVINO.
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    nncf.set_log_level(logging.ERROR)
    # It draws bars.
    with contextlib.redirect_stdout(io.StringIO()):
        model = openvino.convert(network)
        quantized = nncf.quantize(
            model,
            nncf.Dataset([network.feed(image) for image in calibration]),
            subset_size=len(calibration),
            # Activations by their range and not around 0, where most of them begin.
            preset=nncf.QuantizationPreset.MIXED,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
            ),
            ignored_scope=nncf.IgnoredScope(patterns=[f".*{IN_FLOAT}.*"], names=list(_last_with_weights(model))),
        )
    openvino.save(quantized, folder / DEVICE_FORMATS["openvino_int8"].file, metadata)


def _last_with_weights(model: Any) -> Iterator[str]:
    """Names of the operations with weights that predict: no other one reads what they give, directly or not."""
    read_by_weights: set[str] = set()
    for operation in reversed(model.get_ordered_ops()):
        readers = (target.get_node() for output in operation.outputs() for target in output.get_target_inputs())
        is_read = any(reader.get_friendly_name() in read_by_weights for reader in readers)
        has_weights = operation.get_type_name() in _WITH_WEIGHTS
        if is_read or has_weights:
            read_by_weights.add(operation.get_friendly_name())
        if has_weights and not is_read:
            yield operation.get_friendly_name()
