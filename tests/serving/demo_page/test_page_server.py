"""The page's own server over HTTP, before a client that is made up."""

from __future__ import annotations

import http.client
import io
import json
import pathlib
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from serving.clients.errors import ImageRefusedError, ServerError
from serving.demo_page.answers import PageAnswers
from serving.demo_page.page_server import PageServer
from tests.serving.demo_page.fake_client import FAINT, STOP, FakeClient

MIB = 1 << 20


@pytest.fixture
def client() -> FakeClient:
    return FakeClient(STOP, FAINT)


@pytest.fixture
def server(client: FakeClient) -> Iterator[PageServer]:
    with PageServer(PageAnswers(client, "signs", "there:8500", 0.4, max_image_mib=1)) as running:
        yield running


def _ask(
    server: PageServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def _image(kind: str = "JPEG", size: tuple[int, int] = (40, 20), **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (90, 120, 150)).save(buffer, kind, **options)
    return buffer.getvalue()


def test_a_picture_is_sent_as_it_is_and_every_detection_comes_back(server: PageServer, client: FakeClient) -> None:
    status, answer = _ask(server, "POST", "/detect?name=street%201.jpg", _image())
    assert status == 200
    assert client.asked == [_image()]
    assert (answer["file"], answer["width"], answer["height"], answer["model_version"]) == ("street 1.jpg", 40, 20, 3)
    stop, faint = answer["detections"]  # type: ignore[misc]
    assert (stop["class"], stop["score"], stop["box_yxyx_normalized"]) == ("stop", 0.9, [0.25, 0.5, 0.75, 1.0])
    assert faint["score"] == 0.2
    assert set(answer["colours"]) == {"stop", "yield"}  # type: ignore[call-overload]
    assert answer["model_seconds"] >= 0  # type: ignore[operator]


@pytest.mark.parametrize(
    ("kind", "is_as_it_is"), [("JPEG", True), ("PNG", True), ("WEBP", False), ("GIF", False), ("BMP", False)]
)
def test_what_a_browser_shows_is_sent_as_the_model_reads_it(
    server: PageServer, client: FakeClient, kind: str, is_as_it_is: bool
) -> None:
    assert _ask(server, "POST", "/detect", _image(kind))[0] == 200
    (sent,) = client.asked
    assert (sent == _image(kind)) == is_as_it_is
    with Image.open(io.BytesIO(sent)) as image:
        assert image.format in ("JPEG", "PNG") and image.size == (40, 20)


def test_sizes_are_of_the_upright_picture(server: PageServer) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    _, answer = _ask(server, "POST", "/detect", _image(exif=exif))
    assert (answer["width"], answer["height"]) == (20, 40)


def test_who_answers(server: PageServer, client: FakeClient) -> None:
    expected = {
        "model": "signs",
        "server": "there:8500",
        "version": 3,
        "error": None,
        "score_threshold": 0.4,
        "max_image_mib": 1,
    }
    assert _ask(server, "GET", "/model") == (200, expected)
    client.version = 0
    assert _ask(server, "GET", "/model")[1]["version"] is None
    client.error = ImageRefusedError("too small")
    assert _ask(server, "GET", "/model")[1]["error"] is None
    client.error = ServerError("no server answers at there:8500")
    assert _ask(server, "GET", "/model")[1]["error"] == "no server answers at there:8500"


@pytest.mark.parametrize(
    ("error", "status", "kind", "said"),
    [
        (ServerError("no server answers"), 502, "server", "no server answers"),
        (ImageRefusedError("there answered INVALID_ARGUMENT"), 422, "image", "image: there answered INVALID_ARGUMENT"),
    ],
)
def test_errors_of_the_server_are_handed_on_and_pass(
    server: PageServer, client: FakeClient, error: Exception, status: int, kind: str, said: str
) -> None:
    client.error = error
    assert _ask(server, "POST", "/detect", _image()) == (status, {"error": said, "kind": kind})
    client.error = None
    assert _ask(server, "POST", "/detect", _image())[0] == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"a text", "notes.txt: is not an image (6 bytes)"),
        (b"", "notes.txt: is not an image (0 bytes)"),
        (_image("WEBP", size=(200, 200))[:-30], "notes.txt: cannot be read as an image"),
        # Pillow would start another program for it.
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "notes.txt: is not an image"),
    ],
)
def test_what_is_no_image_is_not_sent(server: PageServer, client: FakeClient, body: bytes, said: str) -> None:
    status, answer = _ask(server, "POST", "/detect?name=notes.txt", body)
    assert (status, answer["kind"]) == (400, "image")
    assert str(answer["error"]).startswith(said)
    assert client.asked == []


