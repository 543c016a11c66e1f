"""Device models in ONNX, for ONNX Runtime and whatever else reads it."""

from __future__ import annotations

import contextlib
import logging
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import onnx
import tf2onnx
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from components.export.device_network import CanvasImage, DeviceNetwork
from schema.device_model import BOXES, DEVICE_FORMATS, METADATA_KEY, SCORES, DeviceMetadata

_OPSET: Final = 17
"""Of the operators: ONNX Runtime 1.12 (2022) and later read it."""


def write(
    folder: pathlib.Path, network: DeviceNetwork, metadata: DeviceMetadata, calibration: Sequence[CanvasImage]
) -> None:
    """Writes ``onnx``; see ``device_formats.DeviceWriter``."""
    del calibration
    frozen = convert_variables_to_constants_v2(network.concrete)
    # In the order of a dictionary's sorted keys.
    names = dict(zip((one.name for one in frozen.outputs), (BOXES, SCORES), strict=True))
    names |= {one.name: specification.name for one, specification in zip(frozen.inputs, network.signature, strict=True)}
    with _without_tracebacks():
        # Of a graph and not of a function, whose captured constants tf2onnx would make inputs.
        model, _ = tf2onnx.convert.from_graph_def(
            frozen.graph.as_graph_def(),
            name="detector",
            input_names=[one.name for one in frozen.inputs],
            output_names=[one.name for one in frozen.outputs],
            tensors_to_rename=names,
            opset=_OPSET,
            custom_op_handlers={"Erfc": (_complementary_error_function, [])},
        )
    # tf2onnx leaves what it does not know as it is.
    onnx.checker.check_model(model)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, metadata.to_json()
    (folder / DEVICE_FORMATS["onnx"].file).write_bytes(model.SerializeToString(deterministic=True))


def _complementary_error_function(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """1 - erf: ONNX has no operator for it, and tf2onnx does not say it so."""
    del name, arguments
    node.type = "Erf"
    one = graph.make_const(f"{node.name}_one", np.array(1.0, np.float32))
    graph.insert_new_node_on_output(
        "Sub", node.output[0], f"{node.name}_complement", inputs=[one.output[0], node.output[0]]
    )


@contextlib.contextmanager
def _without_tracebacks() -> Iterator[None]:
    """tf2onnx tells of every optimisation that does not suit a graph, with its traceback, and goes on without it."""
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
