"""What the annotation check advises is done here: each limit that a check names lets the same data pass."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any

import pytest
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.data_profile import SplitProfile
from components.validation.box_checks import SplitTally, box_checks, class_checks
from components.validation.copy_checks import copy_checks
from components.validation.distribution_checks import distances, distribution_checks
from components.validation.duplicates import DUPLICATES, LEAKAGE, CopyTally
from components.validation.learnable_checks import learnable_checks
from components.validation.report_file import CheckResult
from components.validation.settings import ValidationSettings
from schema import features

BOXES = ("small_boxes", "large_boxes", "aspect_ratios")
LIMITS = {
    "few_images": {"min_images": 1},
    "dark_images": {"max_share": 1.0},
    "small_boxes": {"max_share": 0.5},
    "large_boxes": {"max_share": 0.5},
    "aspect_ratios": {"max_share": 0.5},
    "images_without_objects": {"max_share": 1.0},
    "rare_classes": {"min_objects": 1},
    "class_imbalance": {"max_ratio": 300.0},
    "duplicates": {"max_share": 1.0},
    "leakage": {"max_share": 1.0},
    "copied_splits": {"max_share": 1.0},
    "skew": {"max_metadata_difference": 1.0},
    "drift": {"max_metadata_difference": 1.0},
}
"""A limit that each check names, and a value that overrules it."""
LEVEL_ONLY = ("learnable_objects", "missing_classes")
"""Checks of which nothing but the level can be overruled."""


def _profile(counts: dict[str, int], images: int, set_aside: int = 0) -> SplitProfile:
    profile = SplitProfile()
    names = [name for name, count in counts.items() for _ in range(count)]
    size = {"height_pixels": 30, "width_pixels": 40}
    profile.add(names, [(0.1, 0.1, 0.5, 0.5)] * len(names), **size, set_aside=set_aside, brightest=9)
    for _ in range(images - 1):
        profile.add([], [], **size, brightest=9)
    return profile


def _statistics(clear: int, fog: int) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Of a column of weather."""
    found = statistics_pb2.DatasetFeatureStatisticsList()
    split = found.datasets.add(num_examples=clear + fog)
    column = split.features.add(type=statistics_pb2.FeatureNameStatistics.STRING)
    column.path.step.append(features.meta_key("weather"))
    column.string_stats.unique = 2
    common = column.string_stats.common_stats
    common.num_non_missing = common.tot_num_values = clear + fog
    common.min_num_values = common.max_num_values = 1
    for value, count in (("clear", clear), ("fog", fog)):
        column.string_stats.rank_histogram.buckets.add(label=value, sample_count=count)
        column.string_stats.top_values.add(value=value, frequency=count)
    return found


def _objections(settings: ValidationSettings) -> Iterator[CheckResult]:
    """What the checks have to say of data that is bad in every way."""
    profiles = {"train": _profile({"car": 201, "bus": 1}, 9), "eval": _profile({"car": 3}, 1, set_aside=3)}
    tallies = {"train": SplitTally(collections.Counter({**dict.fromkeys(BOXES, 50), "images_without_objects": 8}))}
    copies = {(DUPLICATES, "train"): CopyTally(9, 0), (LEAKAGE, "eval"): CopyTally(1, 0)}
    weather = {"train": _statistics(100, 0), "eval": _statistics(0, 100)}
    earlier = {"train": _statistics(0, 100)}
    for check in (
        *learnable_checks(profiles, settings),
        *box_checks(tallies, profiles, settings),
        *class_checks(profiles, settings),
        *copy_checks(copies, profiles, settings),
        *distribution_checks(distances(weather, earlier, schema_pb2.Schema(), settings), settings),
    ):
        if check.status != "passed":
            yield check


def _settings(check: str, **values: Any) -> ValidationSettings:
    return ValidationSettings.model_validate({check: values})


def test_every_check_is_tried() -> None:
    checks = {name for name, value in ValidationSettings() if hasattr(value, "level")}
    assert checks == {*LIMITS, *LEVEL_ONLY}


@pytest.mark.parametrize("check", [*LIMITS, *LEVEL_ONLY])
def test_what_stops_a_run_is_overruled_by_what_it_names(check: str) -> None:
    failed = next(found for found in _objections(_settings(check, level="fail")) if found.check == check)
    assert failed.status == "failed"
    assert {found.status for found in _objections(_settings(check, level="warn")) if found.check == check} == {"warned"}
    assert (f"validation.{check}." in failed.describe()) == (check in LIMITS)
    for name, value in LIMITS.get(check, {}).items():
        assert f"validation.{check}.{name}" in failed.describe()
        raised = _settings(check, level="fail", **{name: value})
        assert check not in {found.check for found in _objections(raised)}


def test_few_images_pass_when_images_are_added() -> None:
    settings = _settings("few_images", level="fail")
    few, more = ({"eval": _profile({"car": 1}, images)} for images in (1, 2))
    (failed,) = (found for found in learnable_checks(few, settings) if found.check == "few_images")
    assert failed.status == "failed"
    assert "add images" in failed.limit
    assert "failed" not in {found.status for found in learnable_checks(more, settings) if found.check == "few_images"}


def test_fewer_objects_are_asked_for_where_more_than_one_are() -> None:
    asked = _settings("learnable_objects", min_objects=2)
    profiles = {"eval": _profile({"car": 1}, 2)}
    (failed,) = (found for found in learnable_checks(profiles, asked) if found.check == "learnable_objects")
    assert failed.status == "failed"
    assert "validation.learnable_objects.min_objects asks for 2" in failed.limit
    fewer = learnable_checks(profiles, _settings("learnable_objects", min_objects=1))
    assert "learnable_objects" not in {found.check for found in fewer if found.status != "passed"}
