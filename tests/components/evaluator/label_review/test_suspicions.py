"""Annotations that were made wrong are what is suspected."""

from __future__ import annotations

import dataclasses

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from components.evaluator.coco_matching import ImageResult
from components.evaluator.label_review.suspicion import KINDS, Suspicion
from components.evaluator.label_review.suspicions import suspicions
from components.evaluator.label_review.usual_agreement import (
    AgreementByScore,
    rarity_of_confusions,
    unusually_far_apart,
)
from tests.components.evaluator.label_review.made_reviews import good_results, reviewed, with_truth
from tests.components.evaluator.made_images import CLASS_NAMES, made_result


@pytest.fixture
def results() -> list[ImageResult]:
    return good_results()


def strongest(results: list[ImageResult]) -> Suspicion:
    return suspicions(reviewed(results))[0]


def test_a_good_model_and_good_annotations_leave_nothing_to_suspect(results: list[ImageResult]) -> None:
    assert suspicions(reviewed(results), least_score=0.3) == []


def test_an_object_that_is_not_annotated(results: list[ImageResult]) -> None:
    first = results[7]
    results[7] = with_truth(first, first.truth_boxes_yxyx_pixels[1:], first.truth_classes[1:])
    found = strongest(results)
    assert (found.kind, found.image_id, found.file, found.place) == ("missing", "0007", "0007.jpg", None)
    assert found.found_class == found.suggested_class == CLASS_NAMES[first.detection_classes[0]]
    assert found.found_score == pytest.approx(first.detection_scores[0], abs=1e-4)
    ymin, xmin, ymax, xmax = first.detection_boxes_yxyx_pixels[0]
    assert found.suggested_box_xyxy_pixels == pytest.approx((xmin, ymin, xmax, ymax), abs=0.01)
    assert found.score > 0.9


def test_another_class(results: list[ImageResult]) -> None:
    first = results[7]
    classes = first.truth_classes.copy()
    classes[2] = (classes[2] + 1) % 3
    results[7] = with_truth(first, first.truth_boxes_yxyx_pixels, classes)
    found = strongest(results)
    assert (found.kind, found.image_id, found.place) == ("wrong class", "0007", 2)
    assert found.class_name == CLASS_NAMES[classes[2]]
    assert found.suggested_class == CLASS_NAMES[first.truth_classes[2]]
    # That the class is another says nothing about the box.
    assert found.suggested_box_xyxy_pixels == found.box_xyxy_pixels


@pytest.mark.parametrize("shift", [9.0, 14.0])
def test_a_box_that_is_badly_drawn(results: list[ImageResult], shift: float) -> None:
    first = results[7]
    boxes = first.truth_boxes_yxyx_pixels.copy()
    boxes[0] += (0, shift, 0, shift)
    results[7] = with_truth(first, boxes, first.truth_classes)
    found = strongest(results)
    assert (found.kind, found.image_id, found.place) == ("badly drawn", "0007", 0)
    assert found.score > 0.8
    assert found.suggested_class == found.class_name
    ymin, xmin, ymax, xmax = first.detection_boxes_yxyx_pixels[0]
    assert found.suggested_box_xyxy_pixels == pytest.approx((xmin, ymin, xmax, ymax), abs=0.01)


def test_one_object_annotated_twice(results: list[ImageResult]) -> None:
    first = results[7]
    boxes = np.concatenate([first.truth_boxes_yxyx_pixels, first.truth_boxes_yxyx_pixels[:1] + 1.5])
    results[7] = with_truth(first, boxes, [*first.truth_classes, first.truth_classes[0]])
    every = [one for one in suspicions(reviewed(results)) if one.score >= 0.3]
    assert [(one.kind, one.image_id, one.place) for one in every] == [("duplicate", "0007", 4)]
    assert every[0].suggested_class is None


def test_an_annotation_of_nothing(results: list[ImageResult]) -> None:
    first = results[7]
    kept = np.arange(len(first.detection_scores)) != 1
    results[7] = dataclasses.replace(
        first,
        detection_boxes_yxyx_pixels=first.detection_boxes_yxyx_pixels[kept],
        detection_scores=first.detection_scores[kept],
        detection_classes=first.detection_classes[kept],
    )
    found = strongest(results)
    assert (found.kind, found.image_id, found.place) == ("not there", "0007", 1)
    assert (found.found_class, found.suggested_box_xyxy_pixels) == (None, None)


def test_crowds_and_difficult_objects_are_suspected_of_nothing(results: list[ImageResult]) -> None:
    first = results[7]
    for flag in ("truth_is_crowd", "truth_is_ignored"):
        classes = (first.truth_classes + 1) % 3
        # One box over all of the picture: everything found lies in it.
        everything = np.array([[0.0, 0.0, 100.0, 100.0]])
        results[7] = with_truth(
            first,
            np.concatenate([first.truth_boxes_yxyx_pixels, everything]),
            [*classes, 0],
            **{flag: np.ones(5, np.bool_)},
        )
        mine = [one for one in suspicions(reviewed(results), 0.3) if one.image_id == "0007"]
        assert mine == []


