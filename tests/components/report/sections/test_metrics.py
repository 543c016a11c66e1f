from __future__ import annotations

import math

from components.evaluator.evaluation import SliceResult
from components.report.sections.metrics import Metrics


def test_by_class_is_the_class_itself_in_summary_and_page() -> None:
    """A slice by class holds every object on the images that show the class: another number, another name."""
    by_slice = {
        (): {"AP": 0.6, "AP50": 0.9, "AP/stop": 0.7, "AP50/stop": 0.95, "AP/yield": 0.5, "AP50/yield": 0.85},
        (("class", "stop"),): {"AP": 0.61, "AP50": 0.81, "image_count": 7.0},
        (("class", "stop"), ("weather", "fog")): {"AP": 0.41, "AP50": 0.71, "image_count": 2.0},
        (("weather", "fog"),): {"AP": 0.4, "AP50": 0.7, "image_count": 12.0},
    }
    all_images, *slices = (SliceResult(values, metrics) for values, metrics in by_slice.items())
    section = Metrics(all_images, slices, "")
    assert [text for _, text in section.lines()[1:]] == [
        "by class: yield 0.500 / 0.850, stop 0.700 / 0.950",
        "images that show: stop 0.610 / 0.810",
        "images that show, by weather: stop x fog 0.410 / 0.710",
        "by weather: fog 0.400 / 0.700",
    ]
    assert [(bar.name, bar.value) for bar in section.class_bars] == [("yield", 0.5), ("stop", 0.7)]
    assert [heading for heading, _ in section.slice_bars] == [
        "images that show",
        "images that show, by weather",
        "by weather",
    ]


def test_a_class_without_objects_comes_last_and_a_long_line_is_cut() -> None:
    overall = {"AP": 0.5, **{f"AP/{name}": 0.1 for name in "bcdefghij"}, "AP/a": math.nan}
    line = Metrics(SliceResult((), overall), (), "").lines()[1][1]
    assert line.startswith("by class: b 0.100 / –, c")
    assert line.endswith("i 0.100 / –, 2 more")


def test_the_change_against_the_last_blessed_model() -> None:
    section = Metrics(
        SliceResult((), {"AP": 0.6, "AP50": 0.9, "image_count": 40.0}, {"AP": 0.5}), (), " of the split test"
    )
    assert section.lines() == (
        ("AP / AP50", "0.600 / 0.900 on 40 images of the split test; last blessed model 0.500 / –"),
    )
    assert [bar.text for bar in section.headline_bars[:3]] == ["0.600 (+0.100)", "0.900", "–"]
