"""What the tests of the numbers do not reach: the layout of the compact arrays, and large batches in parts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from components.evaluator import box_pairs, coco_accumulation, coco_matching
from components.evaluator.coco_accumulation import accumulate
from components.evaluator.coco_matching import _EMPTY_IMAGE, ImageResult, Matches, match_images


def crowded_images(count: int) -> list[ImageResult]:
    random = np.random.default_rng(3)
    images = []
    for _ in range(count):
        truth = np.concatenate([corner := random.uniform(0, 0.5, (6, 2)), corner + 0.4], axis=1)
        images.append(
            ImageResult.from_normalized(
                height_pixels=200,
                width_pixels=300,
                detection_boxes_yxyx_normalized=np.repeat(truth, 5, axis=0) + random.normal(0, 0.02, (30, 4)),
                detection_scores=random.random(30),
                detection_classes=random.integers(0, 2, 30),
                truth_boxes_yxyx_normalized=truth,
                truth_classes=random.integers(0, 2, 6),
                truth_is_crowd=random.random(6) < 0.3,
            )
        )
    return images


def assert_equal(ours: Matches, expected: Matches) -> None:
    for field in dataclasses.fields(Matches):
        np.testing.assert_array_equal(getattr(ours, field.name), getattr(expected, field.name), err_msg=field.name)


def test_a_bit_for_every_threshold_and_area_range() -> None:
    result = ImageResult.from_normalized(
        height_pixels=100,
        width_pixels=100,
        detection_boxes_yxyx_normalized=[[0, 0, 0.4, 0.24]],
        detection_scores=[0.9],
        detection_classes=[0],
        truth_boxes_yxyx_normalized=[[0, 0, 0.4, 0.4]],
        truth_classes=[0],
    )
    matches = match_images([result])
    # IoU 0.6 passes 0.50, 0.55 and 0.60; an object of 1600 square pixels counts in "all" and "medium".
    assert matches.truth_area_bits.tolist() == [0b0101]
    assert matches.matched_counting.tolist() == [0b111 | 0b111 << 20]
    assert matches.matched_ignored.tolist() == [0b111 << 10 | 0b111 << 30]
    assert matches.area_bits.tolist() == [0b0011], "960 square pixels: all and small"


def test_images_matched_together_or_one_by_one_are_the_same() -> None:
    images = crowded_images(4)
    assert_equal(match_images(images), Matches.concatenate([match_images([image]) for image in images]))


def test_pairs_computed_in_parts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    images = crowded_images(3)
    expected = match_images(images)
    monkeypatch.setattr(box_pairs, "_MAX_PAIRS_AT_ONCE", 7)
    assert_equal(match_images(images), expected)


@pytest.mark.parametrize("at_once", [1, 7, 25])
def test_images_matched_and_classes_accumulated_in_parts_are_the_same(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    images = [_EMPTY_IMAGE, *crowded_images(3), _EMPTY_IMAGE]
    num_classes = 2 + int(max(image.truth_classes.max(initial=0) for image in images))
    matches = match_images(images)
    expected = accumulate(matches, num_classes)
    monkeypatch.setattr(coco_matching, "_DETECTIONS_AT_ONCE", at_once)
    assert_equal(match_images(images), matches)
    monkeypatch.setattr(coco_accumulation, "_DETECTIONS_AT_ONCE", at_once)
    ours = accumulate(matches, num_classes)
    for field in dataclasses.fields(ours):
        np.testing.assert_array_equal(getattr(ours, field.name), getattr(expected, field.name), err_msg=field.name)


def test_negative_class_is_refused() -> None:
    image = dataclasses.replace(crowded_images(1)[0], truth_classes=np.full(6, -1))
    with pytest.raises(ValueError, match="class indices must be 0 or more"):
        match_images([image])
