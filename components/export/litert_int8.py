"""Device models for LiteRT in 8-bit integers, by AI Edge Quantizer (post-training quantisation, op by op).

Weights have a scale a channel, activations one a tensor: all that any calibration image brings about is in its range.
(The quantiser's own way is a mean over images, moving along; it cuts off what only images with an object in the right
place bring about, and scores are lower for it: 0.03 AP of the demo's detector.) Inputs and outputs are float32, and so
are the last layers with weights, which predict, and what stands behind them: 8 bits of a box would be a pixel in 256,
and levels of a pyramid would have to share one scale of their predictions.
"""

from __future__ import annotations

import contextlib
import io
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from ai_edge_litert.tools import flatbuffer_utils
from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe_manager
from ai_edge_quantizer.utils import qsv_utils

from components.detector.layers.in_float import IN_FLOAT
from components.export.device_network import CanvasImage, DeviceNetwork
from components.export.litert import convert
from components.export.litert_metadata import with_metadata
from schema.device_model import DEVICE_FORMATS, DeviceMetadata

_WITH_WEIGHTS: Final = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL")
_STEPS: Final = 255
"""Of a range, in 8 bits."""
_LARGEST_WEIGHT: Final = 127
_FINEST: Final = 100
"""Steps of an output that one of the sums may have at most."""
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
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    operations = qtyping.TFLOperationName
    recipe = quantizer.Quantizer(content)
    recipe.add_static_config(".*", operations.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
    in_float = [
        (".*", operations.INPUT),
        (".*", operations.OUTPUT),
        *((scope, operations.ALL_SUPPORTED) for scope in (IN_FLOAT, *_at_the_end(model))),
    ]
    for scope, operation in in_float:
        recipe.update_quantization_recipe(scope, operation, algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE)
    # It draws bars and prints sizes.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        chosen = recipe_manager.RecipeManager()
        chosen.load_quantization_recipe(recipe.get_quantization_recipe())
        ranges = calibrator.Calibrator(content, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
        ranges.calibrate({_SIGNATURE: inputs}, chosen)
        calibrated = ranges.get_model_qsvs()
        _widen_ranges(calibrated, model)
        quantized = recipe.quantize(calibrated).quantized_model
    assert quantized is not None
    return bytes(quantized)


def _at_the_end(model: Any) -> Iterator[str]:
    """Patterns of the outputs of operations whose results no operation with weights reads, directly or not."""
    [graph] = model.subgraphs
    read_by_weights: set[int] = set()
    # Operations are in an order in which they can run.
    for operation in reversed(graph.operators):
        outputs = list(operation.outputs)
        is_read = bool(read_by_weights.intersection(outputs))
        if is_read or flatbuffer_utils.opcode_to_name(model, operation.opcodeIndex) in _WITH_WEIGHTS:
            read_by_weights.update(operation.inputs)
        if not is_read:
            # A scope is the names of all outputs, each with a semicolon behind.
            yield from (f"(^|;){re.escape(graph.tensors[output].name.decode())};" for output in outputs)


def _widen_ranges(calibrated: dict[str, Any], model: Any) -> None:
    """Lets no layer's output have finer steps than its integer sums.

    They would say nothing, and from 256 to one on LiteRT's XNNPACK cannot multiply: it does not refuse such a network
    but ends the process. It happens: a layer that weight decay has brought to nothing.

    Args:
      calibrated: ``min`` and ``max`` by tensor; changed.
      model: the float flatbuffer.
    """
    [graph] = model.subgraphs
    for operation in graph.operators:
        if flatbuffer_utils.opcode_to_name(model, operation.opcodeIndex) not in _WITH_WEIGHTS:
            continue
        source, kernel, output = (graph.tensors[n] for n in (*operation.inputs[:2], operation.outputs[0]))
        weights = model.buffers[kernel.buffer].data
        names = [tensor.name.decode() for tensor in (source, output)]
        if weights is None or not calibrated.keys() >= set(names):
            continue
        largest = np.abs(np.asarray(weights, np.uint8).view(np.float32)).max()
        low, high = (float(calibrated[names[0]][side].min()) for side in ("min", "max"))
        sum_step = (max(high, 0.0) - min(low, 0.0)) / _STEPS * largest / _LARGEST_WEIGHT
        of_output = calibrated[names[1]]
        least = _STEPS * sum_step / _FINEST
        of_output["max"] = np.maximum(of_output["max"], of_output["min"] + least).astype(np.float32)
