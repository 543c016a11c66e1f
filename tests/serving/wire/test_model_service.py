"""GetModelStatus and HandleReloadConfigRequest over a real channel."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator

import grpc
import pytest
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, model_service_pb2_grpc

from serving.server import ModelServer


@pytest.fixture
def stub(server: ModelServer) -> Iterator[model_service_pb2_grpc.ModelServiceStub]:
    with grpc.insecure_channel(f"localhost:{server.port}") as channel:
        yield model_service_pb2_grpc.ModelServiceStub(channel)


def _status_request(name: str, version: int | None = None) -> get_model_status_pb2.GetModelStatusRequest:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    if version is not None:
        request.model_spec.version.value = version
    return request


def test_status_of_all_versions_and_of_one(stub: model_service_pb2_grpc.ModelServiceStub) -> None:
    (status,) = stub.GetModelStatus(_status_request("detector")).model_version_status
    assert (status.version, status.state) == (1, get_model_status_pb2.ModelVersionStatus.AVAILABLE)
    assert status.status.error_code == 0
    assert len(stub.GetModelStatus(_status_request("detector", 1)).model_version_status) == 1


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("classifier", None, "Could not find any versions of model classifier"),
        ("detector", 9, "Could not find version 9 of model detector"),
    ],
)
def test_status_of_what_is_not_there(
    stub: model_service_pb2_grpc.ModelServiceStub, name: str, version: int | None, message: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetModelStatus(_status_request(name, version))
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.NOT_FOUND, message)


def test_a_failed_version_says_why(
    stub: model_service_pb2_grpc.ModelServiceStub, server: ModelServer, push: Callable[[int], pathlib.Path]
) -> None:
    (push(2) / "saved_model.pb").write_bytes(b"broken")
    server.versions.poll(trust_files=True)
    (status,) = stub.GetModelStatus(_status_request("detector", 2)).model_version_status
    assert status.state == get_model_status_pb2.ModelVersionStatus.END
    assert status.status.error_code != 0 and status.status.error_message


def test_reload_looks_for_new_versions_of_the_same_model_only(
    stub: model_service_pb2_grpc.ModelServiceStub,
    server: ModelServer,
    push: Callable[[int], pathlib.Path],
    tmp_path: pathlib.Path,
) -> None:
    push(2)
    request = model_management_pb2.ReloadConfigRequest()
    config = request.config.model_config_list.config.add(name="detector", base_path=str(tmp_path / "models"))
    assert stub.HandleReloadConfigRequest(request).status.error_code == 0
    assert server.versions.serving_version == 2
    config.base_path = "/etc"
    with pytest.raises(grpc.RpcError) as caught:
        stub.HandleReloadConfigRequest(request)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "serves detector from" in caught.value.details()
