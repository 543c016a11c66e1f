"""Every detector gives the same detections before and after saving, from its export, and over gRPC."""

from __future__ import annotations

import io
import pathlib
from typing import NamedTuple

import grpc
import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.export.saved_model import export
from demo.glyphs import GLYPH_CLASSES, render_glyphs
from schema.label_map import LabelMap
from serving.server import ModelServer
from tests.tiny_detectors import TINY_DETECTORS

_SIDE_PIXELS = 128


class _Answer(NamedTuple):
    """Boxes [N, 4], scores [N] and 0-based classes [N] of an image."""

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]


def _fresh(name: str) -> Detector:
    """With class weights that spread the scores, for ties have no order, and settled batch statistics."""
    keras.utils.set_random_seed(1)
    options = {**TINY_DETECTORS[name], "batch_norm_momentum": 0.5}
    detector = build_detector(name, num_classes=len(GLYPH_CLASSES), image_size=(_SIDE_PIXELS, _SIDE_PIXELS), **options)
    variables = detector.zoo_variables()
    layers = {key.rpartition("/")[0] for key in detector.class_rows()}
    # A separable predictor's depthwise kernel, too, though it has no part for each class.
    for number, key in enumerate(sorted(key for key in variables if key.rpartition("/")[0] in layers)):
        variables[key].assign(keras.random.normal(variables[key].shape, stddev=0.2, seed=number))
    images = detector.preprocess(tf.constant([render_glyphs(n, _SIDE_PIXELS, seed=1).pixels for n in range(4)])).images
    pass_forward = tf.function(lambda: detector(images, training=True), autograph=False)
    for _ in range(8):
        pass_forward()
    return detector


def _detect(detector: Detector, pixels: npt.NDArray[np.uint8]) -> _Answer:
    found = detector.detect(detector.preprocess(tf.constant(pixels[np.newaxis])))
    count = int(found.counts[0])
    parts = (found.boxes_yxyx_normalized, found.scores, found.classes)
    return _Answer(*(part[0, :count].numpy() for part in parts))


def _ask(server: ModelServer, image_bytes: bytes) -> _Answer:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "detector"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([image_bytes]))
    with grpc.insecure_channel(f"localhost:{server.port}") as channel:
        outputs = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request).outputs
    values = {name: tf.make_ndarray(message)[0] for name, message in outputs.items()}
    count = int(values["num_detections"])
    boxes, scores, classes = (values[f"detection_{name}"][:count] for name in ("boxes", "scores", "classes"))
    return _Answer(boxes, scores, classes - 1)


def _assert_same(found: _Answer, expected: _Answer) -> None:
    """Equal, but for the order of rows that score the same and for those at the end, where such an order decides."""
    assert len(expected.scores) > 10
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    sure = expected.scores > expected.scores[-1] + 2e-4
    assert sure.any()
    rows, expected_rows = (np.column_stack([a.boxes, a.scores, a.classes]) for a in (found, expected))  # [N, 6]
    distances = np.abs(expected_rows[sure, np.newaxis] - rows[np.newaxis]).max(axis=-1)  # [sure, N]
    assert distances.min(axis=1).max() < 1e-3


@pytest.mark.parametrize("name", TINY_DETECTORS)
def test_saved_loaded_exported_and_served_it_detects_the_same(name: str, tmp_path: pathlib.Path) -> None:
    pixels = render_glyphs(0, _SIDE_PIXELS, seed=0).pixels
    detector = _fresh(name)
    expected = _detect(detector, pixels)

    detector.save(tmp_path / "detector.keras")
    _assert_same(_detect(keras.models.load_model(tmp_path / "detector.keras"), pixels), expected)

    export(str(tmp_path / "models" / "1"), detector, LabelMap.of_names(GLYPH_CLASSES), serving_batch_size=2)
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    server = ModelServer(tmp_path / "models", port=0, poll_seconds=3600)
    server.start()
    try:
        _assert_same(_ask(server, png.getvalue()), expected)
    finally:
        server.stop(grace_seconds=0)