def test_a_model_that_is_no_good_suspects_little() -> None:
    results = good_results()
    random = np.random.default_rng(1)
    # What is found is somewhere else.
    wild = [
        dataclasses.replace(one, detection_boxes_yxyx_pixels=one.detection_boxes_yxyx_pixels[random.permutation(5)])
        for one in results
    ]
    strong = [one for one in suspicions(reviewed(wild), 0.8) if one.kind != "not there"]
    assert len(strong) < 8


@hypothesis.given(st.integers(0, 10**6))
@hypothesis.settings(max_examples=30, deadline=None)
def test_what_holds_of_every_suspicion(seed: int) -> None:
    random = np.random.default_rng(seed)
    images = reviewed([made_result(random) for _ in range(12)])
    every = suspicions(images)
    scores = [one.score for one in every]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    about = [(one.image_id, one.place) for one in every if one.place is not None]
    assert len(set(about)) == len(about)
    for one in every:
        assert one.kind in KINDS
        assert Suspicion.from_json(one.to_json()) == one
        assert (one.place is None) == (one.kind == "missing") == (one.box_xyxy_pixels is None)
        assert (one.suggested_class is None) == (one.kind in ("duplicate", "not there"))
        if one.place is not None:
            number = int(one.image_id)
            rows = np.flatnonzero(images.truths.images == number)
            assert one.class_name == images.class_names[images.truths.classes[rows[one.place]]]
            assert not images.truths.is_crowd[rows[one.place]]
            assert not images.truths.is_ignored[rows[one.place]]


def test_agreement_is_the_share_that_agrees() -> None:
    random = np.random.default_rng(0)
    scores = random.random(4000)
    agreement = AgreementByScore.of(scores, random.random(4000) < scores**2)
    asked = np.array([0.2, 0.5, 0.9])
    np.testing.assert_allclose(agreement(asked), asked**2, atol=0.08)


def test_a_few_right_ones_are_no_certainty() -> None:
    agreement = AgreementByScore.of(np.array([0.9, 0.95]), np.array([True, True]))
    assert agreement(np.array([0.95]))[0] < 0.9


def test_boxes_far_outside_of_the_body_are_unusual_and_those_in_it_are_not() -> None:
    random = np.random.default_rng(0)
    usual = 1 - np.exp(random.normal(-2, 0.4, 400))
    chances = unusually_far_apart(np.append(usual, [0.3, 0.35, 0.4]), np.full(403, 0.8), np.zeros(403, np.int64))
    assert chances[-3:].min() > 0.9
    assert np.mean(chances[:400] > 0.5) < 0.02


def test_few_pairs_are_compared_with_those_of_all_classes() -> None:
    random = np.random.default_rng(0)
    usual = 1 - np.exp(random.normal(-2, 0.4, 400))
    classes = np.append(np.zeros(400, np.int64), 1)
    assert unusually_far_apart(np.append(usual, 0.2), np.full(401, 0.8), classes)[-1] > 0.9


def test_what_is_found_unsurely_may_lie_further_off() -> None:
    random = np.random.default_rng(0)
    scores = random.uniform(0.1, 0.9, 400)
    usual = 1 - np.exp(random.normal(-1 - 2 * scores, 0.2))
    chances = unusually_far_apart(np.append(usual, [0.6, 0.6]), np.append(scores, [0.1, 0.9]), np.zeros(402, np.int64))
    assert chances[-2] < 0.1 < 0.9 < chances[-1]


def test_a_line_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a suspicion"):
        Suspicion.from_json('{"kind": "odd"}')


def test_classes_that_a_model_confuses_again_and_again_are_its_own_error() -> None:
    # Class 1 is taken for 0 in ten of fifty, class 2 for 0 once; what is found as 0 is 0 otherwise.
    found = np.array([0] * 100 + [1] * 40 + [2] * 50)
    annotated = np.array([0] * 89 + [1] * 10 + [2] + [1] * 40 + [2] * 50)
    rarity = rarity_of_confusions(found, annotated, 3)
    assert rarity[0, 1] < 0.4
    assert rarity[0, 2] == 1
    assert ((rarity > 0) & (rarity <= 1)).all()
    assert rarity_of_confusions(found[:0], annotated[:0], 1).tolist() == [[1.0]]


def test_a_model_that_answers_nan_is_reviewed_without_those(results: list[ImageResult]) -> None:
    first = results[7]
    boxes, scores = first.detection_boxes_yxyx_pixels.copy(), first.detection_scores.copy()
    boxes[0], scores[1] = np.nan, np.nan
    results[7] = dataclasses.replace(first, detection_boxes_yxyx_pixels=boxes, detection_scores=scores)
    mine = [one for one in suspicions(reviewed(results)) if one.image_id == "0007" and one.place in (0, 1)]
    assert [one.kind for one in mine] == ["not there", "not there"]
