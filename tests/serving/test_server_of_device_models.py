"""Device models on the embedded server: the same wire, signatures and outputs as a SavedModel's."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

from serving import server as server_module
from serving.clients.detector_client import DetectorClient
from serving.clients.errors import ImageRefusedError
from serving.devices.device_detector import DeviceDetector
from serving.model_server import ModelServer, ServerSettings
from serving.models.models_config import ModelConfig
from serving.protocol.detections import detections_of_image
from serving.wire.rest import RestSettings
from tests.serving.devices.tiny_device_models import SHARE_METADATA, write
from tests.serving.tiny_detector import jpeg, predict_request

RUNTIMES = ("litert", "onnx", "openvino")
CUT_OFF = jpeg(width=400, height=400)[:-500]
"""Its header is whole: only whoever decodes it sees."""


def _start(base_path: pathlib.Path, runtime: str) -> ModelServer:
    settings = ServerSettings(port=0, poll_seconds=3600, rest=RestSettings(0), runtime=runtime)
    running = ModelServer([ModelConfig("detector", base_path)], settings)
    running.start()
    return running


@pytest.fixture(scope="module", params=RUNTIMES)
def running(request: pytest.FixtureRequest, device_models: dict[str, pathlib.Path]) -> Iterator[ModelServer]:
    started = _start(device_models[request.param].parents[1], request.param)
    yield started
    started.stop(grace_seconds=0)


@pytest.fixture(scope="module")
def onnx_server(device_models: dict[str, pathlib.Path]) -> Iterator[ModelServer]:
    started = _start(device_models["onnx"].parents[1], "onnx")
    yield started
    started.stop(grace_seconds=0)


def _predict(server: ModelServer, request: predict_pb2.PredictRequest) -> dict[str, np.ndarray]:
    with grpc.insecure_channel(f"localhost:{server.port}") as channel:
        response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request)
    return {alias: tf.make_ndarray(tensor) for alias, tensor in response.outputs.items()}


def test_a_client_gets_what_the_model_finds(running: ModelServer, device_models: dict[str, pathlib.Path]) -> None:
    images = [jpeg(204, 80, 40), jpeg(51), *[jpeg(value) for value in range(0, 250, 25)]]
    detector = DeviceDetector.open(device_models["onnx"])
    expected = [
        [(one.class_name, one.class_id, one.threshold) for one in found] for found in detector.detect(images)[0]
    ]
    for address in (f"localhost:{running.port}", f"http://localhost:{running.rest_port}"):
        with DetectorClient(address) as client:
            answers, version = client.detect(images)
        assert version == 7
        found = [[(one.class_name, one.class_id, pytest.approx(one.threshold)) for one in each] for each in answers]
        assert found == expected
        assert answers[0][0].score == pytest.approx(0.8, abs=1e-5)
        assert answers[0][0].box_yxyx_normalized == pytest.approx((0.25, 0.5, 0.75, 1.0))


def test_an_image_that_does_not_decode_fails_its_request(onnx_server: ModelServer) -> None:
    with (
        DetectorClient(f"localhost:{onnx_server.port}") as client,
        pytest.raises(ImageRefusedError, match="no readable JPEG, PNG, GIF or BMP image at index 1 of a batch of 2"),
    ):
        client.detect([jpeg(), CUT_OFF])


def test_or_fails_alone_where_that_is_asked_for(onnx_server: ModelServer) -> None:
    request = predict_request(CUT_OFF, jpeg(204), b"no image")
    request.model_spec.signature_name = "serving_tolerant"
    outputs = _predict(onnx_server, request)
    reason = b"no readable JPEG, PNG, GIF or BMP image"
    assert outputs["image_errors"].tolist() == [reason, b"", reason]
    assert outputs["num_detections"].tolist()[::2] == [0, 0]
    assert [one.class_id for one in detections_of_image(outputs, 1)] == [1, 3]


def test_decoded_images(onnx_server: ModelServer) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "detector", "serving_tensor"
    pixels = np.stack([np.full((9, 5, 3), value, np.uint8) for value in (204, 51)])
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(pixels))
    request.output_filter.extend(["detection_scores", "detection_classes"])
    outputs = _predict(onnx_server, request)
    assert set(outputs) == {"detection_scores", "detection_classes"}
    assert outputs["detection_classes"][:, 0].tolist() == [1, 3]
    np.testing.assert_allclose(outputs["detection_scores"][:, 0], [0.8, 0.8], atol=1e-5)
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(np.zeros((1, 0, 5, 3), np.uint8)))
    with pytest.raises(grpc.RpcError, match="have no pixel"):
        _predict(onnx_server, request)


def test_no_images(onnx_server: ModelServer) -> None:
    outputs = _predict(onnx_server, predict_request())
    assert {alias: array.shape for alias, array in outputs.items()} == {
        "detection_boxes": (0, 5, 4),
        "detection_scores": (0, 5),
        "detection_classes": (0, 5),
        "detection_class_names": (0, 5),
        "num_detections": (0,),
        "detection_thresholds": (0, 5),
    }


def test_records_are_refused(onnx_server: ModelServer) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "detector", "evaluate"
    with pytest.raises(grpc.RpcError) as caught:
        _predict(onnx_server, request)
    expected = '"evaluate" not found. Known: serving_default, serving_tensor, serving_tolerant'
    assert expected in caught.value.details()


def test_signatures_are_those_of_what_is_answered(onnx_server: ModelServer) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "detector"
    signatures = get_model_metadata_pb2.SignatureDefMap()
    onnx_server.answering.metadata(request).metadata["signature_def"].Unpack(signatures)
    declared = signatures.signature_def["serving_tolerant"].outputs
    asked = predict_request(jpeg())
    asked.model_spec.signature_name = "serving_tolerant"
    outputs = _predict(onnx_server, asked)
    assert set(declared) == set(outputs)
    for alias, array in outputs.items():
        assert tf.as_dtype(declared[alias].dtype) == tf.as_dtype(array.dtype)
        assert tf.TensorShape(declared[alias].tensor_shape).is_compatible_with(array.shape)


def test_versions_are_followed_and_one_without_thresholds_has_none(tmp_path: pathlib.Path) -> None:
    write("onnx", tmp_path / "1")
    started = _start(tmp_path, "onnx")
    try:
        write("onnx", tmp_path / "2", SHARE_METADATA)
        (tmp_path / "3").mkdir()
        (tmp_path / "3" / "detector.onnx").write_bytes(b"broken")
        started.servables.look(trust_files=True)
        with DetectorClient(f"localhost:{started.port}") as client:
            answers, version = client.detect([jpeg(204)], 0)
        assert version == 2
        assert {one.threshold for one in answers[0]} == {None}
        assert "detector.onnx: cannot be loaded by onnx" in started.servables.statuses("detector")[3].error
    finally:
        started.stop(grace_seconds=0)


def test_a_folder_without_a_device_model_is_said(
    exports: dict[int, pathlib.Path], device_models: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    shutil.copytree(exports[1], tmp_path / "models" / "1")
    with pytest.raises(SystemExit, match=r"holds no complete version; expected .*detector\.xml"):
        server_module.main(["--model_base_path", str(tmp_path / "models"), "--runtime", "openvino"])
    with pytest.raises(SystemExit, match="is itself a device model"):
        server_module.main(["--model_base_path", str(device_models["onnx"].parent), "--runtime", "onnx"])
