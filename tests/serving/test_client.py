"""The client against a real server: table, JSON, drawn images, and errors in words."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import pathlib
import subprocess
import sys
from collections.abc import Callable

import pytest
from PIL import Image

from serving import client as client_module
from serving.clients import asking, image_files, showing
from serving.clients.connection import Connection
from serving.clients.detector_client import AsyncDetectorClient, DetectorClient
from serving.clients.errors import ImageRefusedError, ServerError
from serving.model_server import ModelServer, ServerSettings
from serving.models.models_config import ModelConfig
from tests.serving.guard import Guard
from tests.serving.tiny_detector import jpeg, png_header


def _run(arguments: list[object]) -> int:
    with pytest.raises(SystemExit) as caught:
        client_module.main([str(argument) for argument in arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_detects_several_images_and_draws_them(
    server: ModelServer, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "street.jpg").write_bytes(jpeg(220, 80, 40))
    output = tmp_path / "drawn"
    arguments = [tmp_path / "*" / "street.jpg", "--server", f"localhost:{server.port}", "--output", output]
    assert _run(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["image", "class", "score", "xmin", "ymin", "xmax", "ymax"]
    assert lines[1].split()[1:] == ["stop", "0.863", "40", "10", "80", "30"]
    assert len(lines) == 3
    assert sorted(path.name for path in output.iterdir()) == ["street_detected.jpg", "street_detected_2.jpg"]
    with Image.open(output / "street_detected.jpg") as drawn:
        assert drawn.size == (80, 40)
        # The box's left edge is no longer grey.
        red, green, blue = drawn.getpixel((40, 20))  # type: ignore[misc]
        assert max(red, green, blue) - min(red, green, blue) > 60


def test_json_is_one_object_a_line(
    server: ModelServer, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bright.jpg").write_bytes(jpeg(220, 80, 40))
    (tmp_path / "dark.jpg").write_bytes(jpeg(10))
    assert _run([tmp_path / "bright.jpg", tmp_path / "dark.jpg", "--server", f"localhost:{server.port}", "--json"]) == 0
    bright, dark = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (bright["width"], bright["height"], bright["model_version"]) == (80, 40, 1)
    assert bright["detections"] == [
        {
            "class": "stop",
            "class_id": 1,
            "score": pytest.approx(0.863, abs=0.01),
            "box_xyxy_pixels": [40, 10, 80, 30],
            "box_yxyx_normalized": [0.25, 0.5, 0.75, 1.0],
        }
    ]
    assert dark["detections"] == []


def test_a_file_that_is_no_image_does_not_stop_the_others(
    server: ModelServer, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "1.jpg").write_text("a text")
    (tmp_path / "2.jpg").write_bytes(jpeg()[:-300])
    (tmp_path / "3.jpg").write_bytes(jpeg())
    assert _run([tmp_path / "*.jpg", "--server", f"localhost:{server.port}"]) == 1
    printed = capsys.readouterr()
    assert "1.jpg: is not an image (6 bytes)" in printed.err
    assert "2.jpg: cannot be read as an image" in printed.err
    assert "3.jpg" in printed.out and "stop" in printed.out


def test_an_unreachable_server_is_said(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "street.jpg").write_bytes(jpeg())
    assert _run([tmp_path / "street.jpg", "--server", "localhost:1"]) == 1
    assert "no server answers at localhost:1" in capsys.readouterr().err


def test_a_proxy_on_the_way_is_said(
    server: ModelServer, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "street.jpg").write_bytes(jpeg())
    asked = [tmp_path / "street.jpg", "--server", f"localhost:{server.port}", "--timeout_seconds", "20"]
    for name in ("grpc_proxy", "https_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://user:secret@127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "intranet")
    assert _run(asked) == 1
    said = capsys.readouterr().err
    assert "asked through the proxy 127.0.0.1:9, which the environment variable http_proxy names" in said
    assert "set no_proxy=intranet,localhost" in said
    assert "secret" not in said
    monkeypatch.setenv("no_proxy", "intranet,localhost")
    assert _run(asked) == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--server", "8500", "a.jpg"], "must be HOST:PORT"),
        (["--score_threshold", "50", "a.jpg"], "must be 0 to 1"),
    ],
)
def test_wrong_arguments_are_said(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(list(arguments)) == 2
    assert expected in capsys.readouterr().err


def test_a_missing_file_is_said(tmp_path: pathlib.Path) -> None:
    with pytest.raises(SystemExit, match="no such file, and no file matches"):
        client_module.main([str(tmp_path / "none.jpg")])


def test_neither_command_nor_api_needs_tensorflow(server: ModelServer, tmp_path: pathlib.Path) -> None:
    (tmp_path / "street.jpg").write_bytes(jpeg(220, 80, 40))
    script = (
        "import sys; sys.modules.update(dict.fromkeys(('tensorflow', 'tensorflow_serving', 'pydantic', 'keras')));"
        "from serving import client; client.main(sys.argv[1:])"
    )
    arguments = [str(tmp_path / "street.jpg"), "--server", f"localhost:{server.port}"]
    printed = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    assert printed.stdout.splitlines()[1].split()[1:] == ["stop", "0.863", "40", "10", "80", "30"]


@pytest.mark.parametrize(("batch", "concurrency"), [(1, 3), (4, 1), (3, 2)])
def test_batches_and_requests_at_once_give_the_same_in_the_same_order(
    server: ModelServer, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], batch: int, concurrency: int
) -> None:
    for number in range(7):
        # One passes as a file and is refused by the server: it fails alone.
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(140 + 10 * number))
    (tmp_path / "5.png").write_bytes(png_header(9, 9))
    arguments = [tmp_path, "--server", f"localhost:{server.port}", "--json"]
    assert _run([*arguments, "--batch", batch, "--concurrency", concurrency]) == 1
    printed = capsys.readouterr()
    results = [json.loads(line) for line in printed.out.splitlines()]
    assert [pathlib.Path(result["file"]).name for result in results] == [f"{number}.jpg" for number in range(7)]
    scores = [result["detections"][0]["score"] for result in results]
    assert scores == pytest.approx([(140 + 10 * number) / 255 for number in range(7)], abs=0.01)
    assert "5.png" in printed.err


def test_what_a_refused_image_is_sent_with_is_asked_again_alone(server: ModelServer) -> None:
    with DetectorClient(f"localhost:{server.port}") as client:
        images = [image_files.ImageFile(pathlib.Path(str(n)), jpeg(), Image.new("RGB", (4, 4))) for n in range(3)]
        images[1] = dataclasses.replace(images[1], encoded=b"no image")
        asked = asking._ask_images(client, images, 0.5)
    assert [asked[image.path].result is not None for image in images] == [True, False, True]
    assert "at index 0" in asked[images[1].path].error


def test_a_server_that_goes_away_leaves_what_was_found_and_says_what_was_not_asked(
    server: ModelServer, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg())
    detect = DetectorClient.detect
    calls = []

    def detect_twice(self: DetectorClient, *given: object) -> object:
        calls.append(given)
        if len(calls) == 3:
            server.stop(0)
        return detect(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(DetectorClient, "detect", detect_twice)
    arguments = [tmp_path, "--server", f"localhost:{server.port}", "--timeout_seconds", "2", "--format", "csv"]
    assert _run(arguments) == 1
    printed = capsys.readouterr()
    assert [line.split(",")[1] for line in printed.out.splitlines()] == ["class", "stop", "stop"]
    assert "1 of 4 images have no answer, from" in printed.err and "3.jpg on" in printed.err


def test_an_interruption_keeps_what_was_found(
    server: ModelServer, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg())
    shown = showing._show
    seen = []

    def interrupt(*given: object) -> int:
        seen.append(given)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return shown(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(showing, "_show", interrupt)
    assert _run([tmp_path, "--server", f"localhost:{server.port}", "--format", "coco"]) == 130
    printed = capsys.readouterr()
    assert [row["image_id"] for row in json.loads(printed.out)] == [1]
    assert "have no answer" in printed.err


def test_coco_results_have_boxes_in_pixels(
    server: ModelServer, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(220, 80, 40))
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{tmp_path / 'a.jpg'}\n\n"))
    assert _run(["-", "--server", f"localhost:{server.port}", "--format", "coco"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["image_id"], row["category_id"], row["bbox"]) == (1, 1, [40, 10, 40, 20])
    assert row["file_name"].endswith("a.jpg") and row["score"] == pytest.approx(0.863, abs=0.01)


def test_asyncio(server: ModelServer) -> None:
    async def detect() -> tuple[list[tuple[object, ...]], int]:
        async with AsyncDetectorClient(f"localhost:{server.port}", model_version=1) as client:
            answers = await asyncio.gather(*(client.detect([jpeg(value)], 0.5) for value in (255, 0)))
            with pytest.raises(ImageRefusedError):
                await client.detect([b"no image"])
        return [answer[0][0] for answer in answers], answers[0][1]

    (bright, dark), version = asyncio.run(detect())
    assert len(bright) == 1 and dark == () and version == 1


def test_tls_and_token(
    tmp_path: pathlib.Path,
    push: Callable[[int], pathlib.Path],
    guard: Guard,
    capsys: pytest.CaptureFixture[str],
) -> None:
    push(1)
    (tmp_path / "street.jpg").write_bytes(jpeg())
    settings = ServerSettings(port=0, poll_seconds=3600, **guard.settings)
    running = ModelServer([ModelConfig("detector", tmp_path / "models")], settings)
    running.start()
    try:
        address = f"localhost:{running.port}"
        asked = [tmp_path / "street.jpg", "--server", address]
        assert _run([*asked, *guard.flags]) == 0
        assert _run([*asked, *guard.flags_without_token]) == 1
        assert "UNAUTHENTICATED" in capsys.readouterr().err
        with DetectorClient(Connection(address, 2.0)) as client, pytest.raises(ServerError):
            client.detect([jpeg()])
    finally:
        running.stop(0)


def test_python_api(server: ModelServer) -> None:
    with DetectorClient(f"localhost:{server.port}") as client:
        (bright, dark), version = client.detect([jpeg(255), jpeg(0)], score_threshold=0.5)
        assert version == 1
        assert [found.class_name for found in bright] == ["stop"] and dark == ()
        with pytest.raises(ImageRefusedError, match="INVALID_ARGUMENT"):
            client.detect([b"no image"])
    with (
        DetectorClient(f"localhost:{server.port}", model_name="other") as client,
        pytest.raises(ServerError, match=r"NOT_FOUND: Servable not found for request: Latest\(other\)"),
    ):
        client.detect([jpeg()])
