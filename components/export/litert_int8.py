"""Device models for LiteRT in 8-bit integers, by AI Edge Quantizer (post-training quantisation, op by op).

Weights have a scale a channel, activations one a tensor, chosen by what calibration images bring about. Inputs and
outputs are float32, and so is what stands behind the last layers with weights: 8 bits of a box would be a pixel in 256,
and levels of a pyramid would have to share one scale of their predictions.
"""

from __future__ import annotations

import contextlib
import io
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ai_edge_litert.tools import flatbuffer_utils
from ai_edge_quantizer import qtyping, quantizer

from components.detector.layers.in_float import IN_FLOAT
from components.export.device_network import CanvasImage, DeviceNetwork
from components.export.litert import convert
from components.export.litert_metadata import with_metadata
from schema.device_model import DEVICE_FORMATS, DeviceMetadata

_WITH_WEIGHTS: Final = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL")
_SIGNATURE: Final = "serving_default"
"""What TensorFlow calls the signature of a converted function."""


def write(
    folder: pathlib.Path, network: DeviceNetwork, metadata: DeviceMetadata, calibration: Sequence[CanvasImage]
) -> None:
    """Writes ``litert_int8``; see ``device_formats.DeviceWriter``."""
    content = quantize(convert(network), [network.feed(image) for image in calibration])
    (folder / DEVICE_FORMATS["litert_int8"].file).write_bytes(with_metadata(content, metadata))


def quantize(content: bytes, inputs: Sequence[dict[str, Any]]) -> bytes:
    """A float flatbuffer in 8-bit integers.

    Args:
      content: the flatbuffer.
      inputs: to calibrate on.
    """
    operations = qtyping.TFLOperationName
    recipe = quantizer.Quantizer(content)
    recipe.add_static_config(".*", operations.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
    in_float = [
        (".*", operations.INPUT),
        (".*", operations.OUTPUT),
        *((scope, operations.ALL_SUPPORTED) for scope in (IN_FLOAT, *_behind_weights(content))),
    ]
    for scope, operation in in_float:
        recipe.update_quantization_recipe(scope, operation, algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE)
    # It draws bars and prints sizes.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        calibrated = recipe.calibrate({_SIGNATURE: inputs}, num_threads=1)
        quantized = recipe.quantize(calibrated).quantized_model
    assert quantized is not None
    return bytes(quantized)


def _behind_weights(content: bytes) -> Iterator[str]:
    """Patterns of the outputs of operations whose results no operation with weights reads, directly or not."""
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    [graph] = model.subgraphs
    read_by_weights: set[int] = set()
    # Operations are in an order in which they can run.
    for operation in reversed(graph.operators):
        outputs = list(operation.outputs)
        has_weights = flatbuffer_utils.opcode_to_name(model, operation.opcodeIndex) in _WITH_WEIGHTS
        if has_weights or read_by_weights.intersection(outputs):
            read_by_weights.update(operation.inputs)
        else:
            # A scope is the names of all outputs, each with a semicolon behind.
            yield from (f"(^|;){re.escape(graph.tensors[output].name.decode())};" for output in outputs)
