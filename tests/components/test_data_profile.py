from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.data_profile import DataProfile, SplitProfile, merged

sides = st.floats(1e-6, 1)
images = st.lists(st.lists(st.tuples(st.sampled_from("abc"), sides, sides), max_size=4), max_size=6)


def profile_of(images: list[list[tuple[str, float, float]]]) -> SplitProfile:
    """Of images of 50 x 100 pixels with boxes by class, height and width."""
    profile = SplitProfile()
    for objects in images:
        boxes = [(0.0, 0.0, width, height) for _, height, width in objects]
        names = [name for name, _, _ in objects]
        profile.add(names, boxes, height_pixels=50, width_pixels=100, set_aside=names.count("a"), brightest=len(names))
    return profile


def test_what_is_counted() -> None:
    profile = profile_of([[("b", 0.5, 0.25), ("a", 0.5, 0.25)], [], [("b", 1.0, 1.0)]])
    assert (profile.images, profile.images_without_objects, profile.objects) == (3, 1, 3)
    assert (profile.set_aside, profile.brightest) == (1, {2: 1, 0: 1, 1: 1})
    assert list(profile.class_counts.items()) == [("a", 1), ("b", 2)]
    assert profile.box_sides == {"a": {(8, 16): 1}, "b": {(8, 16): 1, (0, 0): 1}}
    # Of 50 x 100 pixels the height is half the longer side.
    assert profile.padded_box_sides == {"a": {(16, 16): 1}, "b": {(16, 16): 1, (8, 0): 1}}
    assert profile.side_pixels.quantiles([0.5, 1.0]) == pytest.approx((25, 50), rel=0.006)
    assert profile.relative_size.quantiles([0.5, 1.0]) == pytest.approx((0.125**0.5, 1), rel=0.006)
    assert profile.aspect_ratio.quantiles([0.0, 1.0]) == (1, 2)


def test_a_box_smaller_than_any_bin_is_in_the_last() -> None:
    assert profile_of([[("a", 1e-6, 1e-6)]]).box_sides["a"] == {(96, 96): 1}


@given(images, images)
def test_merging_is_counting_together_in_any_order(one: list, other: list) -> None:
    together = profile_of(one + other)
    assert merged([profile_of(one), profile_of(other)]) == together
    assert merged([profile_of(other), profile_of(one)]) == together


@given(images)
def test_json_holds_all_of_it(one: list) -> None:
    profile = DataProfile({"train": profile_of(one), "eval": SplitProfile()})
    assert DataProfile.from_json(profile.to_json()) == profile
    assert json.loads(profile.to_json())["splits"]["train"]["images"] == len(one)
