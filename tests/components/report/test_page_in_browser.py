"""The page as a browser shows it: on a desk, on a phone, in the dark and on paper."""

from __future__ import annotations

import pathlib

import pytest

from components.evaluator.matches_file import MATCHES_FOLDER
from components.report import section
from components.report.run_record import read_run
from components.report.run_report import read_report, write_page
from tests.browser import Browser, Page
from tests.components.report.fake_run import PIPELINE, FakeRun, write_matches
from tests.components.report.sections.judged_images import many_classes
from tests.components.report.test_run_report import BLESSED
from tests.components.report.whole_run import CARD


@pytest.mark.parametrize(("width", "is_phone"), [(1280, False), (390, True)])
def test_a_page_with_many_classes_fits(
    judged_run: FakeRun,
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    width: int,
    is_phone: bool,
) -> None:
    write_matches(judged_run.root / "evaluation" / MATCHES_FOLDER, many_classes(30, 200, with_baseline=True))
    monkeypatch.setattr(section, "read_evaluation", lambda uri: BLESSED)
    path = write_page(read_report(read_run(judged_run.connection, PIPELINE)), tmp_path / "reports")
    page = browser.new_page(width=width, height=844, is_phone=is_phone)
    page.open(path.as_uri())
    assert page.console_errors == []
    assert page.requests_elsewhere(path.parent.as_uri()) == []
    assert page.pictures_not_loaded() == []
    assert page.wider_than_the_window() == []


@pytest.fixture(scope="module")
def whole_page(whole: FakeRun, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    report = read_report(read_run(whole.connection, PIPELINE), pipeline_root=str(whole.root), card=CARD)
    return write_page(report, tmp_path_factory.mktemp("pages"))


def _check(page: Page, path: pathlib.Path) -> None:
    assert page.console_errors == []
    # Not even a picture of the page's own folder: it is one file.
    assert page.requests_elsewhere(path.as_uri()) == []
    assert page.pictures_not_loaded() == []
    assert page.wider_than_the_window() == []
    assert page.evaluate("document.scripts.length") == 0
    drawn = page.evaluate(
        """Promise.all([...document.querySelectorAll("svg image")].map((drawn) => {
          const image = new Image();
          image.src = drawn.href.baseVal;
          return image.decode().then(() => image.naturalWidth, () => 0);
        }))"""
    )
    assert len(drawn) >= 12
    assert all(width > 0 for width in drawn)


@pytest.mark.parametrize(
    ("width", "is_phone", "is_dark"), [(1440, False, False), (1024, False, True), (390, True, False), (390, True, True)]
)
def test_a_page_with_everything_on_it(
    whole_page: pathlib.Path, browser: Browser, width: int, is_phone: bool, is_dark: bool
) -> None:
    page = browser.new_page(width=width, height=844, is_phone=is_phone, is_dark=is_dark)
    page.open(whole_page.as_uri())
    _check(page, whole_page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (not is_dark)


def test_every_entry_of_the_contents_leads_to_its_heading(whole_page: pathlib.Path, browser: Browser) -> None:
    page = browser.new_page()
    page.open(whole_page.as_uri())
    entries = page.evaluate("[...document.querySelectorAll('nav a')].map((a) => [a.hash.slice(1), a.textContent])")
    headings = page.evaluate("[...document.querySelectorAll('h2')].map((h) => [h.id, h.textContent])")
    assert entries == headings
    texts = [text for _, text in entries]
    assert len({anchor for anchor, _ in entries}) == len(entries)
    assert texts[:5] == ["Verdict", "Contract with servers", "Served model", "Devices", "Metrics"]
    assert page.evaluate("document.querySelector(document.querySelector('.up').hash).tagName") == "NAV"
    assert texts[-3:] == ["Model card", "Lineage", "Nodes"]


def test_on_paper_the_page_has_no_dark_ground_and_fits(whole_page: pathlib.Path, browser: Browser) -> None:
    # A4 within its margins, asked for by somebody whose screen is dark.
    page = browser.new_page(width=688, height=1000, is_dark=True)
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    page.call("Emulation.setEmulatedMedia", media="print", features=[dark])
    page.open(whole_page.as_uri())
    _check(page, whole_page)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    # What is folded away on the screen is on paper.
    assert page.evaluate("document.querySelector('.folded pre').getBoundingClientRect().height") > 100
