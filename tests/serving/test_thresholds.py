"""Which detections a client believes: what it is told, else what the model says, else 0.5; over both ways alike."""

from __future__ import annotations

import asyncio
import json
import pathlib
from collections.abc import Callable, Iterator

import pytest
import tensorflow as tf

from serving import client as client_module
from serving.clients.detector_client import AsyncDetectorClient, DetectorClient
from serving.clients.errors import ServerError
from serving.model_server import ModelServer
from tests.serving.clients.scripted_server import answer, scripted
from tests.serving.tiny_detector import TinyDetector, jpeg
from tests.serving.wire.door import open_door

_THRESHOLDS = (0.25, 0.75)
_OLD, _STOP, _YIELD = 1, 3, 4
"""Versions: an older one without thresholds that finds class 1, and two with them, of class 1 and of class 2."""
_GREY = jpeg(100)
"""Is found with a score of about 0.39."""


@pytest.fixture(scope="module")
def exports_with_thresholds(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("exports")
    for version in (_STOP, _YIELD):
        module = TinyDetector(version, _THRESHOLDS)
        tf.saved_model.save(module, str(folder / str(version)), signatures={"serving_default": module.serve})
    return folder


@pytest.fixture
def server(
    tmp_path: pathlib.Path, push: Callable[[int], pathlib.Path], exports_with_thresholds: pathlib.Path
) -> Iterator[ModelServer]:
    push(_OLD)
    for version in (_STOP, _YIELD):
        (tmp_path / "models" / str(version)).symlink_to(exports_with_thresholds / str(version))
    with open_door(tmp_path) as running:
        yield running


@pytest.fixture(params=["gRPC", "REST"])
def address(request: pytest.FixtureRequest, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("no_proxy", "localhost")
    return f"localhost:{server.port}" if request.param == "gRPC" else f"http://localhost:{server.rest_port}"


@pytest.mark.parametrize(
    ("version", "believed_by_default", "threshold"),
    [(_OLD, False, None), (_STOP, True, 0.25), (_YIELD, False, 0.75)],
)
def test_each_class_has_the_model_s_threshold(
    address: str, version: int, believed_by_default: bool, threshold: float | None
) -> None:
    images = [_GREY, jpeg(250), jpeg(10)]
    with DetectorClient(address, model_version=version) as client:
        believed, answered_by = client.detect(images)
        everything, _ = client.detect(images, score_threshold=0.0)
        certain, _ = client.detect(images, score_threshold=0.9)
    assert answered_by == version
    assert [len(found) for found in believed] == [int(believed_by_default), 1, 0]
    assert [len(found) for found in everything] == [1, 1, 1]
    assert [len(found) for found in certain] == [0, 1, 0], "what is asked for goes before what the model says"
    assert {found.threshold for image in everything for found in image} == {threshold}

    async def detect() -> list[int]:
        async with AsyncDetectorClient(address, model_version=version) as client:
            return [len(found) for found in (await client.detect(images))[0]]

    assert asyncio.run(detect()) == [int(believed_by_default), 1, 0]


@pytest.mark.parametrize(
    ("version", "options", "count"),
    [
        (_OLD, [], 0),
        (_OLD, ["--score_threshold", "0.3"], 1),
        (_STOP, [], 1),
        (_STOP, ["--score_threshold", "0.5"], 0),
        (_YIELD, [], 0),
        (_YIELD, ["--score_threshold", "0"], 1),
    ],
)
def test_the_command_leaves_it_to_the_model(
    address: str,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    version: int,
    options: list[str],
    count: int,
) -> None:
    (tmp_path / "street.jpg").write_bytes(_GREY)
    asked = [str(tmp_path / "street.jpg"), "--server", address, "--model_version", str(version), "--json", *options]
    with pytest.raises(SystemExit, match="0"):
        client_module.main(asked)
    assert len(json.loads(capsys.readouterr().out)["detections"]) == count


def test_thresholds_of_another_shape_are_said() -> None:
    outputs = {
        "detection_boxes": [[[0.25, 0.5, 0.75, 1.0]]],
        "detection_scores": [[0.5]],
        "detection_classes": [[1]],
        "detection_class_names": [["stop"]],
        "num_detections": [1],
        "detection_thresholds": [0.5],
    }
    with (
        scripted([answer(json.dumps({"outputs": outputs}).encode())]) as server,
        DetectorClient(f"http://localhost:{server.port}", model_version=1) as client,
        pytest.raises(ServerError, match=r"detection_thresholds has the shape \[1\], expected \[1, 1\]"),
    ):
        client.detect([jpeg()])
