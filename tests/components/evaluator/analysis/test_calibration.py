from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluator.analysis.calibration import MIN_DETECTIONS, calibration
from components.evaluator.coco import ImageResult
from tests.components.evaluator.analysis.hotcoco_reference import hotcoco_evaluation, proper
from tests.components.evaluator.coco_cases import made_case
from tests.components.evaluator.made_images import CLASS_NAMES, joined


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_bins_and_error_are_those_of_hotcoco(seed: int) -> None:
    results = [proper(result) for result in made_case(seed)[1]]
    images = joined(results)
    ours = calibration(images, images.candidate)
    theirs = hotcoco_evaluation(results, CLASS_NAMES).calibration()
    assert [found.count for found in ours.bins] == [found["count"] for found in theirs["bins"]]
    for found, other in zip(ours.bins, theirs["bins"], strict=True):
        assert (found.low, found.high) == pytest.approx((other["bin_lower"], other["bin_upper"]))
        if found.count:
            expected = (other["avg_confidence"], other["avg_accuracy"])
            assert (found.mean_score, found.precision) == pytest.approx(expected, abs=1e-12)
    if sum(found.count for found in ours.bins):
        assert ours.error == pytest.approx(theirs["ece"], abs=1e-12)
    else:
        assert np.isnan(ours.error)
    for name, error in ours.of_classes.items():
        assert error == pytest.approx(theirs["per_category"][name], abs=1e-12)


def scored(scores: np.ndarray, true_share: float) -> ImageResult:
    """One image with as many cars, far from each other, of which a share is found where it is."""
    count = len(scores)
    corners = np.arange(count)[:, None] * np.array([[0.0, 20.0]])
    truth = np.concatenate([corners, corners + 10], axis=1)
    boxes = truth + np.where(np.arange(count) < true_share * count, 0, 1000)[:, None]
    return ImageResult.from_normalized(
        height_pixels=1,
        width_pixels=1,
        detection_boxes_yxyx_normalized=boxes,
        detection_scores=scores,
        detection_classes=np.ones(count, np.int64),
        truth_boxes_yxyx_normalized=truth,
        truth_classes=np.ones(count, np.int64),
    )


def test_scores_that_promise_too_much() -> None:
    images = joined([scored(np.full(100, 0.95), 0.7)])
    found = calibration(images, images.candidate)
    assert found.error == pytest.approx(0.25)
    assert found.overconfidence == pytest.approx(0.25)
    assert found.of_classes == {"car": pytest.approx(0.25)}


def test_scores_that_promise_too_little() -> None:
    images = joined([scored(np.full(100, 0.45), 0.7)])
    found = calibration(images, images.candidate)
    assert (found.error, found.overconfidence) == (pytest.approx(0.25), pytest.approx(-0.25))


def test_a_class_with_few_detections_has_no_error_of_its_own() -> None:
    images = joined([scored(np.full(MIN_DETECTIONS - 1, 0.95), 0.7)])
    assert calibration(images, images.candidate).of_classes == {}


def test_a_score_that_is_no_number_is_left_out_and_the_highest_is_in_the_last_bin() -> None:
    images = joined([scored(np.array([np.nan, 1.0, 0.0]), 1.0)])
    found = calibration(images, images.candidate)
    assert [bin_.count for bin_ in found.bins] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
