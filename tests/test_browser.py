"""The browser of the tests sees what is wrong with a page."""

from __future__ import annotations

import pathlib

import pytest
from PIL import Image

from tests.browser import Browser, BrowserError, Page

HEAD = '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width"><body>'


def _open(browser: Browser, folder: pathlib.Path, body: str, *, is_phone: bool = False) -> Page:
    file = folder / "page.html"
    file.write_text(HEAD + body)
    page = browser.new_page(width=390, height=844, is_phone=is_phone)
    page.open(file.as_uri())
    return page


def test_a_good_page_has_no_faults(browser: Browser, tmp_path: pathlib.Path) -> None:
    Image.new("RGB", (2000, 10)).save(tmp_path / "a.png")
    body = (
        '<img src="a.png" loading="lazy" style="max-width: 100%"><div style="overflow: auto"><p style="width: 2000px">x'
    )
    page = _open(browser, tmp_path, body, is_phone=True)
    assert page.pictures_not_loaded() == page.console_errors == page.wider_than_the_window() == []
    assert page.requests_elsewhere(tmp_path.as_uri()) == []
    assert page.requests == [(tmp_path / name).as_uri() for name in ("page.html", "a.png")]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("console.error('bad', 1)", "bad 1"),
        ("nowhere()", "ReferenceError: nowhere is not defined"),
        ("Promise.reject(new Error('late'))", "Error: late"),
    ],
)
def test_errors_of_scripts(browser: Browser, tmp_path: pathlib.Path, script: str, expected: str) -> None:
    page = _open(browser, tmp_path, f"<script>{script}</script>")
    assert [error.startswith(expected) for error in page.console_errors] == [True]


def test_what_leaves_the_page_and_what_does_not_load(browser: Browser, tmp_path: pathlib.Path) -> None:
    page = _open(browser, tmp_path, '<img src="https://example.org/a.png"><img src="none.png">')
    assert page.requests_elsewhere(tmp_path.as_uri()) == ["https://example.org/a.png"]
    assert page.pictures_not_loaded() == ["https://example.org/a.png", (tmp_path / "none.png").as_uri()]
    said = sorted(page.console_errors)
    assert "net::ERR_FILE_NOT_FOUND" in said[0] and "none.png" in said[0]
    assert "net::ERR_NAME_NOT_RESOLVED" in said[1] and "example.org" in said[1]


@pytest.mark.parametrize("is_phone", [False, True])
@pytest.mark.parametrize("style", ["width: 400px", "margin-left: -20px", "position: absolute; left: 380px"])
def test_what_is_too_wide(browser: Browser, tmp_path: pathlib.Path, style: str, is_phone: bool) -> None:
    page = _open(browser, tmp_path, f'<div style="{style}">wide</div><p>narrow</p>', is_phone=is_phone)
    assert page.wider_than_the_window() == [f'<div style="{style}">wide</div>']


def test_what_a_user_does(browser: Browser, tmp_path: pathlib.Path) -> None:
    body = "<input type=file id=file><button onclick=\"this.textContent = 'pressed'\">press</button>"
    page = _open(browser, tmp_path, body)
    page.choose_files("#file", [tmp_path / "page.html"])
    assert page.evaluate("document.querySelector('#file').files[0].text()") == HEAD + body
    for key in ("Tab", "Tab", " "):
        page.press(key)
    page.wait_until("document.querySelector('button').textContent === 'pressed'")
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is False
    page.set_dark()
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is True
    page.set_window(500, 300)
    assert page.evaluate("[innerWidth, innerHeight]") == [500, 300]
    page.save_screenshot(tmp_path / "shot.png", is_whole_page=False)
    with Image.open(tmp_path / "shot.png") as shot:
        assert shot.size == (500, 300)
    page.close()


def test_what_cannot_be_is_said(browser: Browser, tmp_path: pathlib.Path) -> None:
    page = _open(browser, tmp_path, "")
    with pytest.raises(BrowserError, match="ReferenceError"):
        page.evaluate("nowhere")
    with pytest.raises(BrowserError, match=r"1 > 2: not so after 0\.05 s"):
        page.wait_until("1 > 2", seconds=0.05)
    with pytest.raises(BrowserError, match="#none: there is no such element"):
        page.choose_files("#none", [])
    with pytest.raises(BrowserError, match="ERR_FILE_NOT_FOUND"):
        page.open((tmp_path / "none.html").as_uri())
    with pytest.raises(BrowserError, match=r"Page\.nothing"):
        page.call("Page.nothing")
