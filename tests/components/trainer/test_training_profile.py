from __future__ import annotations

import pathlib

from components.data_profile import DATA_PROFILE_FILE, DataProfile, SplitProfile
from components.trainer.training_profile import training_profile


def test_profiles_of_several_artifacts_are_merged(tmp_path: pathlib.Path) -> None:
    patterns = []
    for number in (1, 2):
        profile = SplitProfile()
        for _ in range(number):
            profile.add(["sign"], [(0.0, 0.0, 0.5, 0.5)], height_pixels=10, width_pixels=20)
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / DATA_PROFILE_FILE).write_text(DataProfile({"train": profile, "eval": SplitProfile()}).to_json())
        patterns.append(f"{folder}/Split-train/*")
    assert training_profile(patterns).images == 3
    assert training_profile(patterns).class_counts == {"sign": 3}
