from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluator.analysis.precision_recall import (
    AT_IOU_50,
    AT_IOU_75,
    Ranking,
    mean_interpolated,
    precision_recall,
    rankings,
    thinned,
)
from tests.components.evaluator.analysis.hotcoco_reference import hotcoco_evaluation, proper
from tests.components.evaluator.coco_cases import made_case
from tests.components.evaluator.made_images import CLASS_NAMES, joined, made_result


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_interpolated_precision_is_that_of_coco(seed: int) -> None:
    results = [proper(result) for result in made_case(seed)[1]]
    images = joined(results)
    evaluation = hotcoco_evaluation(results, CLASS_NAMES)
    evaluation.accumulate()
    precision = np.array(evaluation.eval["precision"])  # [T, R, K, A, M]
    metrics = images.metrics(images.candidate)
    for threshold, metric in ((AT_IOU_50, "AP50"), (AT_IOU_75, "AP75")):
        curves = [precision_recall(ranking) for ranking in rankings(images, images.candidate, threshold)]
        for index, curve in enumerate(curves):
            theirs = precision[threshold, :, index, 0, 2]
            np.testing.assert_array_equal(curve.interpolated, np.where(theirs < 0, np.nan, theirs))
        assert mean_interpolated(curves).mean() == pytest.approx(metrics[metric], abs=1e-12, nan_ok=True)


def test_raw_points_are_what_the_detections_so_far_come_to() -> None:
    curve = precision_recall(Ranking(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 4))
    np.testing.assert_allclose(curve.precisions, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(curve.recalls, [1 / 4, 1 / 4, 2 / 4])
    assert curve.average_precision == pytest.approx((26 * 1 + 25 * 2 / 3) / 101)


def test_without_objects_there_is_no_curve() -> None:
    curve = precision_recall(Ranking(np.array([0.9]), np.array([False]), 0))
    assert np.isnan(curve.average_precision)
    assert np.isnan(mean_interpolated([curve])).all()
    assert precision_recall(Ranking(np.zeros(0), np.zeros(0, np.bool_), 3)).average_precision == 0.0


def test_an_iou_that_was_not_matched_at_is_refused() -> None:
    images = joined([made_result(np.random.default_rng(0))])
    with pytest.raises(ValueError, match="threshold 10: expected"):
        rankings(images, images.candidate, 10)


@given(outcomes=st.lists(st.booleans(), max_size=80), missed=st.integers(0, 3))
def test_thinned_points_are_the_same_line(outcomes: list[bool], missed: int) -> None:
    is_true = np.array(outcomes, np.bool_)
    curve = precision_recall(Ranking(np.linspace(1, 0, len(outcomes)), is_true, int(is_true.sum()) + missed + 1))
    points = thinned(curve.recalls, curve.precisions, 1000)
    for x, y in zip(curve.recalls.tolist(), curve.precisions.tolist(), strict=True):
        assert (x, y) in points or any(
            (x0 == x1 == x and y1 <= y <= y0) or (y0 == y1 == y and x0 <= x <= x1)
            for (x0, y0), (x1, y1) in itertools.pairwise(points)
        )


@given(outcomes=st.lists(st.booleans(), min_size=1, max_size=80), most=st.integers(2, 9))
def test_however_few_points_have_the_ends(outcomes: list[bool], most: int) -> None:
    curve = precision_recall(Ranking(np.linspace(1, 0, len(outcomes)), np.array(outcomes), len(outcomes)))
    points = thinned(curve.recalls, curve.precisions, most)
    assert len(points) <= most
    assert points[0] == (curve.recalls[0], curve.precisions[0])
    assert points[-1] == (curve.recalls[-1], curve.precisions[-1])


def test_thinning_alone_drops_what_lies_on_the_line() -> None:
    xs = np.array([0.0, 0.1, 0.2, 0.3, 0.3, 0.3, 0.4])
    ys = np.array([1.0, 1.0, 1.0, 1.0, 0.8, 0.5, 0.5])
    assert thinned(xs, ys, 100) == [(0.0, 1.0), (0.3, 1.0), (0.3, 0.5), (0.4, 0.5)]
