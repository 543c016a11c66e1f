"""The client over REST against a real server, and over both ways where the answer is to be the same."""

from __future__ import annotations

import asyncio
import json
import pathlib
from collections.abc import Callable, Iterator

import pytest
import trustme

from serving import client as client_module
from serving.clients import rest_transport
from serving.clients.attempts import Attempts
from serving.clients.connection import ClientTls, Connection
from serving.clients.detector_client import AsyncDetectorClient, DetectorClient
from serving.clients.errors import AwayError, ImageRefusedError, ServerError
from serving.model_server import ModelServer, ServerSettings
from serving.models.models_config import ModelConfig
from serving.protocol.limits import Limits
from serving.wire.rest import RestSettings
from tests.light_installation import run_light
from tests.serving.clients.scripted_server import answer, scripted
from tests.serving.guard import TOKEN, Guard
from tests.serving.tiny_detector import jpeg, png_header
from tests.serving.wire.door import open_door

_METADATA = answer(json.dumps({"model_spec": {"name": "detector", "version": "3"}}).encode())
_OUTPUTS = {
    "detection_boxes": [[[0.25, 0.5, 0.75, 1.0]]],
    "detection_scores": [[0.5]],
    "detection_classes": [[1]],
    "detection_class_names": [["stop"]],
    "num_detections": [1],
}
_ANSWER = answer(json.dumps({"outputs": _OUTPUTS}).encode())
_HTML = b"<!DOCTYPE html>\n<title>Welcome</title>"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "localhost")


@pytest.fixture
def server(tmp_path: pathlib.Path, push: Callable[[int], pathlib.Path]) -> Iterator[ModelServer]:
    """Versions 1 ("stable") and 2."""
    push(1)
    push(2)
    with open_door(tmp_path, limits=Limits(max_message_mib=1)) as running:
        yield running


def _addresses(server: ModelServer) -> tuple[str, str]:
    return f"localhost:{server.port}", f"http://localhost:{server.rest_port}"


