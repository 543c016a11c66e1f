"""The page of metrics, read as Prometheus reads it."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families
from tensorflow_serving.apis import prediction_service_pb2_grpc

from tests.serving.tiny_detector import jpeg, predict_request
from tests.serving.wire.door import http, open_door


def _samples(page: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_requests_are_counted_under_tf_servings_names(
    tmp_path: pathlib.Path, push: Callable[[int], pathlib.Path]
) -> None:
    push(1)
    with open_door(tmp_path) as running:
        with grpc.insecure_channel(f"localhost:{running.port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            stub.Predict(predict_request(jpeg(255), jpeg(255), jpeg(0)))
            for name in ("cat", "dog"):
                with pytest.raises(grpc.RpcError):
                    stub.Predict(predict_request(jpeg(), model_name=name))
        assert http(running, "/v1/models/detector:predict", {"inputs": []})[0] == 200
        status, page, headers = http(running, "/monitoring/prometheus/metrics")
        assert status == 200 and headers["Content-Type"].startswith("text/plain")
        assert "# TYPE :tensorflow:serving:request_count counter" in page
        found = _samples(page)
        assert _samples(http(running, "/metrics")[1]).keys() == found.keys()

    def value(name: str, **labels: str) -> float:
        return found[name, tuple(sorted(labels.items()))]

    assert ':tensorflow:serving:request_count{model_name="detector",status="OK"} 2.0' in page
    # The parser gives every counter the suffix that prometheus_client's have.
    count = ":tensorflow:serving:request_count_total"
    # Names that callers make up are one series, however many they are.
    assert value(count, model_name="(unknown)", status="NOT_FOUND") == 2
    latency = ":tensorflow:serving:request_latency_count"
    assert value(latency, model_name="detector", API="Predict", entrypoint="GRPC") == 1
    assert value(latency, model_name="detector", API="predict", entrypoint="REST") == 1
    assert value("serving_detections_total", model_name="detector", version="1", class_name="stop") == 2
    assert value("serving_batch_images_sum") == 3
    assert value("serving_queue_images") == 0
    assert value("serving_swaps_total") == 1
    assert value("serving_version_available", model_name="detector", version="1") == 1


def test_reflection_lists_the_services(tmp_path: pathlib.Path) -> None:
    with open_door(tmp_path) as running, grpc.insecure_channel(f"localhost:{running.port}") as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        answer = next(stub.ServerReflectionInfo(iter([request])))
    names = {service.name for service in answer.list_services_response.service}
    assert {"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService", "grpc.health.v1.Health"} <= names
