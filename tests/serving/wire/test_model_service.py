"""GetModelStatus and HandleReloadConfigRequest over a real channel."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterator

import grpc
import pytest
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
)

from serving.model_server import ModelServer
from serving.models.models_config import ModelLogging


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
    server.servables.look(trust_files=True)
    (status,) = stub.GetModelStatus(_status_request("detector", 2)).model_version_status
    assert status.state == get_model_status_pb2.ModelVersionStatus.END
    assert status.status.error_code != 0 and status.status.error_message


Push = Callable[[int], pathlib.Path]


def _reload(*entries: dict[str, object]) -> model_management_pb2.ReloadConfigRequest:
    request = model_management_pb2.ReloadConfigRequest()
    for entry in entries:
        request.config.model_config_list.config.add(**entry)
    return request


def test_a_reload_serves_what_it_says(
    stub: model_service_pb2_grpc.ModelServiceStub, server: ModelServer, push: Push, tmp_path: pathlib.Path
) -> None:
    push(2)
    base_path = str(tmp_path / "models")
    both = {"specific": {"versions": [1, 2]}}
    response = stub.HandleReloadConfigRequest(
        _reload({"name": "detector", "base_path": base_path, "model_version_policy": both})
    )
    assert response.status.error_code == 0
    assert server.servables.versions("detector") == [1, 2]
    labelled = {"name": "detector", "base_path": base_path, "model_version_policy": both}
    stub.HandleReloadConfigRequest(_reload({**labelled, "version_labels": {"stable": 1, "canary": 2}}))
    with server.servables.use(model_pb2.ModelSpec(name="detector", version_label="stable")) as model:
        assert model.version == 1
    stub.HandleReloadConfigRequest(_reload({"name": "other", "base_path": base_path}))
    assert server.servables.versions("detector") == []
    assert server.servables.versions("other") == [2]


def test_a_reload_of_another_folder_leaves_no_moment_without_an_answer(
    stub: model_service_pb2_grpc.ModelServiceStub,
    server: ModelServer,
    exports: dict[int, pathlib.Path],
    tmp_path: pathlib.Path,
) -> None:
    other = {"name": "detector", "base_path": str(tmp_path / "other")}
    response = stub.HandleReloadConfigRequest(_reload(other))
    assert response.status.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert response.status.error_message == (
        f"no version can be loaded yet of: detector in {tmp_path / 'other'}; what was served before goes on answering"
    )
    assert server.servables.versions("detector") == [1]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "2").symlink_to(exports[2])
    assert stub.HandleReloadConfigRequest(_reload(other)).status.error_code == 0
    assert server.servables.versions("detector") == [2]


@pytest.mark.parametrize(
    ("entries", "code", "message"),
    [
        ([], grpc.StatusCode.INVALID_ARGUMENT, "expected a model_config_list"),
        ([{"name": "detector", "base_path": "/etc"}], grpc.StatusCode.PERMISSION_DENIED, "--reload_root"),
        ([{"name": "", "base_path": "{}"}], grpc.StatusCode.INVALID_ARGUMENT, "has no name"),
        ([{"name": "a", "base_path": "{}"}] * 2, grpc.StatusCode.INVALID_ARGUMENT, "2 models are named 'a'"),
        (
            [{"name": "detector", "base_path": "{}", "version_labels": {"stable": 7}}],
            grpc.StatusCode.INVALID_ARGUMENT,
            "label 'stable' is to be version 7, which is not AVAILABLE (available: 1)",
        ),
    ],
)
def test_a_reload_that_cannot_be_done_changes_nothing(
    stub: model_service_pb2_grpc.ModelServiceStub,
    server: ModelServer,
    tmp_path: pathlib.Path,
    entries: list[dict[str, str]],
    code: grpc.StatusCode,
    message: str,
) -> None:
    before = server.servables.models()
    placed = [{**entry, "base_path": entry["base_path"].replace("{}", str(tmp_path / "models"))} for entry in entries]
    with pytest.raises(grpc.RpcError) as caught:
        stub.HandleReloadConfigRequest(_reload(*placed))
    assert caught.value.code() == code and message in caught.value.details()
    assert server.servables.models() == before and server.servables.versions("detector") == [1]


def test_a_reload_writes_its_log_where_it_may_only(
    stub: model_service_pb2_grpc.ModelServiceStub, server: ModelServer, tmp_path: pathlib.Path
) -> None:
    def logged(prefix: pathlib.Path) -> model_management_pb2.ReloadConfigRequest:
        collector = {"type": "tfrecord", "filename_prefix": str(prefix)}
        logging = {"log_collector_config": collector, "sampling_config": {"sampling_rate": 1.0}}
        return _reload({"name": "detector", "base_path": str(tmp_path / "models"), "logging_config": logging})

    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    with pytest.raises(grpc.RpcError) as caught:
        stub.HandleReloadConfigRequest(logged(outside / "log"))
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert "outside of what a reload may write to" in caught.value.details() and not outside.exists()
    stub.HandleReloadConfigRequest(logged(tmp_path / "logs" / "detector"))
    assert (tmp_path / "logs").is_dir()
    # Where the models' own file says so, a reload may repeat it.
    [model] = server.servables.models()
    server.servables.reload([dataclasses.replace(model, logging=ModelLogging(outside / "log", 1.0))])
    stub.HandleReloadConfigRequest(logged(outside / "log"))
