from __future__ import annotations

import math

import pytest

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
    assert [(row.name, row.value, row.beside) for row in section.class_table.rows] == [
        ("yield", 0.5, "0.850"),
        ("stop", 0.7, "0.950"),
    ]
    assert [table.title for table in section.slice_tables] == [
        "Images that show",
        "Images that show, by weather",
        "By weather",
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
    ap, ap50, ap75 = section.headline_table.rows[:3]
    assert (ap.value_text, ap.before_text, ap.change_text) == ("0.600", "0.500", "+0.100")
    assert (ap50.value_text, ap50.before_text, ap50.change_text) == ("0.900", "–", "–")
    assert ap75.value_text == "–"
    assert ap.certainly is None  # it has no interval


def _fallen(low: float, high: float, weather: str, images: float = 20.0) -> SliceResult:
    metrics, before = {"AP": 0.4, "AP50": 0.7, "image_count": images}, {"AP": 0.5}
    return SliceResult((("weather", weather),), metrics, before, {"AP": (0.35, 0.45)}, {"AP": (low, high)})


def test_a_slice_is_worse_where_its_whole_interval_is_below_zero() -> None:
    slices = [_fallen(-0.2, 0.01, "clear"), _fallen(-0.2, -0.01, "fog"), _fallen(0.01, 0.2, "snow")]
    section = Metrics(SliceResult((), {"AP": 0.5}, {"AP": 0.5}), slices, "")
    [table] = section.slice_tables
    assert [row.certainly for row in table.rows] == [None, "worse", "better"]
    assert [row.name for row in section.worse] == ["weather=fog"]
    assert section.lines()[-1] == ("", "AP certainly fell: weather=fog -0.100")
    assert section.changes_by_chance == (3, pytest.approx(0.15))
    row = table.rows[1]
    assert (row.interval_text, row.change_interval_text) == ("0.350 to 0.450", "-0.200 to -0.010")
    # All rows of a table share the scale of changes, which holds 0.
    bars = [table.change_bar(row) for row in table.rows]
    assert len({bar.zero for bar in bars}) == 1
    assert all(bar.low is not None and bar.high is not None and 0 <= bar.low < bar.high <= 100 for bar in bars)


def test_tiles_say_how_sure_they_are() -> None:
    whole = SliceResult((), {"AP": 0.6, "AP50": 0.9}, intervals={"AP": (0.55, 0.66)})
    assert Metrics(whole, (), "").tiles() == [("AP (0.55 to 0.66)", "0.600"), ("AP50", "0.900")]
