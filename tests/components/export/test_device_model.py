"""Every format of every kind of detector: what its runtime computes, and what it says of itself."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import subprocess
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.export.device_model import metadata_of, write_device_model
from components.export.device_network import CanvasImage
from demo.glyphs import GLYPH_CLASSES, render_glyphs
from demo.pretrain import CHECKPOINT, DETECTOR_OPTIONS
from schema.device_model import BOXES, DEVICE_FORMATS, IMAGES, SCORES, VALID_SHARE, DeviceMetadata
from schema.label_map import LabelMap
from serving.devices.suppression import Found, suppress
from tests.components.export.device_runtimes import OPEN, Arrays, Opened
from tests.made_operating_points import made_operating_points
from tests.tiny_detectors import TINY_DETECTORS

_SIDE = 128
_NAMES = ["über & 'unter'", "<b>", "c", "d"]
_LABELS = LabelMap.of_names(_NAMES)
_SMALLER: dict[str, dict[str, Any]] = {
    "dfine_nano": {"decoder_layers": 1, "num_queries": 20},
    "efficientdet_d0": {"bifpn_iterations": 1},
}
_PADDED = ("efficientdet_d0", "faster_rcnn_resnet50")
"""Seen with an image that does not fill the canvas."""


@functools.cache
def _small(name: str) -> Detector:
    """With scores that differ, and batch statistics of images."""
    keras.utils.set_random_seed(1)
    options = {**TINY_DETECTORS[name], **_SMALLER.get(name, {}), "batch_norm_momentum": 0.3}
    detector = build_detector(name, num_classes=len(_NAMES), image_size=(_SIDE, _SIDE), **options)
    images = detector.preprocess(tf.constant([render_glyphs(n, _SIDE, seed=1).pixels for n in range(2)])).images
    for _ in range(3):
        detector(images, training=True)
    variables = detector.zoo_variables()
    for number, key in enumerate(sorted(detector.class_rows())):
        stddev = 0.03 if name.startswith("retinanet") else 0.2
        variables[key].assign(keras.random.normal(variables[key].shape, stddev=stddev, seed=number))
    return detector


@functools.cache
def _trained() -> Detector:
    """The demo's checkpoint, of drawn glyphs."""
    detector = build_detector(
        "ssd_mobilenet_v2_fpnlite", num_classes=len(GLYPH_CLASSES), image_size=(160, 160), **DETECTOR_OPTIONS
    )
    detector.load_weights(CHECKPOINT)
    return detector


def _canvas(detector: Detector, number: int, seed: int = 2, rows: int | None = None) -> CanvasImage:
    pixels, share = detector.resize(tf.constant(render_glyphs(number, detector.image_size[0], seed=seed).pixels[:rows]))
    return CanvasImage(pixels.numpy(), share.numpy())


def _feed(detector: Detector, image: CanvasImage) -> Arrays:
    shares = {VALID_SHARE: image.valid_height_width[np.newaxis]} if detector.reads_valid_share else {}
    return {IMAGES: image.pixels[np.newaxis], **shares}


def _expected(detector: Detector, image: CanvasImage) -> Arrays:
    images, shares = (tf.constant(part[np.newaxis]) for part in image)
    features = detector.features(detector.normalize(images), training=False)
    boxes, scores = detector.scored_boxes(detector.head_predictions(features, shares))
    return {BOXES: boxes.numpy(), SCORES: scores.numpy()}


def _write(
    folder: pathlib.Path, format_name: str, detector: Detector, calibration: int | Sequence[CanvasImage] = 0
) -> Opened:
    labels = _LABELS if detector.num_classes == len(_NAMES) else LabelMap.of_names(GLYPH_CLASSES)
    metadata = metadata_of(detector, labels, made_operating_points(labels))
    if isinstance(calibration, int):
        calibration = [_canvas(detector, number, seed=3) for number in range(calibration)]
    write_device_model(str(folder), format_name, detector, metadata, calibration)
    one = DEVICE_FORMATS[format_name]
    assert {file.name for file in folder.iterdir()} == {one.file, *one.beside}
    opened = OPEN[one.runtime](folder)
    assert DeviceMetadata.of_json(opened.metadata) == metadata
    if one.runtime == "litert":
        shown = subprocess.run(["unzip", "-p", str(folder / one.file), "labels.txt"], capture_output=True, check=True)
        assert shown.stdout.decode() == labels.to_labels_txt()
    return opened


