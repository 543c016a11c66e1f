"""Tiny device models of every runtime, which compute the same: scores follow the image's mean brightness."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Final

import flatbuffers
import numpy as np
import onnx
import tensorflow as tf
from ai_edge_litert import schema_py_generated as litert_schema
from onnx import TensorProto, helper, numpy_helper

from schema.device_model import METADATA_KEY, DeviceMetadata, Resizing, Suppression
from schema.openvino_import import import_openvino

METADATA: Final = DeviceMetadata(
    detector="tiny",
    class_ids=(1, 3),
    class_names=("stop", "Vorfahrt gewähren"),
    thresholds=(0.3, 0.6),
    resizing=Resizing(8, 12, None, None, False),
    suppression=Suppression(score_threshold=0.02, iou_threshold=0.5, max_per_class=4, max_total=5),
)
SHARE_METADATA: Final = dataclasses.replace(
    METADATA,
    resizing=Resizing(16, 16, 8, 16, True, (9.0, 9.0, 9.0)),
    thresholds=None,
    takes_valid_share=True,
)
"""Of a detector of two stages, whose boxes lie on the part of the canvas that is image."""

BOXES: Final = np.float32([[[0.25, 0.5, 0.75, 1.0]], [[0.25, 0.5, 0.75, 0.9]], [[-0.1, 0.0, 0.5, 0.25]]])  # [N, 1, 4]
SLOPES: Final = np.float32([[1.0, 0.0], [0.9, 0.0], [0.0, -1.0]])  # [N, C]
OFFSETS: Final = np.float32([[0.0, 0.01], [0.0, 0.01], [0.01, 1.0]])  # [N, C]
"""Scores are offset + slope * brightness: of class 0 in a bright image, twice on one object, of class 1 in a dark."""


def write(runtime: str, folder: pathlib.Path, metadata: DeviceMetadata | None = METADATA) -> pathlib.Path:
    """Writes the model of a runtime into a folder; without metadata it is as METADATA says.

    Returns:
      Its file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return {"litert": _write_litert, "onnx": _write_onnx, "openvino": _write_openvino}[runtime](folder, metadata)


def _canvas(metadata: DeviceMetadata | None) -> tuple[int, int, int, int]:
    resizing = (metadata or METADATA).resizing
    return 1, resizing.height_pixels, resizing.width_pixels, 3


def _write_onnx(folder: pathlib.Path, metadata: DeviceMetadata | None) -> pathlib.Path:
    constants = {"all_boxes": BOXES[np.newaxis], "slopes": SLOPES, "offsets": OFFSETS[np.newaxis], "most": 255.0}
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "most"], ["brightness"]),
        helper.make_node("Mul", ["brightness", "slopes"], ["sloped"]),
        helper.make_node("Add", ["sloped", "offsets"], ["scores"]),
    ]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, _canvas(metadata))]
    if metadata and metadata.takes_valid_share:
        inputs.append(helper.make_tensor_value_info("valid_height_width", TensorProto.FLOAT, (1, 2)))
        nodes += [
            helper.make_node("Concat", ["valid_height_width", "valid_height_width"], ["shares"], axis=1),
            helper.make_node("Mul", ["all_boxes", "shares"], ["boxes"]),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["all_boxes"], ["boxes"]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        inputs,
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, (1, *BOXES.shape)),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, *SLOPES.shape)),
        ],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata:
        helper.set_model_props(model, {METADATA_KEY: metadata.to_json()})
    path = folder / "detector.onnx"
    onnx.save(model, path)
    return path


def _write_openvino(folder: pathlib.Path, metadata: DeviceMetadata | None) -> pathlib.Path:
    openvino = import_openvino()
    ops = openvino.opset13
    images = ops.parameter(_canvas(metadata), np.float32, name="images")
    images.output(0).set_names({"images"})
    brightness = ops.divide(ops.reduce_mean(images, np.int64([0, 1, 2, 3]), keep_dims=False), np.float32(255.0))
    scores = ops.add(ops.multiply(brightness, SLOPES[np.newaxis]), OFFSETS[np.newaxis])
    scores.output(0).set_names({"scores"})
    # Of an input, since a constant would be all that the output is.
    boxes = ops.add(ops.multiply(brightness, np.float32(0.0)), BOXES[np.newaxis])
    boxes.output(0).set_names({"boxes"})
    model = openvino.Model([scores, boxes], [images], "tiny")
    if metadata:
        model.set_rt_info(metadata.to_json(), [METADATA_KEY])
    path = folder / "detector.xml"
    openvino.save_model(model, path, compress_to_fp16=False)
    return path


def _write_litert(folder: pathlib.Path, metadata: DeviceMetadata | None) -> pathlib.Path:
    class Tiny(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec(_canvas(metadata), tf.float32, name="images")])
        def run(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
            brightness = tf.reduce_mean(images) / 255.0
            return {
                "boxes": tf.constant(BOXES[np.newaxis]) + 0.0 * brightness,
                "scores": (OFFSETS + SLOPES * brightness)[tf.newaxis],
            }

    module = Tiny()
    content = tf.lite.TFLiteConverter.from_concrete_functions([module.run.get_concrete_function()], module).convert()
    model = litert_schema.ModelT.InitFromPackedBuf(content, 0)
    if metadata:
        model.buffers.append(litert_schema.BufferT(data=list(metadata.to_json().encode())))
        entry = litert_schema.MetadataT(name=METADATA_KEY, buffer=len(model.buffers) - 1)
        model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    path = folder / "detector.tflite"
    path.write_bytes(bytes(builder.Output()))
    return path
