"""Every detector detects the same before and after saving, from its export in either loader, and over gRPC."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

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
from schema import features
from schema.label_map import LabelMap
from serving.clients.connection import Connection
from serving.contract.contract_check import check_contract
from serving.contract.loaders import PythonLoader
from serving.contract.options import ContractOptions
from serving.model_server import ModelServer, ServerSettings
from serving.models.cpp_session import CppSession
from serving.models.models_config import ModelConfig
from tests.made_operating_points import made_operating_points
from tests.tiny_detectors import TINY_DETECTORS

_SIDE_PIXELS = 128
_PICTURE = render_glyphs(2, _SIDE_PIXELS, seed=2).pixels
"""In which every one of the detectors below has rows that score apart."""


_STDDEVS = {"retinanet_resnet50_fpn": 0.03, "retinanet_dinov3_vit_small": 0.03}
"""Of random class weights: more would saturate all scores where each logit is made of 2304 values."""


class _Answer(NamedTuple):
    """Boxes [N, 4], scores [N] and 0-based classes [N] of an image."""

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]


def _fresh(name: str, class_head: str) -> Detector:
    """With class weights that spread the scores, for ties have no order, and settled batch statistics."""
    keras.utils.set_random_seed(1)
    # With the default scale, logits of weights this random score all but 1.
    head = {"class_head": class_head, "cosine_scale": 5.0}
    options = {**TINY_DETECTORS[name], "batch_norm_momentum": 0.5, **head}
    detector = build_detector(name, num_classes=len(GLYPH_CLASSES), image_size=(_SIDE_PIXELS, _SIDE_PIXELS), **options)
    variables = detector.zoo_variables()
    layers = {key.rpartition("/")[0] for key in detector.class_rows()}
    # A separable predictor's depthwise kernel, too, though it has no part for each class.
    for number, key in enumerate(sorted(key for key in variables if key.rpartition("/")[0] in layers)):
        stddev = _STDDEVS.get(name, 0.2)
        variables[key].assign(keras.random.normal(variables[key].shape, stddev=stddev, seed=number))
    images = detector.preprocess(tf.constant([render_glyphs(n, _SIDE_PIXELS, seed=1).pixels for n in range(4)])).images
    pass_forward = tf.function(lambda: detector(images, training=True), autograph=False)
    for _ in range(8):
        pass_forward()
    return detector


def _detect(detector: Detector, pixels: npt.NDArray[np.uint8]) -> list[_Answer]:
    found = detector.detect(detector.preprocess(tf.constant(pixels[np.newaxis])))
    count = int(found.counts[0])
    parts = (found.boxes_yxyx_normalized, found.scores, found.classes)
    return [_Answer(*(part[0, :count].numpy() for part in parts))]


def _ask(server: ModelServer, image_bytes: bytes) -> list[_Answer]:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "detector"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([image_bytes]))
    with grpc.insecure_channel(f"localhost:{server.port}") as channel:
        outputs = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request).outputs
    return _answers({name: tf.make_ndarray(message) for name, message in outputs.items()})


def _answers(outputs: Mapping[str, npt.NDArray[Any]]) -> list[_Answer]:
    """Outputs of any signature -> answers by image."""
    if "detections" in outputs:
        real = [rows[rows[:, 4] > 0] for rows in outputs["detections"]]
        return [_Answer(rows[:, :4], rows[:, 5], rows[:, 4].astype(np.int64) - 1) for rows in real]
    answers = []
    for image, count in enumerate(outputs["num_detections"]):
        boxes, scores, classes, names = (
            outputs[f"detection_{part}"][image, :count] for part in ("boxes", "scores", "classes", "class_names")
        )
        assert [name.decode() for name in names] == [GLYPH_CLASSES[class_id - 1] for class_id in classes]
        answers.append(_Answer(boxes, scores, classes - 1))
    return answers


def _assert_same(found: Sequence[_Answer], expected: Sequence[_Answer], tolerance: float = 1e-4) -> None:
    """Equal, but for the order of rows that score the same and for those at the end, where such an order decides.

    Scores may differ by the tolerance, boxes by ten times as much.
    """
    rows_compared = 0
    for ours, theirs in zip(found, expected, strict=True):
        assert len(theirs.scores) > 10
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=tolerance)
        sure = theirs.scores > theirs.scores[-1] + 2 * tolerance
        rows, sure_rows = (np.column_stack([a.boxes, a.scores, a.classes]) for a in (ours, theirs))  # [N, 6]
        distances = np.abs(sure_rows[sure, np.newaxis] - rows[np.newaxis]).max(axis=-1)  # [sure, N]
        assert (distances.min(axis=1) < 10 * tolerance).all()
        rows_compared += sure.sum()
    assert rows_compared or not expected


class _Served(NamedTuple):
    """A detector, its export and a server that has loaded it."""

    detector: Detector
    export: pathlib.Path
    server: ModelServer


_BY_COSINES = ("ssd_mobilenet_v2", "ssd_mobilenet_v2_fpnlite", "faster_rcnn_resnet50")
"""One for each layer that scores by cosines."""


@pytest.fixture(
    scope="module",
    params=[*((name, "linear") for name in TINY_DETECTORS), *((name, "cosine") for name in _BY_COSINES)],
    ids="-".join,
)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Served]:
    detector, models = _fresh(*request.param), tmp_path_factory.mktemp("models")
    labels = LabelMap.of_names(GLYPH_CLASSES)
    points = made_operating_points(labels)
    export(str(models / "1"), detector, labels, serving_batch_size=2, operating_points=points)
    server = ModelServer([ModelConfig("detector", models)], ServerSettings(port=0, poll_seconds=3600))
    server.start()
    yield _Served(detector, models / "1", server)
    server.stop(grace_seconds=0)


def _encoded(pixels: npt.NDArray[np.uint8], image_format: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, image_format, quality=95)
    return file.getvalue()


def _record(encoded: bytes) -> bytes:
    example = tf.train.Example()
    example.features.feature[features.IMAGE_ENCODED].bytes_list.value.append(encoded)
    return bytes(example.SerializeToString())


def test_saved_loaded_exported_and_served_it_detects_the_same(served: _Served, tmp_path: pathlib.Path) -> None:
    expected = _detect(served.detector, _PICTURE)
    served.detector.save(tmp_path / "detector.keras")
    _assert_same(_detect(keras.models.load_model(tmp_path / "detector.keras"), _PICTURE), expected)
    _assert_same(_ask(served.server, _encoded(_PICTURE, "PNG")), expected)


def test_the_export_keeps_its_contract_in_both_loaders_and_on_the_server(
    served: _Served, tmp_path: pathlib.Path
) -> None:
    pictures = [tmp_path / f"{number}.png" for number in range(2)]
    for number, file in enumerate(pictures):
        Image.fromarray(render_glyphs(2, _SIDE_PIXELS, seed=2 + number).pixels).save(file)
    options = ContractOptions(
        tuple(pictures), (96, 128, 200), latency_runs=0, server=Connection(f"localhost:{served.server.port}")
    )
    report = check_contract(served.export, options)
    assert report.passed, [check.line for check in report.failures]
    (thresholds,) = (check.found for check in report.checks if check.name == "thresholds")
    assert thresholds.endswith(f"detections have those of {len(GLYPH_CLASSES)} classes")


def test_every_signature_answers_in_the_loader_of_tf_serving(served: _Served) -> None:
    """What Python's loader answers: to an image alone, to a batch, and to no image at all."""
    pictures = (_PICTURE, _PICTURE[:, ::-1], _PICTURE.transpose(1, 0, 2))
    larger = pictures[2].repeat(2, axis=0).repeat(2, axis=1)
    files = [_encoded(pictures[0], "PNG"), _encoded(pictures[1], "JPEG"), _encoded(larger, "PNG")]
    inputs = {
        "serving_default": ("image_bytes", np.array(files, object)),
        "serving_tolerant": ("image_bytes", np.array(files, object)),
        "serving_tensor": ("images", np.stack(pictures)),
        "evaluate": ("examples", np.array([_record(file) for file in files], object)),
    }
    by_python = PythonLoader(served.export)
    with CppSession(served.export) as by_cpp:
        assert set(by_cpp.signature_defs) == set(inputs)
        for signature, (alias, values) in inputs.items():
            for batch in (values[:0], values[:1], values):
                found = by_cpp.run(signature, {alias: batch})
                expected = by_python.run(signature, {alias: batch})
                assert {name: (array.dtype, array.shape) for name, array in found.items()} == {
                    name: (array.dtype, array.shape) for name, array in expected.items()
                }
                assert {len(array) for array in found.values()} == {len(batch)}
                _assert_same(_answers(found), _answers(expected), tolerance=1e-5)
