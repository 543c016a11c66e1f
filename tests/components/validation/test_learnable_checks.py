from __future__ import annotations

from collections.abc import Sequence

import pytest

from components.data_profile import SplitProfile
from components.validation.learnable_checks import learnable_checks
from components.validation.report_file import CheckResult
from components.validation.settings import DarkImages, FewImages, LearnableObjects, ValidationSettings

DEFAULTS = ValidationSettings()
BOX = (0.1, 0.1, 0.5, 0.5)


def profile(objects: Sequence[tuple[int, int]], brightest: int = 200) -> SplitProfile:
    """Of images with so many objects, of which so many are difficult."""
    found = SplitProfile()
    for count, difficult in objects:
        sizes = {"height_pixels": 30, "width_pixels": 40, "set_aside": difficult, "brightest": brightest}
        found.add(["car"] * count, [BOX] * count, **sizes)
    return found


def objections(found: SplitProfile, settings: ValidationSettings = DEFAULTS) -> dict[str, CheckResult]:
    return {check.check: check for check in learnable_checks({"eval": found}, settings) if check.status != "passed"}


def test_a_split_that_teaches_something_passes() -> None:
    assert not objections(profile([(2, 1), (0, 0)]))


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([(3, 3), (2, 2)], "5 of 5 objects are difficult or crowds"),
        ([(0, 0), (0, 0)], "none of 2 images has an object"),
    ],
)
def test_nothing_to_learn_stops_the_run(objects: Sequence[tuple[int, int]], message: str) -> None:
    (check,) = objections(profile(objects)).values()
    assert (check.check, check.status) == ("learnable_objects", "failed")
    assert message in check.found
    overruled = ValidationSettings(learnable_objects=LearnableObjects(level="warn"))
    assert objections(profile(objects), overruled)["learnable_objects"].status == "warned"


def test_one_image_is_worth_a_warning() -> None:
    assert objections(profile([(1, 0)]))["few_images"].status == "warned"
    assert not objections(profile([(1, 0)]), ValidationSettings(few_images=FewImages(min_images=1)))


def test_pictures_that_are_almost_black_stop_the_run() -> None:
    twelve_bits = profile([(1, 0), (1, 0)], brightest=4095 // 257)
    check = objections(twelve_bits)["dark_images"]
    assert check.status == "failed"
    assert check.found.startswith("2 of 2 images (100.0%) have no value above 47 of 255")
    assert not objections(twelve_bits, ValidationSettings(dark_images=DarkImages(min_brightest=10)))
    assert not objections(twelve_bits, ValidationSettings(dark_images=DarkImages(level="off")))


def test_what_nobody_decoded_is_not_dark() -> None:
    found = SplitProfile()
    for _ in range(2):
        found.add(["car"], [BOX], height_pixels=30, width_pixels=40)
    assert not objections(found)


def test_each_check_can_be_left_out() -> None:
    off = {check: {"level": "off"} for check in ("learnable_objects", "few_images", "dark_images")}
    assert list(learnable_checks({"train": SplitProfile()}, ValidationSettings.model_validate(off))) == []


def test_a_test_split_without_annotations_is_a_warning() -> None:
    (check,) = (
        check for check in learnable_checks({"test": profile([(0, 0)] * 3)}, DEFAULTS) if check.status != "passed"
    )
    assert check.status == "warned"
    assert "none of 3 images" in check.found
