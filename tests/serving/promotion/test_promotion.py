"""Promotion and rollback: in the file alone, and against the embedded server."""

from __future__ import annotations

import contextlib
import json
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import prediction_service_pb2_grpc
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving import promote, rollback
from serving.model_server import ModelServer, ServerSettings
from serving.models.models_config import read_models_config
from serving.promotion import config_file
from tests.serving.guard import Guard
from tests.serving.tiny_detector import jpeg, predict_request

CONFIG = """# Kept.
model_config_list {{
  config {{
    name: "detector"
    base_path: "{base_path}"
    model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: 1 }} }}
    version_labels {{ key: "stable" value: 1 }}
  }}
}}
"""
Command = Callable[..., int]


@pytest.fixture
def config(tmp_path: pathlib.Path, push: Callable[[int], pathlib.Path]) -> pathlib.Path:
    push(1)
    push(2)
    path = tmp_path / "models.config"
    path.write_text(CONFIG.format(base_path=tmp_path / "models"))
    return path


def _promote(config: pathlib.Path, version: int, *more: str) -> int:
    return promote.main(["--label", "stable", "--version", str(version), "--config", str(config), *more])


def _rollback(config: pathlib.Path, *more: str) -> int:
    return rollback.main(["--label", "stable", "--config", str(config), *more])


def _labels_and_versions(config: pathlib.Path) -> tuple[dict[str, int], list[int]]:
    [model] = text_format.Parse(config.read_text(), ModelServerConfig()).model_config_list.config
    return dict(model.version_labels), list(model.model_version_policy.specific.versions)


def _history(config: pathlib.Path) -> list[tuple[str, int | None, int, str]]:
    lines = config.with_name("models.config.history.jsonl").read_text().splitlines()
    return [(m["action"], m["from_version"], m["to_version"], m["why"]) for m in map(json.loads, lines)]


def test_there_and_back(config: pathlib.Path, push: Callable[[int], pathlib.Path]) -> None:
    push(3)
    config.chmod(0o644)
    assert _promote(config, 2, "--why", "half the errors in fog") == 0
    # What the label leaves stays in memory, for the way back.
    assert _labels_and_versions(config) == ({"stable": 2}, [1, 2])
    assert config.read_text().startswith("# Kept.\n")
    assert config.stat().st_mode & 0o777 == 0o644
    assert _promote(config, 3) == 0
    assert _labels_and_versions(config) == ({"stable": 3}, [2, 3])
    assert _rollback(config) == 0
    assert _labels_and_versions(config) == ({"stable": 2}, [2, 3])
    assert _rollback(config) == 0
    assert _labels_and_versions(config)[0] == {"stable": 1}
    assert _rollback(config) == 2
    assert _history(config) == [
        ("promote", 1, 2, "half the errors in fog"),
        ("promote", 2, 3, ""),
        ("rollback", 3, 2, ""),
        ("rollback", 2, 1, ""),
    ]


def test_a_second_label_keeps_the_first(config: pathlib.Path) -> None:
    assert promote.main(["--label", "canary", "--version", "2", "--config", str(config)]) == 0
    assert _labels_and_versions(config) == ({"stable": 1, "canary": 2}, [1, 2])


