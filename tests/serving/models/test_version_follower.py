"""Following a folder: hot swap, broken and half-copied versions, roll back."""

from __future__ import annotations

import logging
import pathlib
import shutil
import threading
from collections.abc import Callable

import grpc
import pytest
from tensorflow_serving.apis import prediction_service_pb2_grpc

from serving.model_server import ModelServer
from serving.models import version_follower
from serving.models.loader import Loader
from serving.models.models_config import ModelConfig
from serving.models.version_follower import VersionFollower
from serving.models.version_policy import ALL, VersionPolicy
from serving.models.version_store import State
from tests.serving.tiny_detector import jpeg, predict_request

Push = Callable[[int], pathlib.Path]


def _follow(base_path: pathlib.Path, policy: VersionPolicy | None = None) -> VersionFollower:
    followed = VersionFollower(ModelConfig("detector", base_path, policy or VersionPolicy()), Loader().load)
    followed.look(trust_files=True)
    return followed


@pytest.fixture
def versions(tmp_path: pathlib.Path, push: Push) -> VersionFollower:
    push(1)
    followed = _follow(tmp_path / "models")
    assert followed.store.versions() == [1]
    return followed


def _states(versions: VersionFollower) -> dict[int, int]:
    return {number: status.state for number, status in versions.store.statuses().items()}


def test_a_new_version_takes_over_once_its_files_have_settled(versions: VersionFollower, push: Push) -> None:
    path = push(2)
    versions.look()
    assert versions.store.versions() == [1]
    (path / "assets.extra" / "more").write_text("still being copied")
    versions.look()
    assert versions.store.versions() == [1]
    versions.look()
    assert versions.store.versions() == [2]
    assert _states(versions) == {1: State.END, 2: State.AVAILABLE}


def test_the_old_version_stays_until_its_last_request_has_ended(versions: VersionFollower, push: Push) -> None:
    with versions.store.use(max) as old:
        push(2)
        versions.look(trust_files=True)
        assert _states(versions) == {1: State.UNLOADING, 2: State.AVAILABLE}
        with versions.store.use(max) as new:
            assert (old.version, new.version) == (1, 2)
    assert _states(versions) == {1: State.END, 2: State.AVAILABLE}


def test_a_broken_version_is_passed_over_and_tried_again_when_its_files_change(
    versions: VersionFollower, push: Push, caplog: pytest.LogCaptureFixture
) -> None:
    path = push(3)
    variables = path / "variables" / "variables.data-00000-of-00001"
    whole = variables.read_bytes()
    variables.write_bytes(b"")
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            versions.look(trust_files=True)
    assert versions.store.versions() == [1]
    assert _states(versions)[3] == State.END and versions.store.statuses()[3].error
    # Tried, and said, once; not at every look.
    assert [record.message for record in caplog.records if "version 3" in record.message] == [caplog.messages[0]]
    assert "version 1 goes on serving" in caplog.messages[0]
    variables.write_bytes(whole)
    versions.look(trust_files=True)
    assert versions.store.versions() == [3]


def test_a_version_that_fails_its_own_warmup_does_not_serve(versions: VersionFollower, push: Push) -> None:
    (push(2) / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"not a record file")
    versions.look(trust_files=True)
    assert versions.store.versions() == [1]


def test_a_second_best_version_serves_when_the_newest_is_broken(tmp_path: pathlib.Path, push: Push) -> None:
    push(4)
    (push(5) / "saved_model.pb").write_bytes(b"broken")
    (tmp_path / "models" / "6").mkdir()
    (tmp_path / "models" / "notes").mkdir()
    versions = _follow(tmp_path / "models")
    assert versions.store.versions() == [4]


def test_deleting_the_newest_version_rolls_back_and_deleting_all_changes_nothing(
    versions: VersionFollower, push: Push, tmp_path: pathlib.Path
) -> None:
    shutil.rmtree(push(2).parent / "1")
    versions.look(trust_files=True)
    push(1)
    shutil.rmtree(tmp_path / "models" / "2")
    versions.look(trust_files=True)
    assert versions.store.versions() == [1]
    shutil.rmtree(tmp_path / "models")
    versions.look(trust_files=True)
    assert versions.store.versions() == [1]


def test_policies_keep_several_versions_or_those_that_are_named(tmp_path: pathlib.Path, push: Push) -> None:
    for version in (1, 2, 3):
        push(version)
    base_path = tmp_path / "models"
    assert _follow(base_path, VersionPolicy(latest=2)).store.versions() == [2, 3]
    assert _follow(base_path, VersionPolicy(None, frozenset({1, 9}))).store.versions() == [1]
    followed = _follow(base_path, ALL)
    assert followed.store.versions() == [1, 2, 3]
    followed.config = ModelConfig("detector", base_path, VersionPolicy(None, frozenset({2})))
    followed.look()
    assert followed.store.versions() == [2]
    assert _states(followed) == {1: State.END, 2: State.AVAILABLE, 3: State.END}


def test_strange_folders_do_not_stop_the_following_of_others(versions: VersionFollower, push: Push) -> None:
    base_path = push(2).parent
    (base_path / "99999999999999999999").mkdir()
    (base_path / "99999999999999999999" / "saved_model.pb").touch()
    (base_path / "5").write_text("a file")
    (base_path / "6").mkdir()
    (base_path / "6" / "saved_model.pb").mkdir()
    (base_path / "7").symlink_to("nowhere")
    versions.look(trust_files=True)
    assert versions.store.versions() == [2]


@pytest.mark.parametrize("missing", ["", "/variables.index", "/variables.data-00000-of-00001"])
def test_a_version_without_all_its_variables_is_never_available(
    versions: VersionFollower, push: Push, missing: str
) -> None:
    path = push(2)
    # What `cp -r` and rsync leave for a while: the graph is there before the variables are.
    shutil.move(path / f"variables{missing}", path.parent / "later")
    versions.look()
    versions.look()
    assert versions.store.versions() == [1]
    assert "still being copied" in versions.store.statuses()[2].error
    shutil.move(path.parent / "later", path / f"variables{missing}")
    versions.look()
    versions.look()
    assert versions.store.versions() == [2]


def test_a_broken_version_is_tried_again_after_pauses_that_double(
    versions: VersionFollower, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(version_follower.time, "monotonic", lambda: now)
    (push(2) / "saved_model.pb").write_bytes(b"broken")
    tried: list[float] = []

    def load(*_: object) -> None:
        tried.append(now - 1000)
        raise OSError("a disk that is away")

    versions._load = load  # type: ignore[assignment]
    for second in range(60):
        now = 1000.0 + second
        versions.look(trust_files=True)
    assert tried == [0, 5, 15, 35]


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
            server.servables.look(trust_files=True)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not errors
    assert server.servables.versions("detector") == [4]
