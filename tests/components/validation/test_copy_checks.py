from __future__ import annotations

import pytest

from components.data_profile import SplitProfile
from components.validation.copy_checks import copy_checks
from components.validation.duplicates import LEAKAGE, CopyTally
from components.validation.settings import CopiedSplits, ValidationSettings


@pytest.mark.parametrize(
    ("copied", "near", "status"),
    [(10, 0, "failed"), (9, 0, "passed"), (10, 10, "passed"), (0, 0, "passed")],
    ids=["every file", "nearly every file", "frames of one film", "none"],
)
def test_a_split_that_is_another_one_again_stops_the_run(copied: int, near: int, status: str) -> None:
    profiles = {"train": SplitProfile(images=10), "eval": SplitProfile(images=10)}
    tallies = {(LEAKAGE, "eval"): CopyTally(copied, near)}
    (check,) = (c for c in copy_checks(tallies, profiles, ValidationSettings()) if c.check == "copied_splits")
    assert (check.split, check.status) == ("eval", status)
    off = ValidationSettings(copied_splits=CopiedSplits(level="off"))
    assert not [c for c in copy_checks(tallies, profiles, off) if c.check == "copied_splits"]
