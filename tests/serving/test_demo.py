"""The command that serves the page, before a real server."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from serving import demo
from serving.model_server import ModelServer, ServerSettings
from serving.models.models_config import ModelConfig
from tests.browser import Browser
from tests.serving.tiny_detector import jpeg, png_header


@contextlib.contextmanager
def _running(*arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Address of the page and its process, which has no TensorFlow."""
    script = (
        "import sys; sys.modules.update(dict.fromkeys(('tensorflow', 'tensorflow_serving', 'pydantic', 'keras')));"
        "from serving import demo; demo.main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", script, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout and process.stderr
        line = process.stdout.readline()
        match = re.match(r"(http://\S+) is the page; Ctrl-C ends it$", line)
        assert match, line + process.stderr.read()
        yield match[1], process
    finally:
        process.kill()
        process.communicate()


def _ask(address: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, body), timeout=60) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_a_server_is_asked_goes_away_and_is_found_again(server: ModelServer, tmp_path: pathlib.Path) -> None:
    address = f"localhost:{server.port}"
    with _running("--server", address, "--timeout_seconds", "20") as (page, process):
        assert page.startswith("http://127.0.0.1:")
        status, model = _ask(page + "model")
        assert (status, model["model"], model["version"], model["error"]) == (200, "detector", 1, None)
        status, answer = _ask(page + "detect?name=street.jpg", jpeg(220, 80, 40))
        assert (status, answer["width"], answer["model_version"]) == (200, 80, 1)
        (found,) = answer["detections"]
        assert (found["class"], found["box_xyxy_pixels"]) == ("stop", [40, 10, 80, 30])
        status, refused = _ask(page + "detect", png_header(9, 9))
        assert (status, refused["kind"]) == (400, "image")
        server.stop(0)
        status, away = _ask(page + "detect", jpeg())
        assert (status, away["kind"]) == (502, "server")
        assert f"no server answers at {address}" in away["error"]
        back = ModelServer(
            [ModelConfig("detector", tmp_path / "models")], ServerSettings(port=server.port, poll_seconds=3600)
        )
        back.start()
        try:
            assert _ask(page + "detect", jpeg())[0] == 200
        finally:
            back.stop(0)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr and "Traceback" not in process.stderr.read()


def test_the_page_shows_what_the_model_finds(server: ModelServer, browser: Browser, tmp_path: pathlib.Path) -> None:
    (tmp_path / "street.jpg").write_bytes(jpeg(220, 80, 40))
    with _running("--server", f"localhost:{server.port}", "--score_threshold", "0.86") as (address, _):
        page = browser.new_page()
        page.open(address)
        page.wait_until("document.querySelector('#version').textContent === '1'")
        page.choose_files("#files", [tmp_path / "street.jpg"])
        page.wait_until("document.querySelector('.label')")
        assert page.evaluate("document.querySelector('.label').textContent") == "stop 86 %"
        assert page.console_errors == []
        page.close()


def test_a_server_that_is_not_there_yet_is_said_at_the_start() -> None:
    with _running("--server", "localhost:1", "--timeout_seconds", "20") as (page, process):
        assert process.stderr
        assert "the page says, until it changes: no server answers at localhost:1" in process.stderr.readline()
        assert "localhost:1" in _ask(page + "model")[1]["error"]


def test_other_machines_are_let_in_with_a_word() -> None:
    with _running("--host", "0.0.0.0", "--server", "localhost:1", "--timeout_seconds", "1") as (page, process):
        assert page.startswith("http://127.0.0.1:")
        assert process.stderr and "whoever reaches this address" in process.stderr.readline()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "70000"], "argument --port: must be 0 to 65535, found 70000"),
        (["--score_threshold", "50"], "argument --score_threshold: must be 0 to 1, found 50.0"),
        (["--max_image_mib", "0"], "argument --max_image_mib: must be positive, found 0"),
        (["--server", "8500"], "argument --server: must be HOST:PORT"),
    ],
)
def test_wrong_arguments_are_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        demo.main(arguments)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_a_port_that_is_taken_is_said(server: ModelServer, tmp_path: pathlib.Path) -> None:
    with pytest.raises(SystemExit, match=f"error: --host 127.0.0.1 --port {server.port}: .*in use"):
        demo.main(["--port", str(server.port)])
    with pytest.raises(SystemExit, match=r"error: --token_file: .*none cannot be read"):
        demo.main(["--token_file", str(tmp_path / "none")])
