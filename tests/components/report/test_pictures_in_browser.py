"""Pictures with names, in a browser: they open and close without a script, and every name can be read."""

from __future__ import annotations

import io
import pathlib

import numpy as np
import pytest
from PIL import Image

from components.report.drawn_image import DrawnBox, DrawnImage, page_jpeg
from components.report.sections.example_images import ExampleImages
from components.report.templating import templates
from tests.browser import Browser, Page

NAMES = ("car", "pedestrian_crossing", "priority road ahead of the crossing", "Fußgänger", "歩行者")


def made_image(width: int, height: int, seed: int) -> DrawnImage:
    """A picture with boxes that crowd at its edges."""
    random = np.random.default_rng(seed)
    buffer = io.BytesIO()
    Image.fromarray(random.integers(0, 255, (height, width, 3)).astype(np.uint8)).save(buffer, "PNG")
    corner = np.clip(random.uniform(-0.1, 0.9, (18, 2)), 0, 0.9)
    boxes = np.concatenate([corner, np.minimum(corner + random.uniform(0.05, 0.4, (18, 2)), 1)], axis=1)
    drawn = [
        DrawnBox(
            (float(ymin), float(xmin), float(ymax), float(xmax)),
            NAMES[number % len(NAMES)],
            None if number % 3 == 0 else 0.9 - number / 100,
            "missed" if number == 0 else "",
        )
        for number, (ymin, xmin, ymax, xmax) in enumerate(boxes)
    ]
    truths = tuple(box for box in drawn if box.score is None)
    found = tuple(box for box in drawn if box.score is not None)
    return DrawnImage(f"{width}x{height}.jpg", *page_jpeg(buffer.getvalue()), truths, found, ("said",))


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    """A page of pictures of several shapes."""
    images = tuple(
        made_image(*size, seed) for seed, size in enumerate([(320, 240), (900, 300), (240, 700), (1400, 900)])
    )
    environment = templates()
    style = environment.get_template("style.css").render()
    section = ExampleImages("eval", images, 0.5, "")
    body = environment.get_template(section.template).render(section=section)
    head = '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    path = tmp_path / "page.html"
    path.write_text(f"{head}<style>{style}</style><body>{body}", encoding="utf-8")
    return path


UNREADABLE = """[...document.querySelectorAll("svg")].flatMap((svg) => {
  const shown = [...svg.querySelectorAll("g")].filter((g) => getComputedStyle(g).display !== "none");
  const picture = svg.getBoundingClientRect();
  return shown.flatMap((g) => [...g.querySelectorAll("text")]).filter((text) => {
    const ground = text.previousElementSibling.getBoundingClientRect(), letters = text.getBoundingClientRect();
    const within = (inner, outer) => inner.left >= outer.left - 1 && inner.right <= outer.right + 1
      && inner.top >= outer.top - 2 && inner.bottom <= outer.bottom + 2;
    return !within(letters, ground) || !within(ground, picture) || ground.height < 9;
  }).map((text) => text.textContent);
})"""
"""Names that reach out of their ground or the picture, or are too small; of the set that is shown."""


def _names_shown(page: Page, kind: str) -> bool:
    shown: bool = page.evaluate(f"getComputedStyle(document.querySelector('g.{kind}')).display !== 'none'")
    return shown


@pytest.mark.parametrize("is_phone", [False, True])
def test_names_can_be_read_small_and_large(browser: Browser, file: pathlib.Path, is_phone: bool) -> None:
    width, height = (390, 844) if is_phone else (1280, 800)
    page = browser.new_page(width=width, height=height, is_phone=is_phone)
    page.open(file.as_uri())
    assert page.evaluate("document.querySelectorAll('g.in-grid text').length") >= 12
    assert page.evaluate(UNREADABLE) == []
    assert page.wider_than_the_window() == page.console_errors == page.pictures_not_loaded() == []
    assert _names_shown(page, "in-grid")
    assert not _names_shown(page, "in-window")
    for number in range(4):
        page.evaluate(f"document.querySelectorAll('details')[{number}].open = true")
        assert page.evaluate(UNREADABLE) == []
        # A name, an exclusive one: what was open before is closed.
        assert page.evaluate("document.querySelectorAll('details[open]').length") == 1
    page.close()


def test_a_key_opens_a_picture_over_the_window_and_closes_it(browser: Browser, file: pathlib.Path) -> None:
    page = browser.new_page(width=1280, height=800)
    page.open(file.as_uri())
    before = page.evaluate("document.querySelector('svg').getBoundingClientRect().width")
    page.press("Tab")
    page.press("Enter")
    page.wait_until("document.querySelector('details').open")
    box = page.evaluate(
        "(({left, top, right, bottom}) => [left, top, right, bottom])"
        "(document.querySelector('svg').getBoundingClientRect())"
    )
    assert box[0] >= 0 and box[1] >= 0 and box[2] <= 1280 and box[3] <= 800
    assert box[2] - box[0] > 2 * before
    assert _names_shown(page, "in-window")
    assert not _names_shown(page, "in-grid")
    page.press("Enter")
    page.wait_until("!document.querySelector('details').open")
    assert page.evaluate("document.querySelector('svg').getBoundingClientRect().width") == before
    page.close()


def test_printed_open_pictures_lie_in_the_page(browser: Browser, file: pathlib.Path) -> None:
    page = browser.new_page(width=800, height=1000)
    page.open(file.as_uri())
    page.evaluate("document.querySelector('details').open = true")
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.evaluate("getComputedStyle(document.querySelector('summary')).position") == "static"
    assert _names_shown(page, "in-grid")
    assert page.evaluate(UNREADABLE) == []
    page.close()