def test_what_is_not_there_is_refused(
    config: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = config.read_text()
    assert _promote(config, 7) == 2
    assert "holds no complete version 7; complete are: 2, 1" in capsys.readouterr().err
    (tmp_path / "models" / "2" / "variables" / "variables.index").unlink()
    assert _promote(config, 2) == 2
    assert "is the version still being copied?" in capsys.readouterr().err
    assert _promote(config, 1, "--model_name", "other") == 2
    assert "serves no model 'other'; it serves detector" in capsys.readouterr().err
    assert _rollback(config) == 2
    assert "has no version before 1 in the history" in capsys.readouterr().err
    assert config.read_text() == before
    assert not config.with_name("models.config.history.jsonl").exists()


def test_a_dry_run_changes_nothing(config: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = config.read_text()
    assert _promote(config, 2, "--dry_run") == 0
    assert capsys.readouterr().out == "would move detector: stable 1 -> 2\n"
    assert config.read_text() == before


def test_a_label_moved_by_hand_is_not_rolled_back(
    config: pathlib.Path, capsys: pytest.CaptureFixture[str], push: Callable[[int], pathlib.Path]
) -> None:
    push(3)
    assert _promote(config, 2) == 0
    config.write_text(config.read_text().replace("value: 2", "value: 3"))
    assert _rollback(config) == 2
    assert "it was moved by hand" in capsys.readouterr().err


def test_two_at_once_is_one_too_many(config: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    with config_file.locked(config):
        assert _promote(config, 2) == 2
    assert "another promotion or rollback is under way" in capsys.readouterr().err
    assert _promote(config, 2) == 0


def test_whoever_reads_the_file_reads_a_whole_one(config: pathlib.Path) -> None:
    ended = threading.Event()
    seen: set[int] = set()

    def read() -> None:
        while not ended.is_set():
            seen.add(_labels_and_versions(config)[0]["stable"])

    reader = threading.Thread(target=read)
    reader.start()
    parsed = [config_file.read(config) for _ in range(2)]
    parsed[1].model_config_list.config[0].version_labels["stable"] = 2
    for number in range(100):
        config_file.write(config, parsed[number % 2])
    ended.set()
    reader.join()
    assert seen <= {1, 2}
    assert [path.name for path in config.parent.glob(".models.config*")] == []


@contextlib.contextmanager
def _serving(config: pathlib.Path, **settings: Any) -> Iterator[ModelServer]:
    running = ModelServer(read_models_config(config), ServerSettings(port=0, poll_seconds=3600, **settings))
    running.start()
    try:
        yield running
    finally:
        running.stop(grace_seconds=0)


def test_a_server_with_tls_and_a_token_follows_who_is_let_in(
    config: pathlib.Path, guard: Guard, capsys: pytest.CaptureFixture[str]
) -> None:
    with _serving(config, **guard.settings) as server:
        to_it = ["--server", f"localhost:{server.port}", "--timeout_seconds", "10"]
        assert _promote(config, 2, *to_it, *guard.flags_without_token) == 2
        assert "does not take the config: UNAUTHENTICATED" in capsys.readouterr().err
        assert server.servables.models()[0].labels == {"stable": 1}
        assert _promote(config, 2, *to_it, *guard.flags) == 0
        assert server.servables.models()[0].labels == {"stable": 2}
        assert server.servables.versions("detector") == [1, 2]
        assert _rollback(config, *to_it, *guard.flags) == 0
        assert server.servables.models()[0].labels == {"stable": 1}


def _version_that_answers(server: ModelServer, label: str) -> int:
    request = predict_request(jpeg())
    request.model_spec.version_label = label
    with grpc.insecure_channel(f"localhost:{server.port}") as channel:
        response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=30)
    return int(response.model_spec.version.value)


def test_a_running_server_follows_at_once(config: pathlib.Path) -> None:
    with _serving(config) as server:
        address = f"localhost:{server.port}"
        assert _version_that_answers(server, "stable") == 1
        assert _promote(config, 2, "--server", address) == 0
        assert _version_that_answers(server, "stable") == 2
        assert server.servables.versions("detector") == [1, 2]
        assert _rollback(config, "--server", address) == 0
        assert _version_that_answers(server, "stable") == 1
    assert _labels_and_versions(config)[0] == {"stable": 1}


def test_a_version_that_cannot_be_loaded_changes_nothing(
    config: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _labels_and_versions(config)
    (tmp_path / "models" / "2" / "saved_model.pb").write_bytes(b"no model")
    with _serving(config) as server:
        assert _promote(config, 2, "--server", f"localhost:{server.port}", "--timeout_seconds", "3") == 2
        assert "and not AVAILABLE" in capsys.readouterr().err
        assert _version_that_answers(server, "stable") == 1
        assert server.servables.models()[0].labels == {"stable": 1}
    assert _labels_and_versions(config) == before
    assert not config.with_name("models.config.history.jsonl").exists()


def test_a_server_that_is_not_there_changes_nothing(config: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = _labels_and_versions(config)
    assert _promote(config, 2, "--server", "localhost:1", "--timeout_seconds", "2") == 2
    assert "localhost:1: does not take the config: UNAVAILABLE" in capsys.readouterr().err
    assert _labels_and_versions(config) == before


@pytest.mark.parametrize(
    "flags",
    [
        ["--version", "0"],
        ["--version", "2", "--server", "nowhere"],
        ["--version", "2", "--timeout_seconds", "0"],
        ["--version", "2", "--tls"],
    ],
)
def test_flags_that_mean_nothing(flags: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        promote.main(["--label", "stable", *flags])
    assert ended.value.code == 2
