"""Requests around the limit of their size, beyond the one that gRPC keeps, and bytes that are none."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.clients.connection import Connection
from serving.clients.detector_client import DetectorClient
from serving.clients.errors import ImageRefusedError
from serving.model_server import ModelServer
from serving.protocol.limits import Limits
from serving.wire.token import Tokens
from tests.serving.guard import TOKEN
from tests.serving.tiny_detector import jpeg, predict_request
from tests.serving.wire.door import open_door

LIMIT_BYTES = 1 << 20
TOO_LARGE = f"bytes, the limit is {LIMIT_BYTES} (--max_message_mib); send fewer"


@pytest.fixture
def server(tmp_path: pathlib.Path, push: Callable[[int], pathlib.Path]) -> Iterator[ModelServer]:
    push(1)
    with open_door(tmp_path, limits=Limits(max_message_mib=1)) as running:
        yield running


def _request_of(size_bytes: int) -> predict_pb2.PredictRequest:
    """A request of an image that is none, of so many bytes in all."""
    request = predict_request(b"")
    while (missing := size_bytes - request.ByteSize()) > 0:
        [image] = request.inputs["image_bytes"].string_val
        # Its own length is written in front of it, in a few bytes.
        step = missing if missing < 64 else missing - 16
        request.inputs["image_bytes"].string_val[:] = [image + bytes(step)]
    assert request.ByteSize() == size_bytes
    return request


@pytest.mark.parametrize(
    ("size_bytes", "code", "expected"),
    [
        (LIMIT_BYTES, grpc.StatusCode.INVALID_ARGUMENT, "no readable JPEG, PNG, GIF or BMP image at index 0"),
        (LIMIT_BYTES + 1, grpc.StatusCode.INVALID_ARGUMENT, f"the request has {LIMIT_BYTES + 1} {TOO_LARGE}"),
        (2 * LIMIT_BYTES, grpc.StatusCode.INVALID_ARGUMENT, f"the request has {2 * LIMIT_BYTES} {TOO_LARGE}"),
        (2 * LIMIT_BYTES + 1, grpc.StatusCode.RESOURCE_EXHAUSTED, "larger than max"),
    ],
)
def test_what_is_too_large_is_refused_with_the_limit(
    server: ModelServer, size_bytes: int, code: grpc.StatusCode, expected: str
) -> None:
    with grpc.insecure_channel(f"localhost:{server.port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(_request_of(size_bytes), timeout=60)
        assert caught.value.code() == code and expected in caught.value.details()
        assert stub.Predict(predict_request(jpeg()), timeout=60).model_spec.version.value == 1


@pytest.mark.parametrize("method", ["PredictionService/Predict", "ModelService/GetModelStatus"])
def test_bytes_that_are_no_request_are_refused(
    server: ModelServer, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    with grpc.insecure_channel(f"localhost:{server.port}") as channel:
        call = channel.unary_unary(f"/tensorflow.serving.{method}")
        for serialized in (b"\xff", predict_request(jpeg()).SerializeToString()[:-1]):
            with pytest.raises(grpc.RpcError) as caught:
                call(serialized, timeout=60)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert f"{len(serialized)} bytes that are no request of /tensorflow.serving.{method}" in (
                caught.value.details()
            )
    # gRPC would log a stack trace for each.
    assert caplog.records == []


def test_a_compressed_message_is_as_large_as_what_comes_out_of_it(server: ModelServer) -> None:
    with grpc.insecure_channel(f"localhost:{server.port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for size_bytes, code in (
            (LIMIT_BYTES + 1, grpc.StatusCode.INVALID_ARGUMENT),
            (64 * LIMIT_BYTES, grpc.StatusCode.RESOURCE_EXHAUSTED),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                stub.Predict(_request_of(size_bytes), timeout=60, compression=grpc.Compression.Gzip)
            assert caught.value.code() == code


def test_a_limit_beyond_what_grpc_counts_to_starts(tmp_path: pathlib.Path) -> None:
    with open_door(tmp_path, limits=Limits(max_message_mib=4096)) as running:
        assert running.port


def test_a_client_is_told_so_and_does_not_ask_again(server: ModelServer) -> None:
    with (
        DetectorClient(Connection(f"localhost:{server.port}", 60.0)) as client,
        pytest.raises(ImageRefusedError, match="--max_message_mib"),
    ):
        client.detect([bytes(3 * LIMIT_BYTES // 2)])


def test_streams_and_probes_are_answered_as_before(server: ModelServer) -> None:
    request = health_pb2.HealthCheckRequest()
    with grpc.insecure_channel(f"localhost:{server.port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(request, timeout=60).status == health_pb2.HealthCheckResponse.SERVING
        watch = stub.Watch(request, timeout=60)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()


def test_who_has_no_token_is_not_told_of_sizes(tmp_path: pathlib.Path) -> None:
    (tmp_path / "tokens").write_text(TOKEN)
    with (
        open_door(tmp_path, limits=Limits(max_message_mib=1), tokens=Tokens(tmp_path / "tokens")) as running,
        grpc.insecure_channel(f"localhost:{running.port}") as channel,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for metadata, code in (
            ((), grpc.StatusCode.UNAUTHENTICATED),
            ((("authorization", f"Bearer {TOKEN}"),), grpc.StatusCode.INVALID_ARGUMENT),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                stub.Predict(_request_of(LIMIT_BYTES + 1), timeout=60, metadata=metadata)
            assert caught.value.code() == code
