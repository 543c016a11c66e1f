"""The client against a real server: table, JSON, drawn images, and errors in words."""

from __future__ import annotations

import json
import pathlib

import pytest
from PIL import Image

from serving import client as client_module
from serving.client import DetectorClient, ImageRefusedError, ServerError
from serving.model_server import ModelServer
from tests.serving.tiny_detector import jpeg


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
