from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluator.analysis.confusion import Confusions, confusions
from components.evaluator.coco import ImageResult
from components.evaluator.coco_matching import looked_at
from tests.components.evaluator.analysis.hotcoco_reference import hotcoco_evaluation, proper
from tests.components.evaluator.coco_cases import made_case
from tests.components.evaluator.made_images import CLASS_NAMES, joined

IOUS = st.sampled_from([0.3, 0.5, 0.75])
SCORES = st.sampled_from([0.0, 0.25, 0.5, 0.9])


def of_hotcoco(results: Sequence[ImageResult], iou: float, score: float) -> np.ndarray:
    evaluation = hotcoco_evaluation(results, CLASS_NAMES, ignored_as_crowd=True)
    return evaluation.confusion_matrix(iou_thr=iou, min_score=score, max_det=1 << 20)["matrix"].astype(np.int64)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), iou=IOUS, score=SCORES)
def test_the_matrix_is_that_of_hotcoco(seed: int, iou: float, score: float) -> None:
    results = [looked_at(proper(result, ignored=False)) for result in made_case(seed)[1]]
    images = joined(results)
    ours = confusions(images, images.candidate, iou, score)
    np.testing.assert_array_equal(ours.matrix, of_hotcoco(results, iou, score))


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), iou=IOUS, score=SCORES)
def test_with_ignored_objects_only_false_alarms_are_fewer(seed: int, iou: float, score: float) -> None:
    results = [looked_at(proper(result)) for result in made_case(seed)[1]]
    images = joined(results)
    ours, theirs = confusions(images, images.candidate, iou, score).matrix, of_hotcoco(results, iou, score)
    np.testing.assert_array_equal(ours[:-1], theirs[:-1])
    assert (ours[-1] <= theirs[-1]).all()
    if not any((result.truth_is_crowd | result.truth_is_ignored).any() for result in results):
        np.testing.assert_array_equal(ours[-1], theirs[-1])


BUS, CAR, SIGN = range(3)
BOX, AWAY = (10.0, 10.0, 50.0, 50.0), (60.0, 60.0, 90.0, 90.0)


Rows = Sequence[tuple[tuple[float, ...], int]]


def one_image(found: Rows, there: Rows) -> ImageResult:
    return ImageResult.from_normalized(
        height_pixels=1,
        width_pixels=1,
        detection_boxes_yxyx_normalized=[box for box, _ in found],
        detection_scores=np.linspace(0.9, 0.3, len(found)),
        detection_classes=[index for _, index in found],
        truth_boxes_yxyx_normalized=[box for box, _ in there],
        truth_classes=[index for _, index in there],
    )


def test_every_object_and_every_detection_is_somewhere() -> None:
    images = joined([one_image([(BOX, BUS), (AWAY, SIGN)], [(BOX, CAR), (AWAY, SIGN), ((0, 60, 20, 90), BUS)])])
    found = confusions(images, images.candidate)
    expected = np.zeros((4, 4), np.int64)
    expected[CAR, BUS] = expected[SIGN, SIGN] = expected[BUS, -1] = 1
    np.testing.assert_array_equal(found.matrix, expected)
    assert found.most_confused() == [("car", "bus", 1, 1.0)]
    np.testing.assert_array_equal(found.objects, [1, 1, 1])


def test_only_detections_of_the_score_are_asked() -> None:
    images = joined([one_image([(BOX, BUS), (BOX, CAR)], [(BOX, CAR)])])
    assert confusions(images, images.candidate, score=0.31).matrix[CAR].tolist() == [1, 0, 0, 0]
    assert confusions(images, images.candidate, score=0.95).matrix[CAR].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(("index", "alarms"), [(CAR, 0), (BUS, 1)])
@pytest.mark.parametrize("flag", ["truth_is_crowd", "truth_is_ignored"])
def test_what_is_found_of_an_ignored_object_of_its_class_is_no_false_alarm(flag: str, index: int, alarms: int) -> None:
    result = dataclasses.replace(one_image([(BOX, index)], [(BOX, CAR)]), **{flag: np.array([True])})
    images = joined([result])
    matrix = confusions(images, images.candidate).matrix
    assert matrix.sum() == matrix[-1, index] == alarms


def test_the_most_confused_come_first() -> None:
    matrix = np.array([[5, 1, 0, 4], [3, 2, 0, 0], [0, 1, 0, 0], [9, 9, 9, 0]])
    found = Confusions(matrix, CLASS_NAMES, 0.5, 0.3).most_confused()
    assert found == [("car", "bus", 3, 0.6), ("bus", "car", 1, 0.1), ("sign", "car", 1, 1.0)]
