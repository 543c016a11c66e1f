"""Splits of a target domain: one is without objects, all are of another domain, copies are still copies."""

from __future__ import annotations

import pytest

from components.data_profile import SplitProfile
from components.validation.box_checks import SplitTally, box_checks, class_checks
from components.validation.copy_checks import copy_checks
from components.validation.duplicates import LEAKAGE, CopyTally, FileGroup, exact_copies
from components.validation.learnable_checks import learnable_checks
from components.validation.settings import ValidationSettings

SETTINGS = ValidationSettings()


def profile(*classes: str) -> SplitProfile:
    found = SplitProfile()
    for name in classes:
        found.add([name], [(0.1, 0.1, 0.5, 0.5)], height_pixels=30, width_pixels=40, brightest=200)
    if not classes:
        for _ in range(20):
            found.add([], [], height_pixels=30, width_pixels=40, brightest=200)
    return found


PROFILES = {
    "train": profile(*["car"] * 20, *["bus"] * 20),
    "eval": profile("car", "bus"),
    "target": profile(),
    "target_eval": profile(),
    "target_test": profile("car", "bus"),
}


def test_images_without_annotations_are_no_objection() -> None:
    checks = [
        *learnable_checks(PROFILES, SETTINGS),
        *box_checks({"target": SplitTally()}, PROFILES, SETTINGS),
        *class_checks({split: one for split, one in PROFILES.items() if split != "target_eval"}, SETTINGS),
    ]
    assert [check for check in checks if check.split == "target" and check.status != "passed"] == []
    assert {check.check for check in checks if check.split == "target"} == {"few_images", "dark_images"}
    missing = [check for check in checks if check.check == "missing_classes"]
    assert {check.status for check in missing} == {"passed"}


def test_a_judged_split_of_the_target_without_objects_is_a_warning() -> None:
    (check,) = (
        c for c in learnable_checks(PROFILES, SETTINGS) if (c.check, c.split) == ("learnable_objects", "target_eval")
    )
    assert check.status == "warned"


def test_an_image_of_the_source_in_the_target_is_the_targets_fault() -> None:
    group = FileGroup(
        b"x",
        None,
        {"target": 1, "train": 2, "target_test": 1},
        {"target": "t.jpg", "train": "a.jpg", "target_test": "u.jpg"},
    )
    assert {(copy.check, copy.split, copy.other) for copy in exact_copies(group) if copy.check == LEAKAGE} == {
        (LEAKAGE, "target", "train/a.jpg"),
        (LEAKAGE, "target_test", "train/a.jpg"),
    }


@pytest.mark.parametrize("split", ["target", "target_test"])
def test_a_target_that_is_the_source_again_stops_the_run(split: str) -> None:
    images = PROFILES[split].images
    checks = copy_checks({(LEAKAGE, split): CopyTally(images, 0)}, PROFILES, SETTINGS)
    (check,) = (check for check in checks if (check.check, check.split) == ("copied_splits", split))
    assert check.status == "failed"
    assert "data.target names a folder of other images than data.path" in check.limit