def test_too_many_pixels_are_not_decoded(server: PageServer, client: FakeClient) -> None:
    encoded = io.BytesIO()
    Image.new("1", (9000, 9000)).save(encoded, "PNG")
    status, answer = _ask(server, "POST", "/detect", encoded.getvalue())
    assert (status, answer["error"]) == (400, "image: has 9000 x 9000 pixels, the limit is 64000000")
    assert client.asked == []


def test_a_file_that_is_too_large_is_refused_and_its_sender_hears_why(server: PageServer, client: FakeClient) -> None:
    status, answer = _ask(server, "POST", "/detect", bytes(3 * MIB))
    assert (status, answer["kind"]) == (413, "image")
    assert answer["error"] == "the image has 3.0 MiB; at most 1 MiB are taken (--max_image_mib)"
    assert client.asked == []


@pytest.mark.parametrize("length", [None, "-1", "x", "1_0"])
def test_a_length_that_is_none_is_refused(server: PageServer, length: str | None) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), 30) as connection:
        stated = "" if length is None else f"Content-Length: {length}\r\n"
        connection.sendall(f"POST /detect HTTP/1.1\r\nHost: localhost\r\n{stated}\r\n".encode())
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 411 ")


def test_other_sites_reach_neither_the_page_nor_the_model(server: PageServer, client: FakeClient) -> None:
    rebound = {"Host": "evil.example"}
    for method, path in [("GET", "/"), ("GET", "/model"), ("POST", "/detect")]:
        status, answer = _ask(server, method, path, _image() if method == "POST" else None, **rebound)
        assert status == 403 and "evil.example" in str(answer["error"])
    for sent in ({"Origin": "http://evil.example"}, {"Sec_Fetch_Site": "cross-site"}):
        assert _ask(server, "POST", "/detect", _image(), **sent)[0] == 403
        assert _ask(server, "GET", "/model", **sent)[0] == 403
    assert client.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "/../answers.py",
        "/static/../../answers.py",
        "/%2e%2e/answers.py",
        "//etc/passwd",
        "/etc/passwd",
        "/page.js/",
        "/..%5canswers.py",
        "/page.html%00.js",
    ],
)
def test_no_other_file_is_served(server: PageServer, path: str) -> None:
    assert _ask(server, "GET", path)[0] == 404


@given(path=st.from_regex(r"/[!-~]{0,30}", fullmatch=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_any_path_is_one_of_the_files_or_not_there(server: PageServer, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request("GET", path)
    known = path.partition("?")[0].partition("#")[0] in {*server.files, "/model"}
    assert connection.getresponse().status == (200 if known else 404)
    connection.close()


def test_the_page_may_load_nothing_from_elsewhere(server: PageServer) -> None:
    for path, file in server.files.items():
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.read() == file.read_bytes()
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Server"] == "demo"
        connection.close()


def test_a_browser_that_goes_in_the_middle_leaves_the_server_at_work(server: PageServer, client: FakeClient) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port)) as connection:
        connection.sendall(b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
    assert _ask(server, "POST", "/detect", _image())[0] == 200
    assert client.asked == [_image()]


def test_what_nobody_thought_of_is_answered_and_logged(
    server: PageServer, client: FakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.error = KeyError("odd")
    for method, path in [("GET", "/model"), ("POST", "/detect")]:
        status, answer = _ask(server, method, path, _image())
        assert (status, answer["kind"]) == (500, "image")
    assert "KeyError: 'odd'" in caplog.text


def test_names_of_the_page(client: FakeClient) -> None:
    answers = PageAnswers(client, "signs", "there:8500", 0.5, 1)
    with PageServer(answers, allowed_names=["Box.lan"]) as server:
        assert _ask(server, "GET", "/model", Host="box.LAN:80")[0] == 200
    with PageServer(answers, host="0.0.0.0") as server:
        assert server.address == f"http://127.0.0.1:{server.server_port}/"
    with PageServer(answers) as taken, pytest.raises(OSError, match="in use"):
        PageServer(answers, port=taken.server_port)


def test_every_file_of_the_page_is_served(server: PageServer) -> None:
    static = pathlib.Path(server.files["/"]).parent
    assert {path.name for path in server.files.values()} == {path.name for path in static.iterdir()}
