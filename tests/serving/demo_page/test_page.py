"""The page in a browser, before a client that is made up."""

from __future__ import annotations

import http.server
import json
import pathlib
import threading
from collections.abc import Callable, Iterator

import pytest
from PIL import Image

from serving.clients.errors import ImageRefusedError, ServerError
from serving.demo_page.answers import PageAnswers
from serving.demo_page.page_server import PageServer
from serving.protocol.detections import Detection
from tests.browser import Browser, BrowserError, Page
from tests.serving.demo_page.fake_client import FAINT, STOP, YIELD, FakeClient

LONG = Detection(3, "a_class_whose_name_is_longer_than_any_phone_is_wide_and_has_no_space_in_it", 0.8, (0, 0.9, 0.1, 1))
IS_READY = "document.querySelector('#version').textContent === '3'"


@pytest.fixture
def client() -> FakeClient:
    return FakeClient(STOP, YIELD, FAINT)


@pytest.fixture
def server(client: FakeClient) -> Iterator[PageServer]:
    with PageServer(PageAnswers(client, "signs", "there:8500", 0.5, max_image_mib=1)) as running:
        yield running


@pytest.fixture
def open_page(server: PageServer, browser: Browser) -> Iterator[Callable[..., Page]]:
    pages = []

    def open_it(**window: object) -> Page:
        page = browser.new_page(**window)  # type: ignore[arg-type]
        pages.append(page)
        page.open(server.address)
        return page

    yield open_it
    for page in pages:
        page.close()


def _image(folder: pathlib.Path, name: str = "street.png", size: tuple[int, int] = (400, 200)) -> pathlib.Path:
    Image.new("RGB", size, (90, 120, 150)).save(folder / name)
    return folder / name


def _choose(page: Page, *paths: pathlib.Path) -> None:
    page.choose_files("#files", paths)


def _wait_for_thumbnails(page: Page, count: int) -> None:
    page.wait_until(f"document.querySelectorAll('#thumbnails li').length === {count}")


def _texts(page: Page, selector: str) -> list[str]:
    found: list[str] = page.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.innerText)")
    return found


def _set_slider(page: Page, row: int, percent: int) -> None:
    """As a hand on it does."""
    page.evaluate(
        f"""(() => {{
          const slider = document.querySelectorAll(".threshold input")[{row}];
          slider.value = {percent};
          slider.dispatchEvent(new Event("input", {{ bubbles: true }}));
        }})()"""
    )


