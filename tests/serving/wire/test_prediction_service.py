"""Predict and GetModelMetadata over a real channel: answers, and what is refused with which status."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.model_server import ModelServer
from serving.protocol.errors import RequestError
from serving.wire import answering
from tests.serving.tiny_detector import jpeg, png_header, predict_request


@pytest.fixture
def stub(server: ModelServer) -> Iterator[prediction_service_pb2_grpc.PredictionServiceStub]:
    with grpc.insecure_channel(f"localhost:{server.port}") as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def _refused(call: object, request: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request)  # type: ignore[operator]
    return caught.value.code(), caught.value.details()


def test_predict_answers_every_image_of_a_batch(stub: prediction_service_pb2_grpc.PredictionServiceStub) -> None:
    response = stub.Predict(predict_request(jpeg(255), jpeg(0, 10, 30)))
    assert (response.model_spec.name, response.model_spec.version.value) == ("detector", 1)
    assert response.model_spec.signature_name == "serving_default"
    outputs = {alias: tf.make_ndarray(message) for alias, message in response.outputs.items()}
    np.testing.assert_allclose(outputs["detection_scores"][:, 0], [1, 0], atol=1e-6)
    assert outputs["detection_boxes"].shape == (2, 2, 4) and outputs["detection_boxes"].dtype == np.float32
    assert outputs["detection_classes"].dtype == np.int64
    assert outputs["detection_class_names"][0, 0] == b"stop"
    # Values are in typed fields, as TF Serving sends them.
    assert len(response.outputs["detection_scores"].float_val) == 4


def test_output_filter_chooses_outputs(stub: prediction_service_pb2_grpc.PredictionServiceStub) -> None:
    request = predict_request(jpeg())
    request.output_filter.append("num_detections")
    assert list(stub.Predict(request).outputs) == ["num_detections"]
    request.output_filter.append("num_detections")
    assert _refused(stub.Predict, request) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "duplicate output tensor alias: num_detections",
    )
    request.output_filter[:] = ["raw_features"]
    code, message = _refused(stub.Predict, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith("output tensor alias not found in signature: raw_features Outputs expected to be in")


def test_the_served_version_can_be_named_and_another_is_not_found(
    stub: prediction_service_pb2_grpc.PredictionServiceStub,
) -> None:
    request = predict_request(jpeg())
    request.model_spec.version.value = 1
    assert stub.Predict(request).model_spec.version.value == 1
    # There are clients that always send a version, 0 where none is meant.
    request.model_spec.version.value = 0
    assert stub.Predict(request).model_spec.version.value == 1
    request.model_spec.version.value = 7
    code, message = _refused(stub.Predict, request)
    assert code == grpc.StatusCode.NOT_FOUND
    assert message.startswith("Servable not found for request: Specific(detector, 7)")
    request.model_spec.version_label = "stable"
    assert _refused(stub.Predict, request) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Unrecognized servable version label: stable (known here: none)",
    )


def test_requests_that_do_not_fit_are_refused_in_words(
    stub: prediction_service_pb2_grpc.PredictionServiceStub,
) -> None:
    code, message = _refused(stub.Predict, predict_request(jpeg(), model_name="classifier"))
    assert code == grpc.StatusCode.NOT_FOUND
    assert message.startswith("Servable not found for request: Latest(classifier)")

    assert _refused(stub.Predict, predict_pb2.PredictRequest()) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Missing ModelSpec",
    )

    request = predict_request(jpeg())
    request.model_spec.signature_name = "classify"
    code, message = _refused(stub.Predict, request)
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert message.startswith('Serving signature key "classify" not found.') and "serving_default" in message

    request = predict_request(jpeg())
    del request.inputs["image_bytes"]
    code, message = _refused(stub.Predict, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "Missing but required: {image_bytes}" in message

    request.inputs["images"].CopyFrom(tf.make_tensor_proto([b""]))
    code, message = _refused(stub.Predict, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith("input tensor alias not found in signature: images.")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            tf.make_tensor_proto([1.0, 2.0]),
            "expected string of shape [-1] (-1 is any size), found float32 of shape [2]",
        ),
        (tf.make_tensor_proto([[b"", b""]]), "found string of shape [1, 2]"),
        (tf.make_tensor_proto([b"these are no pixels"]), "image"),
        (tf.make_tensor_proto([jpeg()[:200]]), "no readable JPEG, PNG, GIF or BMP image at index 0"),
        (tf.make_tensor_proto([jpeg(), png_header(8, 8)]), "PNG"),
        (tensor_pb2.TensorProto(dtype=7, string_val=[b"a"], tensor_shape={"dim": [{"size": -1}]}), "not fully known"),
        (tensor_pb2.TensorProto(dtype=7, tensor_shape={"dim": [{"size": 1 << 40}]}), "the limit is 64 (--max_images)"),
        (tensor_pb2.TensorProto(dtype=20), "found resource of shape []"),
        (tensor_pb2.TensorProto(dtype=21), "found variant of shape []"),
        (tensor_pb2.TensorProto(dtype=99), "found an unknown type (99)"),
        (tf.make_tensor_proto([png_header(20000, 20000)]), "20000 x 20000 pixels, the limit is 64000000 pixels"),
    ],
)
def test_values_that_do_not_fit_are_invalid_arguments(
    stub: prediction_service_pb2_grpc.PredictionServiceStub, value: tensor_pb2.TensorProto, expected: str
) -> None:
    request = predict_request()
    request.inputs["image_bytes"].CopyFrom(value)
    code, message = _refused(stub.Predict, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert expected.lower() in message.lower()
    assert "{{node" not in message


def test_what_nobody_thought_of_is_internal_and_logged_once(
    stub: prediction_service_pb2_grpc.PredictionServiceStub,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("of nobody's making")

    monkeypatch.setattr(answering, "to_call", fail)
    for _ in range(3):
        code, message = _refused(stub.Predict, predict_request(jpeg()))
        assert code == grpc.StatusCode.INTERNAL and "ZeroDivisionError" in message
        assert "nobody's making" not in message
    logged = [record for record in caplog.records if record.name == answering.__name__]
    assert len(logged) == 1 and logged[0].exc_info


def test_a_caller_who_has_no_time_left_is_not_worked_for(
    server: ModelServer, stub: prediction_service_pb2_grpc.PredictionServiceStub
) -> None:
    with pytest.raises(RequestError) as caught:
        server.answering.predict(predict_request(jpeg()), deadline_monotonic=time.monotonic() - 1)
    assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED


def test_concurrent_requests_get_their_own_answers(stub: prediction_service_pb2_grpc.PredictionServiceStub) -> None:
    values = [index * 8 for index in range(32)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        responses = list(pool.map(lambda value: stub.Predict(predict_request(jpeg(value))), values))
    scores = [tf.make_ndarray(response.outputs["detection_scores"])[0, 0] for response in responses]
    np.testing.assert_allclose(scores, np.array(values) / 255, atol=0.01)


def test_metadata_holds_the_signatures(stub: prediction_service_pb2_grpc.PredictionServiceStub) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "detector"
    response = stub.GetModelMetadata(request)
    assert response.model_spec.version.value == 1
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    definition = signatures.signature_def["serving_default"]
    assert list(definition.inputs) == ["image_bytes"]
    assert "detection_boxes" in definition.outputs
    # What a client needs to know must not change with what was asked before.
    del request.metadata_field[:]
    assert _refused(stub.GetModelMetadata, request)[0] == grpc.StatusCode.INVALID_ARGUMENT
    request.metadata_field.append("weights")
    assert _refused(stub.GetModelMetadata, request) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Metadata field weights is not supported",
    )


def test_what_a_detector_cannot_do_is_unimplemented(stub: prediction_service_pb2_grpc.PredictionServiceStub) -> None:
    code, message = _refused(stub.Classify, classification_pb2.ClassificationRequest())
    assert code == grpc.StatusCode.UNIMPLEMENTED and "use Predict" in message
