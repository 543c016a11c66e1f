"""The page of a finished and of a failed run."""

from __future__ import annotations

import dataclasses
import html.parser
import pathlib
import re
import time
from typing import Any

import pytest
import tensorflow as tf

from components.evaluator.verdict import Failure, Verdict
from components.report.example_images import example_images
from components.report.page import render_page
from components.report.run_record import read_run
from components.report.run_report import report_run
from components.report.summary import summarize

FOG = (("weather", "fog"),)
METRICS = {
    (): {"AP": 0.6, "AP50": 0.9, "AP/stop": 0.7, "AP50/stop": 0.95, "AP/yield": 0.5, "AP50/yield": 0.85},
    FOG: {"AP": 0.4, "AP50": 0.7, "image_count": 12.0},
}


class _Checker(html.parser.HTMLParser):
    """Fails on tags that are closed in another order than they were opened."""

    _VOID = frozenset(("meta", "br", "image", "rect", "line", "circle", "polyline"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self._VOID or (tag == "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        return

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _check(page: str) -> None:
    checker = _Checker()
    checker.feed(page)
    assert checker.open == []
    # Self-contained: nothing is fetched from anywhere.
    assert not re.search(r"(?:src|href)=.(?!data:)", page)
    assert "<script" not in page


class _StopEverywhere(tf.Module):  # type: ignore[misc]
    """An export that finds one sign in every image, and one it is not sure of."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def __call__(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tf.size(image_bytes)
        boxes = tf.constant([[[0.1, 0.2, 0.6, 0.7], [0.0, 0.0, 0.1, 0.1]]])
        return {
            "detection_boxes": tf.tile(boxes, [count, 1, 1]),
            "detection_scores": tf.tile([[0.9, 0.1]], [count, 1]),
            "detection_class_names": tf.tile([["stop <b>", "yield"]], [count, 1]),
            "num_detections": tf.fill([count], tf.constant(2, tf.int64)),
        }


@pytest.fixture(scope="module")
def model_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    module = _StopEverywhere()
    tf.saved_model.save(module, str(folder / "Format-Serving"), signatures={"serving_default": module.__call__})
    return str(folder)


def test_page_of_a_whole_run(finished_run: Any, model_uri: str) -> None:
    record = read_run(finished_run.connection, "signs")
    verdict = Verdict(False, (Failure("AP50", FOG, "minimum", 0.7, 0.8),), METRICS, {(): {"AP": 0.5}})
    summary = dataclasses.replace(summarize(record), verdict=verdict)
    images = example_images(record.uri("examples") or "", "eval", model_uri)
    assert [[box.class_name for box in image.detections or ()] for image in images] == [["stop <b>"]] * 3
    page = render_page(summary, images)
    _check(page)
    for expected in (
        "Not blessed",
        "AP50 on weather=fog is 0.7000, 0.1000 below its minimum 0.8",
        "0.600 (+0.100)",
        "0.400 / 0.700 (12)",
        "<polyline",
        "b.jpg = train/c.jpg",
        "Unexpected value: gif",
        "a &lt;1&gt;.jpg",
        "stop &lt;b&gt; 0.90",
        "2 &lt;&amp;&gt;.jpg: 1 there, 1 found",
    ):
        assert expected in page
    # Lowest AP first.
    assert page.index("<th>yield</th>") < page.index("<th>stop</th>")


def test_page_of_a_blessed_model_shows_what_was_not_judged(finished_run: Any) -> None:
    verdict = Verdict(True, (), METRICS, {}, ("AP50 on weather=fog, 3 images, needs 10",), ("2 images are left out",))
    page = render_page(dataclasses.replace(summarize(read_run(finished_run.connection, "signs")), verdict=verdict))
    _check(page)
    for line in verdict.lines():
        assert f"<p>{line.strip()}</p>" in page


def test_report_of_a_run_without_a_model(finished_run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    root: pathlib.Path = finished_run.root
    report_run(root / "metadata.sqlite", "signs", 0.0, root / "served", root / "reports")
    printed = capsys.readouterr().out
    assert "Images      train 10" in printed
    page = (root / "reports" / "new.html").read_text()
    _check(page)
    assert "1 there, no model" in page


def test_nothing_is_reported_when_nothing_ran(finished_run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    root: pathlib.Path = finished_run.root
    report_run(root / "metadata.sqlite", "signs", time.time() + 60, root / "served", root / "reports")
    report_run(root / "absent.sqlite", "signs", 0.0, root / "served", root / "reports")
    assert capsys.readouterr().out == ""
    assert not (root / "reports").exists()
