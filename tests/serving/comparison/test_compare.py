"""Two versions compared as a user does: on a server and from a folder."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import pytest
from PIL import Image

from serving import compare
from serving.model_server import ModelServer, ServerSettings
from serving.models.models_config import ModelConfig
from serving.models.version_policy import ALL
from tests.serving.guard import Guard
from tests.serving.tiny_detector import jpeg


@pytest.fixture
def models(tmp_path: pathlib.Path, push: Callable[[int], pathlib.Path]) -> pathlib.Path:
    """Versions 1 and 3 answer alike, 2 with another class."""
    for version in (1, 2, 3):
        push(version)
    return tmp_path / "models"


@pytest.fixture
def image(tmp_path: pathlib.Path) -> str:
    (tmp_path / "street.jpg").write_bytes(jpeg())
    return str(tmp_path / "street.jpg")


def _compare(image: str, a: int, b: int, *more: str) -> int:
    return compare.main([image, "--versions", str(a), str(b), *more])


def test_versions_in_a_folder(
    models: pathlib.Path, image: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["--model_base_path", str(models), "--output", str(tmp_path / "out")]
    assert _compare(image, 1, 3, *folder) == 0
    assert "0 of 1 images differ" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["comparison.json"]
    assert _compare(image, 1, 2, *folder) == 1
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:4] == [
        ["stop", "0", "1", "0", "-", "-", "-"],
        ["yield", "0", "0", "1", "-", "-", "-"],
        ["all", "0", "1", "1", "-", "-", "-"],
    ]
    report = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert report["versions"] == {"a": 1, "b": 2}
    assert report["images_that_differ"] == 1
    [difference] = report["differences"].values()
    assert [found["class_name"] for found in difference["only_a"]] == ["stop"]
    assert Image.open(tmp_path / "out" / "00000_street.jpg").width == 2 * 40 + 8


def test_versions_on_a_server(models: pathlib.Path, image: str, capsys: pytest.CaptureFixture[str]) -> None:
    server = ModelServer([ModelConfig("detector", models, ALL)], ServerSettings(port=0, poll_seconds=3600))
    server.start()
    try:
        address = ["--server", f"localhost:{server.port}"]
        assert _compare(image, 1, 3, *address) == 0
        assert _compare(image, 1, 2, *address) == 1
        assert _compare(image, 1, 9, *address) == 2
        assert "answered NOT_FOUND: Servable not found for request: Specific(detector, 9)" in capsys.readouterr().err
    finally:
        server.stop(grace_seconds=0)


def test_versions_on_a_server_with_tls_and_a_token(
    models: pathlib.Path, image: str, guard: Guard, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ServerSettings(port=0, poll_seconds=3600, **guard.settings)
    server = ModelServer([ModelConfig("detector", models, ALL)], settings)
    server.start()
    try:
        address = ["--server", f"localhost:{server.port}"]
        assert _compare(image, 1, 2, *address, *guard.flags) == 1
        assert _compare(image, 1, 2, *address, *guard.flags_without_token) == 2
        assert "answered UNAUTHENTICATED" in capsys.readouterr().err
    finally:
        server.stop(grace_seconds=0)


def test_an_image_that_cannot_be_read_does_not_stop_the_others(
    models: pathlib.Path, image: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    folder = ["--model_base_path", str(models)]
    assert compare.main([image, str(tmp_path / "broken.jpg"), "--versions", "1", "3", *folder]) == 0
    assert "0 of 1 images differ, 1 failed" in capsys.readouterr().out
    assert _compare(str(tmp_path / "broken.jpg"), 1, 3, *folder) == 2


def test_a_version_that_is_not_there(models: pathlib.Path, image: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _compare(image, 1, 9, "--model_base_path", str(models)) == 2
    assert "holds no complete version 9; complete are: 3, 2, 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    [
        ["--versions", "1", "1", "--server", "a:1"],
        ["--versions", "1", "2"],
        ["--versions", "1", "2", "--server", "a"],
        ["--versions", "1", "2", "--server", "a:1", "--min_iou", "2"],
        ["--versions", "1", "2", "--model_base_path", "models", "--tls"],
    ],
)
def test_flags_that_mean_nothing(flags: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        compare.main(["a.jpg", *flags])
    assert ended.value.code == 2