def _run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        client_module.main([str(argument) for argument in arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize("form", ["table", "jsonl", "csv", "coco"])
def test_the_command_prints_over_both_ways_the_same(
    server: ModelServer, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(5):
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(jpeg(140 + 20 * number, 80, 40))
    # It passes as a file, and the server refuses it.
    (tmp_path / "photos" / "3.png").write_bytes(png_header(9, 9))
    options = (tmp_path / "photos", "--format", form, "--batch", 2, "--concurrency", 2)
    printed = []
    for way in (("--server", f"localhost:{server.port}"), ("--rest", "--server", f"localhost:{server.rest_port}")):
        assert _run(*options, *way) == 1
        found = capsys.readouterr()
        assert "3.png" in found.err
        printed.append(found.out)
    assert printed[0] == printed[1] != ""


def test_versions_and_labels(server: ModelServer) -> None:
    for address in _addresses(server):
        for choice, expected in (({}, 2), ({"model_version": 1}, 1), ({"version_label": "stable"}, 1)):
            with DetectorClient(address, **choice) as client:
                ((found,),), version = client.detect([jpeg()], 0.5)
                assert (found.class_id, version) == (expected, expected)


@pytest.mark.parametrize(
    ("choice", "images", "kind", "expected"),
    [
        ({}, [b"no image"], ImageRefusedError, "no readable JPEG, PNG, GIF or BMP image at index 0"),
        ({}, [b"x" * (2 << 20)], ImageRefusedError, ""),
        ({"model_name": "cat"}, [jpeg()], ServerError, r"Servable not found for request: Latest\(cat\)"),
        ({"model_version": 9}, [jpeg()], ServerError, r"Servable not found for request: Specific\(detector, 9\)"),
        ({"version_label": "x"}, [jpeg()], ServerError, "Unrecognized servable version label: x"),
    ],
)
def test_errors_are_of_one_kind_and_in_the_server_s_words(
    server: ModelServer, choice: dict[str, object], images: list[bytes], kind: type[ServerError], expected: str
) -> None:
    for address in _addresses(server):
        with DetectorClient(address, **choice) as client, pytest.raises(kind, match=expected) as caught:  # type: ignore[arg-type]
            client.detect(images)
        assert str(caught.value).startswith(f"{address} answered ")


def test_asyncio(server: ModelServer) -> None:
    async def detect() -> list[list[int]]:
        async with AsyncDetectorClient(_addresses(server)[1]) as client:
            answers = await asyncio.gather(*(client.detect([jpeg(value)], 0.5) for value in (255, 0) * 40))
            with pytest.raises(ImageRefusedError):
                await client.detect([b"no image"])
        return [[len(found) for found in images] for images, _ in answers]

    assert asyncio.run(detect()) == [[1], [0]] * 40


def test_a_version_that_was_unloaded_is_not_asked_on(
    tmp_path: pathlib.Path, push: Callable[[int], pathlib.Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_transport, "_VERSION_SECONDS", 3600)
    push(1)
    settings = ServerSettings(port=0, poll_seconds=3600, rest=RestSettings(0))
    running = ModelServer([ModelConfig("detector", tmp_path / "models")], settings)
    running.start()
    try:
        with DetectorClient(Connection(_addresses(running)[1], retries=False)) as client:
            assert client.detect([jpeg()])[1] == 1
            push(2)
            running.servables.look(trust_files=True)
            ((found,),), version = client.detect([jpeg()], 0.5)
            assert (found.class_id, version) == (2, 2)
    finally:
        running.stop(0)


@pytest.mark.parametrize("is_rest", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_server_that_is_away_and_comes_back_is_asked_again(
    tmp_path: pathlib.Path,
    push: Callable[[int], pathlib.Path],
    monkeypatch: pytest.MonkeyPatch,
    is_rest: bool,
    is_async: bool,
) -> None:
    push(1)
    with open_door(tmp_path) as first:
        address = _addresses(first)[is_rest]
        ports = {"port": first.port, "rest": RestSettings(first.rest_port or 0)}
    pause, back = Attempts.pause_seconds, []

    def come_back(self: Attempts, error: AwayError) -> float:
        if not back:
            back.append(open_door(tmp_path, **ports))
            back[0].__enter__()
        return pause(self, error)

    monkeypatch.setattr(Attempts, "pause_seconds", come_back)

    async def detect() -> int:
        async with AsyncDetectorClient(address) as client:
            return (await client.detect([jpeg()]))[1]

    try:
        if is_async:
            assert asyncio.run(detect()) == 1
        else:
            with DetectorClient(address) as client:
                assert client.detect([jpeg()])[1] == 1
        assert back
    finally:
        for door in back:
            door.__exit__(None, None, None)


def test_who_has_too_much_to_do_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_transport, "_VERSION_SECONDS", 3600)
    busy = [answer(b'{"error": "busy"}', status) for status in ("503 Service Unavailable", "429 Too Many Requests")]
    bad_gateway = answer(_HTML, "502 Bad Gateway", "text/html")
    with (
        scripted([busy[0], _METADATA, busy[1], bad_gateway, _ANSWER]) as server,
        DetectorClient(f"http://localhost:{server.port}") as client,
    ):
        ((found,),), version = client.detect([jpeg()])
    assert (found.class_name, version) == ("stop", 3)
    paths = [request.split()[1] for request in server.requests[0]]
    model = b"/v1/models/detector"
    assert paths == [model + b"/metadata"] * 2 + [model + b"/versions/3:predict"] * 3
    with scripted([busy[0]]) as server:
        connection = Connection(f"http://localhost:{server.port}", retries=False)
        with DetectorClient(connection) as client, pytest.raises(AwayError, match="503 Service Unavailable: busy"):
            client.detect([jpeg()])


def test_a_server_that_says_no_version_is_asked_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_transport, "_VERSION_SECONDS", 3600)
    with (
        scripted([answer(_HTML, "403 Forbidden", "text/html"), _ANSWER, _ANSWER]) as server,
        DetectorClient(f"http://localhost:{server.port}/models") as client,
    ):
        assert [client.detect([jpeg()])[1] for _ in range(2)] == [0, 0]
    assert [request.split()[1] for request in server.requests[0]] == [
        b"/models/v1/models/detector/metadata",
        b"/models/v1/models/detector:predict",
        b"/models/v1/models/detector:predict",
    ]


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        (
            answer(_HTML, kind="text/html"),
            r"answered 200 OK with text/html: '<!DOCTYPE html> <title>Welcome</title>' in",
        ),
        (answer(b"[1]"), r"answered 200 OK with application/json: '\[1\]' in place of a JSON object; is this the addr"),
        (answer(b"{}"), r"/metadata is not TF Serving's: expected the number of a version as model_spec\.version"),
        (answer(_HTML, "500 Oops", "text/html"), "answered 500 Oops: text/html: '<!DOCTYPE html>"),
        (answer(b"", "301 Moved", more="Location: https://x/\r\n"), "answered 301 Moved, to 'https://x/'; ask that"),
        (b"SSH-2.0-OpenSSH\r\n", r"does not answer in HTTP/1\.1 .*; is this its REST port, and not the one of gRPC"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "broke off its answer after 1 bytes"),
        (b"\r\n", r"does not answer in HTTP/1\.1"),
    ],
)
def test_what_is_not_tf_serving_is_said(came: bytes, expected: str) -> None:
    with scripted([came]) as server:
        connection = Connection(f"http://localhost:{server.port}", retries=False)
        with DetectorClient(connection) as client, pytest.raises(ServerError, match=expected):
            client.detect([jpeg()])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"detection_scores": None}, "its answer has no detection_scores"),
        ({"detection_boxes": [[[0.5]]]}, r"detection_boxes has the shape \[1, 1, 1\], expected \[1, 1, 4\]"),
        ({"num_detections": [2]}, r"\[2\] detections in 1 rows"),
        ({"num_detections": [1, 1]}, r"num_detections has the shape \[2\], expected \[1\]"),
        ({"detection_classes": [["a"]]}, "detection_classes: expected numbers of the type int64"),
    ],
)
def test_the_answer_of_another_model_is_said(change: dict[str, object], expected: str) -> None:
    outputs = {name: value for name, value in {**_OUTPUTS, **change}.items() if value is not None}
    with (
        scripted([answer(json.dumps({"outputs": outputs}).encode())]) as server,
        DetectorClient(f"http://localhost:{server.port}", model_version=1) as client,
        pytest.raises(ServerError, match=f"the model is no detector of ours: {expected}"),
    ):
        client.detect([jpeg()])


