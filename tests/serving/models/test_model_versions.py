"""Following a folder: hot swap, broken and half-copied versions, roll back."""

from __future__ import annotations

import logging
import pathlib
import shutil
import threading
from collections.abc import Callable

import grpc
import pytest
from tensorflow_serving.apis import model_pb2, prediction_service_pb2_grpc

from serving.models.model_versions import ModelVersions, State
from serving.server import ModelServer
from tests.serving.tiny_detector import jpeg, predict_request

Push = Callable[[int], pathlib.Path]
_SPEC = model_pb2.ModelSpec(name="detector")


@pytest.fixture
def versions(tmp_path: pathlib.Path, push: Push) -> ModelVersions:
    push(1)
    followed = ModelVersions("detector", tmp_path / "models", poll_seconds=3600)
    followed.poll(trust_files=True)
    assert followed.serving_version == 1
    return followed


def _states(versions: ModelVersions) -> dict[int, int]:
    return {number: status.state for number, status in versions.statuses().items()}


def test_a_new_version_takes_over_once_its_files_have_settled(versions: ModelVersions, push: Push) -> None:
    path = push(2)
    versions.poll()
    assert versions.serving_version == 1
    (path / "assets.extra" / "more").write_text("still being copied")
    versions.poll()
    assert versions.serving_version == 1
    versions.poll()
    assert versions.serving_version == 2
    assert _states(versions) == {1: State.END, 2: State.AVAILABLE}


def test_the_old_version_stays_until_its_last_request_has_ended(versions: ModelVersions, push: Push) -> None:
    with versions.use(_SPEC) as old:
        push(2)
        versions.poll(trust_files=True)
        assert _states(versions) == {1: State.UNLOADING, 2: State.AVAILABLE}
        with versions.use(_SPEC) as new:
            assert (old.version, new.version) == (1, 2)
    assert _states(versions) == {1: State.END, 2: State.AVAILABLE}


def test_a_broken_version_is_passed_over_and_tried_again_when_its_files_change(
    versions: ModelVersions, push: Push, caplog: pytest.LogCaptureFixture
) -> None:
    path = push(3)
    variables = path / "variables" / "variables.data-00000-of-00001"
    whole = variables.read_bytes()
    variables.write_bytes(b"")
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            versions.poll(trust_files=True)
    assert versions.serving_version == 1
    assert _states(versions)[3] == State.END and versions.statuses()[3].error
    # Tried, and said, once; not at every look.
    assert [record.message for record in caplog.records if "version 3" in record.message] == [caplog.messages[0]]
    assert "version 1 goes on serving" in caplog.messages[0]
    variables.write_bytes(whole)
    versions.poll(trust_files=True)
    assert versions.serving_version == 3


def test_a_version_that_fails_its_own_warmup_does_not_serve(versions: ModelVersions, push: Push) -> None:
    (push(2) / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"not a record file")
    versions.poll(trust_files=True)
    assert versions.serving_version == 1


def test_a_second_best_version_serves_when_the_newest_is_broken(tmp_path: pathlib.Path, push: Push) -> None:
    push(4)
    (push(5) / "saved_model.pb").write_bytes(b"broken")
    (tmp_path / "models" / "6").mkdir()
    (tmp_path / "models" / "notes").mkdir()
    versions = ModelVersions("detector", tmp_path / "models", poll_seconds=3600)
    versions.poll(trust_files=True)
    assert versions.serving_version == 4


def test_deleting_the_newest_version_rolls_back_and_deleting_all_changes_nothing(
    versions: ModelVersions, push: Push, tmp_path: pathlib.Path
) -> None:
    shutil.rmtree(push(2).parent / "1")
    versions.poll(trust_files=True)
    push(1)
    shutil.rmtree(tmp_path / "models" / "2")
    versions.poll(trust_files=True)
    assert versions.serving_version == 1
    shutil.rmtree(tmp_path / "models")
    versions.poll(trust_files=True)
    assert versions.serving_version == 1


def test_no_request_fails_while_versions_change(server: ModelServer, push: Push) -> None:
    seen: set[int] = set()
    errors: list[str] = []
    done = threading.Event()

    def ask() -> None:
        with grpc.insecure_channel(f"localhost:{server.port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            while not done.is_set():
                try:
                    response = stub.Predict(predict_request(jpeg()), timeout=60)
                except grpc.RpcError as error:
                    errors.append(str(error))
                    return
                version = response.model_spec.version.value
                seen.add(version)
                # The answer is the named version's, not its neighbour's.
                if response.outputs["detection_classes"].int64_val[0] != 2 - version % 2:
                    errors.append(f"version {version} answered with another's class")

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for version in (2, 3, 4):
            push(version)
            server.versions.poll(trust_files=True)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not errors
    assert 4 in seen or server.versions.serving_version == 4