_EACH = {
    "litert": (
        "ssd_mobilenet_v2_fpnlite",
        "efficientdet_d0",
        "faster_rcnn_resnet50",
        "retinanet_dinov3_vit_small",
        "dfine_nano",
    ),
    "litert_float16": ("ssd_mobilenet_v2",),
    "onnx": ("faster_rcnn_inception_resnet_v2", "retinanet_dinov3_vit_small", "dfine_nano"),
    "openvino": ("faster_rcnn_resnet50", "retinanet_resnet50_fpn", "dfine_nano"),
}
"""Every family once, and in each format those whose operations are a matter of the format."""


@pytest.mark.parametrize(
    ("format_name", "name"),
    [pytest.param(one, name, id=f"{one}-{name}") for one, names in _EACH.items() for name in names],
)
def test_a_runtime_computes_what_the_detector_does(format_name: str, name: str, tmp_path: pathlib.Path) -> None:
    detector = _small(name)
    opened = _write(tmp_path / "model", format_name, detector)
    image = _canvas(detector, 2, rows=70 if name in _PADDED else None)
    expected, found = _expected(detector, image), opened.run(_feed(detector, image))
    shares = {VALID_SHARE: ((1, 2), "float32")} if name == "faster_rcnn_resnet50" else {}
    assert opened.inputs == {IMAGES: ((1, _SIDE, _SIDE, 3), "float32"), **shares}
    assert opened.outputs == dict.fromkeys(expected, "float32")
    for output, values in expected.items():
        assert (found[output].shape, found[output].dtype) == (values.shape, np.float32)
    assert np.ptp(expected[SCORES]) > 0.05
    # 11 bits of each weight.
    tolerance = 0.02 if format_name == "litert_float16" else 1e-3
    # Two proposals that score the same but for rounding may change places.
    most = 0.95 if name.startswith("faster_rcnn") else 1.0
    assert np.mean(_nearest(_rows(expected), _rows(found)) < tolerance) >= most
    if name != "faster_rcnn_inception_resnet_v2":
        np.testing.assert_allclose(_rows(found), _rows(expected), atol=tolerance)


def _rows(outputs: Arrays) -> NDArray[np.float32]:
    """float32 [N, 4 Q + C]."""
    boxes, scores = outputs[BOXES][0], outputs[SCORES][0]
    return np.concatenate([boxes.reshape(len(boxes), -1), scores], axis=1)