def test_who_does_not_answer_is_late(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    with scripted([b""]) as server:
        address = f"http://localhost:{server.port}"
        assert _run(tmp_path / "a.jpg", "--server", address, "--timeout_seconds", 0.3) == 1
    assert f"{address} did not answer within 0.3 s" in capsys.readouterr().err


def test_a_proxy_on_the_way_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://user:secret@127.0.0.1:9")
    with (
        DetectorClient(Connection("http://models.example:8501", retries=False)) as client,
        pytest.raises(AwayError, match=r"through the proxy 127\.0\.0\.1:9.*set no_proxy=localhost,models\.example"),
    ):
        client.detect([jpeg()])


def test_tls_with_a_certificate_on_both_sides_and_a_token(
    tmp_path: pathlib.Path,
    push: Callable[[int], pathlib.Path],
    guard: Guard,
    capsys: pytest.CaptureFixture[str],
) -> None:
    push(1)
    (tmp_path / "a.jpg").write_bytes(jpeg())
    trustme.CA().cert_pem.write_to_path(tmp_path / "other_ca.pem")
    ca, certificate, key = (guard.folder / name for name in ("ca.pem", "client.pem", "client.key"))
    ours = ClientTls(ca, certificate, key)
    with open_door(tmp_path, **guard.settings) as running:
        address = f"https://localhost:{running.rest_port}"

        def detect(tls: ClientTls | None, token: str | None, asked: str = address) -> int:
            with DetectorClient(Connection(asked, tls=tls, token=token, retries=False)) as client:
                return client.detect([jpeg()])[1]

        assert detect(ours, TOKEN) == 1
        for token in (None, "x" * 16):
            with pytest.raises(ServerError, match="answered 401 Unauthorized: expected the metadata or header"):
                detect(ours, token)
        for stranger in (ClientTls(tmp_path / "other_ca.pem"), None):
            with pytest.raises(ServerError, match=r"cannot be trusted: .*; give the certificates \(PEM\) of who"):
                detect(stranger, TOKEN)
        with pytest.raises(ServerError):
            detect(ClientTls(ca), TOKEN)
        with pytest.raises(ServerError, match="if it speaks TLS, its address begins with https://"):
            detect(None, TOKEN, address.replace("https", "http"))
        way = ("--rest", "--server", f"localhost:{running.rest_port}", *guard.flags)
        assert _run(tmp_path / "a.jpg", "--format", "csv", *way) == 0
        assert "a.jpg,stop,0.78" in capsys.readouterr().out


@pytest.mark.parametrize("is_rest", [False, True])
def test_it_runs_where_the_distribution_is_installed_without_an_extra(
    server: ModelServer, tmp_path: pathlib.Path, is_rest: bool
) -> None:
    (tmp_path / "light").mkdir()
    (tmp_path / "street.jpg").write_bytes(jpeg(220, 80, 40))
    address = _addresses(server)[is_rest]
    ran = run_light(
        tmp_path / "light", "-m", "serving.client", tmp_path / "street.jpg", "--label", "stable", "--server", address
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[1].split()[1:] == ["stop", "0.863", "40", "10", "80", "30"]