def test_it_loads_from_its_own_server_alone(server: PageServer, open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.wait_until(IS_READY)
    assert _texts(page, "h1, header dd") == ["signs", "3", "there:8500", "–", "–"]
    assert page.evaluate("document.title") == "signs: detections"
    assert page.evaluate("document.querySelector('output').textContent") == "50 %"
    assert page.console_errors == []
    assert page.requests_elsewhere(server.address) == []
    assert set(page.requests) >= {server.address, server.address + "page.js", server.address + "model"}


def test_boxes_and_labels_are_drawn_over_a_picture(
    open_page: Callable[..., Page], client: FakeClient, tmp_path: pathlib.Path
) -> None:
    page = open_page()
    path = _image(tmp_path)
    _choose(page, path)
    _wait_for_thumbnails(page, 1)
    assert client.asked[-1] == path.read_bytes()
    assert _texts(page, ".label") == ["yield 60 %", "stop 90 %"]
    assert _texts(page, "#detections li") == ["stop\n90 %", "yield\n60 %"]
    assert _texts(page, "#count, #status") == ["street.png, 400 × 200 pixels", "2 of 3"]
    boxes = page.evaluate(
        """(() => {
          const stage = document.querySelector("#picture").getBoundingClientRect();
          return [...document.querySelectorAll(".box")].map((box) => {
            const { top, left, bottom, right } = box.getBoundingClientRect();
            return [(top - stage.top) / stage.height, (left - stage.left) / stage.width,
                    (bottom - stage.top) / stage.height, (right - stage.left) / stage.width];
          });
        })()"""
    )
    expected = [found.box_yxyx_normalized for found in (YIELD, STOP)]
    assert boxes == [pytest.approx(box, abs=0.005) for box in expected]
    model, shown = (int(text.removesuffix(" ms")) for text in _texts(page, "#model-latency, #latency"))
    assert 20 <= model <= shown
    assert page.console_errors == []


@pytest.mark.parametrize("window", [{}, {"width": 390, "height": 844, "is_phone": True}, {"is_dark": True}])
@pytest.mark.parametrize("size", [(400, 200), (200, 900), (3000, 1000), (30, 20)])
def test_everything_is_in_the_window_and_labels_are_in_the_picture(
    open_page: Callable[..., Page],
    client: FakeClient,
    tmp_path: pathlib.Path,
    window: dict[str, object],
    size: tuple[int, int],
) -> None:
    client.detections = (STOP, LONG, YIELD, FAINT)
    page = open_page(**window)
    page.wait_until(IS_READY)
    assert page.wider_than_the_window() == []
    _choose(page, _image(tmp_path, size=size))
    _wait_for_thumbnails(page, 1)
    assert page.wider_than_the_window() == []
    assert page.evaluate(
        """(() => {
          const stage = document.querySelector("#stage").getBoundingClientRect();
          const picture = document.querySelector("#picture").getBoundingClientRect();
          const isIn = (inner) => inner.left >= stage.left - 1 && inner.right <= stage.right + 1 &&
            inner.top >= stage.top - 1 && inner.bottom <= stage.bottom + 1;
          const labels = [...document.querySelectorAll(".label:not(.crowded)")];
          const isCut = (label) => label.scrollWidth > label.clientWidth + 1;
          return Math.abs(stage.width - picture.width) < 1 && Math.abs(stage.height - picture.height) < 1 &&
            labels.length >= 1 && labels.every((label) => isIn(label.getBoundingClientRect()) && !isCut(label));
        })()"""
    )
    shown = page.evaluate(
        "(({ width, height }) => width / height)(document.querySelector('#picture').getBoundingClientRect())"
    )
    assert shown == pytest.approx(size[0] / size[1], rel=0.02)


@pytest.mark.parametrize("is_dark", [False, True])
def test_words_stand_out_from_what_is_behind_them(
    open_page: Callable[..., Page], client: FakeClient, tmp_path: pathlib.Path, is_dark: bool
) -> None:
    # One of each name: their colours are of all kinds.
    client.detections = tuple(Detection(n, f"class {n}", 0.9, (0.1, 0, 0.2, 0.1)) for n in range(1, 40))
    page = open_page(is_dark=is_dark)
    _choose(page, _image(tmp_path))
    _wait_for_thumbnails(page, 1)
    contrasts = page.evaluate(
        """(() => {
          const luminance = (colour) => {
            const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map((value) => value / 255)
              .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const behind = (element) => {
            const colour = getComputedStyle(element).backgroundColor;
            return colour === "rgba(0, 0, 0, 0)" ? behind(element.parentElement) : colour;
          };
          return [...document.querySelectorAll(".label, .button, h1, dt, dd, small, output, #status, #detections span")]
            .map((element) => {
              const [one, other] = [luminance(getComputedStyle(element).color), luminance(behind(element))];
              return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
            });
        })()"""
    )
    # WCAG 2, level AA.
    assert len(contrasts) > 80 and min(contrasts) >= 4.5


def test_sliders_hide_and_show_boxes(open_page: Callable[..., Page], tmp_path: pathlib.Path) -> None:
    page = open_page()
    _choose(page, _image(tmp_path))
    _wait_for_thumbnails(page, 1)
    assert _texts(page, ".threshold b") == ["all classes", "stop", "yield"]
    assert _texts(page, ".threshold small") == ["", "1 of 1", "1 of 2"]
    _set_slider(page, 2, 61)
    assert _texts(page, ".label") == ["stop 90 %"]
    assert _texts(page, "#count, #thumbnails span") == ["1", "1 of 3"]
    _set_slider(page, 2, 20)
    assert _texts(page, ".label") == ["yield 20 %", "yield 60 %", "stop 90 %"]
    _set_slider(page, 0, 91)
    assert _texts(page, ".label") == []
    assert _texts(page, "output") == ["91 %"] * 3
    _set_slider(page, 0, 90)
    assert _texts(page, ".label") == ["stop 90 %"]


def test_the_keyboard_reaches_all(open_page: Callable[..., Page], tmp_path: pathlib.Path) -> None:
    page = open_page()
    page.wait_until(IS_READY)
    _choose(page, _image(tmp_path))
    _wait_for_thumbnails(page, 1)
    reached = []
    page.evaluate("document.activeElement.blur()")
    for _ in range(9):
        page.press("Tab")
        reached.append(
            page.evaluate("(({ id, ariaLabel, innerText }) => id || ariaLabel || innerText)(document.activeElement)")
        )
    assert reached == [
        "files",
        "camera",
        "labels",
        "show street.png again",
        "least score of all classes, in per cent",
        "least score of stop, in per cent",
        "least score of yield, in per cent",
        "stop\n90 %",
        "yield\n60 %",
    ]
    # What is pointed at in the list stands alone.
    is_seen = "[...document.querySelectorAll('.label')].filter((e) => getComputedStyle(e).visibility === 'visible')"
    assert page.evaluate(f"{is_seen}.map((e) => e.textContent)") == ["yield 60 %"]
    page.evaluate("document.querySelectorAll('.threshold input')[1].focus()")
    page.press("End")
    page.wait_until("document.querySelectorAll('.label').length === 1")
    assert _texts(page, ".label") == ["yield 60 %"]
    assert page.evaluate("document.activeElement.ariaLabel") == "least score of stop, in per cent"


def test_several_pictures_are_asked_one_after_the_other_and_the_last_are_kept(
    open_page: Callable[..., Page], client: FakeClient, tmp_path: pathlib.Path
) -> None:
    page = open_page()
    page.wait_until(IS_READY)
    paths = [_image(tmp_path, f"{n}.png", (100 + n, 50)) for n in range(14)]
    _choose(page, *paths[:7])
    _choose(page, *paths[7:])
    page.wait_until("document.querySelector('#status').textContent === '13.png, 113 × 50 pixels'")
    assert client.asked[-14:] == [path.read_bytes() for path in paths]
    assert client.most_at_once == 1
    _wait_for_thumbnails(page, 12)
    # The newest in front; the first two are gone.
    page.evaluate("document.querySelectorAll('#thumbnails button')[11].click()")
    page.wait_until("document.querySelector('#status').textContent === '2.png, 102 × 50 pixels'")
    current = page.evaluate("[...document.querySelectorAll('#thumbnails button')].map((e) => e.ariaCurrent)")
    assert current == ["false"] * 11 + ["true"]
    assert len(client.asked[1:]) == 14


def test_a_server_that_is_away_is_said_and_the_picture_is_asked_about_when_it_is_back(
    open_page: Callable[..., Page], client: FakeClient, tmp_path: pathlib.Path
) -> None:
    client.error = ServerError("no server answers at there:8500; is it running?")
    page = open_page()
    page.wait_until("!document.querySelector('#down').hidden")
    assert _texts(page, "#down p") == ["no server answers at there:8500; is it running?"]
    assert page.console_errors == []
    _choose(page, _image(tmp_path))
    client.error = None
    page.evaluate("document.querySelector('#down button').click()")
    page.wait_until("document.querySelector('#down').hidden")
    _wait_for_thumbnails(page, 1)
    assert _texts(page, ".label") == ["yield 60 %", "stop 90 %"]
    client.error = ServerError("there:8500 did not answer within 30 s")
    _choose(page, _image(tmp_path, "next.png"))
    page.wait_until("document.querySelector('#down p').textContent.includes('within 30 s')")
    # Without a hand, too.
    client.error = None
    _wait_for_thumbnails(page, 2)
    assert page.evaluate("document.querySelector('#down').hidden")


def test_the_end_of_the_pages_own_server_is_said(browser: Browser, client: FakeClient, tmp_path: pathlib.Path) -> None:
    page = browser.new_page()
    with PageServer(PageAnswers(client, "signs", "there:8500", 0.5, 1)) as server:
        page.open(server.address)
        page.wait_until(IS_READY)
        port = server.server_port
    _choose(page, _image(tmp_path))
    page.wait_until(
        "document.querySelector('#down p').textContent.includes('Is python -m serving.demo still running?')"
    )
    with PageServer(PageAnswers(client, "signs", "there:8500", 0.5, 1), port=port):
        page.evaluate("document.querySelector('#down button').click()")
        _wait_for_thumbnails(page, 1)
    page.close()


def test_files_that_are_not_taken_are_said_and_the_others_are_shown(
    open_page: Callable[..., Page], client: FakeClient, tmp_path: pathlib.Path
) -> None:
    page = open_page()
    page.wait_until(IS_READY)
    (tmp_path / "notes.txt").write_text("a text")
    noise = Image.effect_noise((1100, 1100), 100).convert("RGB")
    noise.save(tmp_path / "large.png")
    _choose(page, tmp_path / "notes.txt", tmp_path / "large.png", _image(tmp_path))
    _wait_for_thumbnails(page, 1)
    size = (tmp_path / "large.png").stat().st_size / (1 << 20)
    assert _texts(page, "#failed p") == [
        "notes.txt is not an image that this browser can show.",
        f"large.png is too large: it has {size:.1f} MiB, at most 1 MiB are taken.",
    ]
    client.error = ImageRefusedError("there:8500 answered INVALID_ARGUMENT: too many pixels")
    _choose(page, _image(tmp_path, "refused.png"))
    page.wait_until("document.querySelectorAll('#failed p').length === 1")
    page.wait_until("document.querySelector('#failed p').textContent.includes('INVALID_ARGUMENT')")
    assert _texts(page, "#failed p") == ["refused.png: there:8500 answered INVALID_ARGUMENT: too many pixels"]
    page.evaluate("document.querySelector('#failed button').click()")
    assert page.evaluate("document.querySelector('#failed').hidden")


def test_the_camera_is_asked_about_one_picture_after_the_other(
    open_page: Callable[..., Page], client: FakeClient
) -> None:
    page = open_page()
    page.wait_until(IS_READY)
    probes = len(client.asked)
    page.evaluate("document.querySelector('#camera').click()")
    page.wait_until("document.querySelectorAll('.label').length === 2")
    for count in (2, 4):
        while len(client.asked) - probes < count:
            page.evaluate("new Promise((resolve) => setTimeout(resolve, 20))")
    client.error = ServerError("no server answers")
    page.wait_until("!document.querySelector('#down').hidden")
    client.error = None
    page.evaluate("document.querySelector('#down button').click()")
    page.wait_until("document.querySelector('#down').hidden")
    assert client.most_at_once == 1
    assert page.evaluate("document.querySelector('#camera').ariaPressed") == "true"
    page.evaluate("document.querySelector('#camera').click()")
    page.wait_until("document.querySelector('#camera').ariaPressed === 'false'")
    # The last one is kept.
    _wait_for_thumbnails(page, 1)
    assert _texts(page, "#thumbnails button")[0] == "2"
    probe = client.asked[0]
    pictures = [image for image in client.asked if image != probe]
    assert len(set(pictures)) == len(pictures) >= 4


def test_camera_and_files_give_way_to_each_other_and_share_one_request(
    open_page: Callable[..., Page], client: FakeClient, tmp_path: pathlib.Path
) -> None:
    page = open_page()
    page.wait_until(IS_READY)
    client.seconds = 0.4
    path = _image(tmp_path)
    _choose(page, path)
    page.evaluate("document.querySelector('#camera').click()")
    page.wait_until("document.querySelector('#picture').ariaLabel?.startsWith('camera')")
    _choose(page, path)
    page.wait_until("document.querySelector('#camera').ariaPressed === 'false'")
    page.wait_until("document.querySelector('#status').textContent === 'street.png, 400 × 200 pixels'")
    _wait_for_thumbnails(page, 3)
    # A last one of the camera may come after it, and is not shown.
    assert path.read_bytes() in client.asked[-2:]
    assert client.most_at_once == 1
    # At once again: only the new one asks.
    for _ in range(3):
        page.evaluate("document.querySelector('#camera').click()")
    page.wait_until("document.querySelector('#picture').ariaLabel?.startsWith('camera')")
    assert client.most_at_once == 1
    assert page.console_errors == []


def test_a_camera_that_may_not_be_used_is_said(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.evaluate(
        "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'))"
    )
    page.evaluate("document.querySelector('#camera').click()")
    page.wait_until("document.querySelector('#failed p')")
    assert "was not allowed to use the camera" in _texts(page, "#failed p")[0]
    assert page.evaluate("document.querySelector('#camera').ariaPressed") == "false"


def test_a_picture_on_its_side_is_shown_upright(open_page: Callable[..., Page], tmp_path: pathlib.Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (400, 200)).save(tmp_path / "turned.jpg", exif=exif)
    page = open_page()
    _choose(page, tmp_path / "turned.jpg")
    _wait_for_thumbnails(page, 1)
    assert _texts(page, "#status") == ["turned.jpg, 200 × 400 pixels"]
    assert page.evaluate("(({ width, height }) => height / width)(document.querySelector('#picture'))") == 2


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(open_page: Callable[..., Page], event: str) -> None:
    page = open_page()
    page.evaluate(
        f"""(async () => {{
          const canvas = Object.assign(document.createElement("canvas"), {{ width: 60, height: 30 }});
          canvas.getContext("2d");
          const blob = await new Promise((resolve) => canvas.toBlob(resolve));
          const data = new DataTransfer();
          data.items.add(new File([blob], "given.png", {{ type: "image/png" }}));
          document.dispatchEvent("{event}" === "drop"
            ? new DragEvent("drop", {{ dataTransfer: data, bubbles: true, cancelable: true }})
            : new ClipboardEvent("paste", {{ clipboardData: data }}));
        }})()"""
    )
    _wait_for_thumbnails(page, 1)
    assert _texts(page, "#status") == ["given.png, 60 × 30 pixels"]


def test_a_link_that_is_dropped_is_said_to_be_no_file(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.evaluate(
        "document.dispatchEvent(new DragEvent('drop', { dataTransfer: new DataTransfer(), cancelable: true }))"
    )
    assert "is no file" in _texts(page, "#failed p")[0]


def test_the_page_of_another_site_cannot_ask(
    browser: Browser, server: PageServer, client: FakeClient, tmp_path: pathlib.Path
) -> None:
    class OtherSite(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), OtherSite) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.open(f"http://127.0.0.1:{other.server_port}/")
        image = list(_image(tmp_path).read_bytes())
        # The first kind reaches a server without being asked whether it may.
        for mode in ("no-cors", "cors"):
            request = f"{{ method: 'POST', body: Uint8Array.from({image}), mode: '{mode}' }}"
            with pytest.raises(BrowserError, match="Failed to fetch"):
                page.evaluate(f"fetch('{server.address}detect', {request})")
        page.close()
        other.shutdown()
    assert client.asked == []