def _nearest(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far the nearest of the others is from each row, in its worst number: float32 [N]."""
    return np.array([np.abs(others - row).max(axis=1).min() for row in rows])


def test_the_share_of_the_canvas_that_is_image_bounds_proposals(tmp_path: pathlib.Path) -> None:
    detector = _small("faster_rcnn_resnet50")
    opened = _write(tmp_path / "model", "onnx", detector)
    image = _canvas(detector, 2)
    half = image._replace(valid_height_width=np.array([0.5, 1.0], np.float32))
    whole, found = (opened.run(_feed(detector, one)) for one in (image, half))
    assert np.abs(whole[BOXES] - found[BOXES]).max() > 0.1
    assert np.mean(_nearest(_rows(_expected(detector, half)), _rows(found)) < 1e-3) >= 0.95


def _detections(detector: Detector, outputs: Arrays, lowest: float) -> Found:
    settings = dataclasses.asdict(detector.suppression) | {"score_threshold": lowest}
    window = np.array([0.0, 0.0, 1.0, 1.0], np.float32)
    return suppress(outputs[BOXES][0], outputs[SCORES][0], **settings, window_yxyx=window)


@pytest.mark.parametrize("format_name", [one.name for one in DEVICE_FORMATS.values() if one.is_quantized])
def test_eight_bits_find_what_a_trained_detector_finds(format_name: str, tmp_path: pathlib.Path) -> None:
    detector = _trained()
    opened = _write(tmp_path / "int8", format_name, detector, calibration=16)
    # The graph of OpenVINO is text.
    size = sum(file.stat().st_size for file in (tmp_path / "int8").iterdir() if file.suffix != ".xml")
    assert size < 0.6 * 4 * detector.count_params()
    found_again = objects = 0
    for number in range(16):
        image = _canvas(detector, number, seed=4)
        expected, found = _expected(detector, image), opened.run(_feed(detector, image))
        assert found[SCORES].dtype == found[BOXES].dtype == np.float32
        assert np.corrcoef(expected[SCORES].ravel(), found[SCORES].ravel())[0, 1] > 0.97
        # Rounded to 8 bits they would have 256 values.
        assert len(np.unique(found[BOXES])) > 1000
        for box, score, number_of_class in zip(*_detections(detector, expected, 0.4), strict=True):
            objects += 1
            others = _detections(detector, found, 0.2)
            is_same = (others.classes == number_of_class) & (np.abs(others.scores - score) < 0.2)
            is_same &= np.abs(others.boxes_yxyx_normalized - box).max(axis=1, initial=0.0) < 0.05
            found_again += bool(is_same.any())
    assert objects > 8
    assert found_again >= 0.9 * objects


@pytest.mark.parametrize("format_name", [one.name for one in DEVICE_FORMATS.values() if one.is_quantized])
def test_what_one_calibration_image_alone_brings_about_is_in_range(format_name: str, tmp_path: pathlib.Path) -> None:
    detector = _trained()
    image = _canvas(detector, 3, seed=3)
    blank = CanvasImage(np.full_like(image.pixels, 127.5), image.valid_height_width)
    opened = _write(tmp_path / "model", format_name, detector, [*[blank] * 7, image, *[blank] * 8])
    expected, found = _expected(detector, image), opened.run(_feed(detector, image))
    seen = expected[SCORES] > 0.4
    assert seen.any()
    assert np.abs(found[SCORES] - expected[SCORES])[seen].max() < 0.1


def test_eight_bits_of_litert_are_scaled_by_channel_and_leave_boxes_and_scores_alone(tmp_path: pathlib.Path) -> None:
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    _write(tmp_path / "model", "litert_int8", _small("faster_rcnn_resnet50"), calibration=4)
    content = (tmp_path / "model" / "detector.tflite").read_bytes()
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    [graph] = model.subgraphs
    kernels = []
    for operation in graph.operators:
        name = flatbuffer_utils.opcode_to_name(model, operation.opcodeIndex)
        if name in ("CONV_2D", "FULLY_CONNECTED"):
            kernels.append(graph.tensors[operation.inputs[1]])
        if name in ("EXP", "SOFTMAX", "NON_MAX_SUPPRESSION_V4", "FLOOR"):
            assert {graph.tensors[n].type for n in operation.inputs[:1]} == {schema.TensorType.FLOAT32}
    quantized = [kernel for kernel in kernels if kernel.type == schema.TensorType.INT8]
    # A head may be one operation with what stays in float behind it.
    assert len(quantized) > max(10, 0.8 * len(kernels))
    assert all(len(kernel.quantization.scale) == kernel.shape[0] for kernel in quantized)


def test_eight_bits_of_openvino_leave_boxes_and_scores_alone(tmp_path: pathlib.Path) -> None:
    from schema.openvino_import import import_openvino

    _write(tmp_path / "model", "openvino_int8", _small("faster_rcnn_resnet50"), calibration=4)
    model = import_openvino().Core().read_model(tmp_path / "model" / "detector.xml")
    quantized = [node for node in model.get_ordered_ops() if node.get_type_name() == "FakeQuantize"]
    assert len(quantized) > 10
    read_by = [target.get_node() for node in quantized for target in node.output(0).get_target_inputs()]
    assert not [node.get_friendly_name() for node in read_by if "in_float" in node.get_friendly_name()]


def test_metadata_says_how_a_detector_sees_and_what_becomes_of_its_boxes() -> None:
    detector = _small("efficientdet_d0")
    metadata = metadata_of(detector, LabelMap((2, 4), ("two", "four")), None)
    assert metadata.class_ids == (1, 2, 3, 4)
    assert metadata.class_names == ("", "two", "", "four")
    assert metadata.thresholds is None
    assert metadata.resizing == detector.resizing
    assert metadata.resizing.padding_rgb == pytest.approx((123.675, 116.28, 103.53))
    assert metadata.suppression == detector.suppression
    assert not metadata.takes_valid_share
    assert metadata_of(_small("faster_rcnn_resnet50"), _LABELS).takes_valid_share
    # Stretched images fill the canvas.
    assert not metadata_of(_small("faster_rcnn_inception_resnet_v2"), _LABELS).takes_valid_share
    with pytest.raises(ValueError, match="efficientdet_d0 detects 4 classes, the label map has 3"):
        metadata_of(detector, LabelMap.of_names(["a", "b", "c"]))


def test_refuses_before_it_converts(tmp_path: pathlib.Path) -> None:
    detector = _small("ssd_mobilenet_v2_fpnlite")
    metadata = metadata_of(detector, _LABELS)
    with pytest.raises(ValueError, match="litert_int8 needs images to calibrate on, found none"):
        write_device_model(str(tmp_path / "model"), "litert_int8", detector, metadata)
    with pytest.raises(ValueError, match="no format of device models is called 'tflite'"):
        write_device_model(str(tmp_path / "model"), "tflite", detector, metadata)
    assert not list(tmp_path.iterdir())
