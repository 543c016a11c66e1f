from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve

from components.evaluator.analysis.operating_point import (
    MIN_OBJECTS,
    Rule,
    operating_points,
    point_of,
    thresholds_of,
)
from components.evaluator.analysis.precision_recall import AT_IOU_75, Ranking, rankings, together
from tests.components.evaluator.made_images import CLASS_NAMES, joined, made_result

ranked = st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.9]), st.booleans()), max_size=40)
rules = st.one_of(
    st.just(Rule()),
    st.builds(Rule, st.sampled_from(["precision", "recall"]), st.sampled_from([0.0, 0.3, 0.5, 0.75, 1.0])),
)


def ranking_of(detections: list[tuple[float, bool]], missed: int) -> Ranking:
    ordered = sorted(detections, key=lambda detection: -detection[0])
    is_true = np.array([hit for _, hit in ordered], np.bool_)
    return Ranking(np.array([score for score, _ in ordered]), is_true, int(is_true.sum()) + missed)


@given(ranked, st.integers(0, 5))
def test_every_threshold_is_that_of_scikit_learn(detections: list[tuple[float, bool]], missed: int) -> None:
    ranking = ranking_of(detections, missed)
    every = thresholds_of(ranking)
    if not ranking.is_true.any():
        assert not every.precisions.any()
        return
    precisions, recalls, thresholds = precision_recall_curve(ranking.is_true, ranking.scores)
    np.testing.assert_array_equal(every.scores, thresholds[::-1])
    np.testing.assert_allclose(every.precisions, precisions[:-1][::-1])
    # It knows the detections alone; objects that nobody found are ours to count.
    np.testing.assert_allclose(every.recalls, recalls[:-1][::-1] * ranking.is_true.sum() / ranking.objects)
    sums = every.precisions + every.recalls
    np.testing.assert_allclose(every.f1s, np.divide(2 * every.precisions * every.recalls, sums, where=sums > 0))


@given(ranked, st.integers(0, 5), rules)
def test_the_point_is_the_best_of_all_that_keep_the_rule(
    detections: list[tuple[float, bool]], missed: int, rule: Rule
) -> None:
    """Against every threshold tried one by one."""
    ranking = ranking_of(detections, missed)
    point = point_of(ranking, rule)
    if not ranking.objects or not detections:
        assert point is None
        return
    tried = []
    for score in sorted({score for score, _ in detections}, reverse=True):
        believed = [hit for own, hit in detections if own >= score]
        precision, recall = sum(believed) / len(believed), sum(believed) / ranking.objects
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        tried.append((score, precision, recall, f1))
    best = {
        "best_f1": lambda one: one[3],
        "precision": lambda one: (one[1] >= (rule.at_least or 0), one[2] if one[1] >= (rule.at_least or 0) else one[1]),
        "recall": lambda one: (one[2] >= (rule.at_least or 0), one[1] if one[2] >= (rule.at_least or 0) else one[2]),
    }[rule.kind]
    expected = max(tried, key=best)
    assert point is not None
    assert (point.threshold, point.precision, point.recall, point.f1) == pytest.approx(expected)
    assert point.support == ranking.objects
    kept = {"best_f1": True, "precision": point.precision >= (rule.at_least or 0)}
    assert point.is_reached == kept.get(rule.kind, point.recall >= (rule.at_least or 0))


def test_a_class_with_few_objects_takes_the_point_of_all_classes() -> None:
    random = np.random.default_rng(0)
    results = [made_result(random, num_classes=2) for _ in range(40)]
    images = joined([*results, made_result(random)])
    points = operating_points(images)
    everything = point_of(together(rankings(images, images.candidate)), Rule())
    assert tuple(points) == CLASS_NAMES
    assert everything is not None
    assert points["sign"].of_all_classes
    assert points["sign"].support < MIN_OBJECTS
    assert (points["sign"].threshold, points["sign"].f1) == (everything.threshold, everything.f1)
    for name in ("bus", "car"):
        assert points[name].support >= MIN_OBJECTS
        assert not points[name].of_all_classes


def test_a_threshold_brings_what_it_says() -> None:
    """Detections below it are dropped as a client would drop them, and the rest is counted anew."""
    random = np.random.default_rng(1)
    images = joined([made_result(random) for _ in range(60)])
    for threshold in (0, AT_IOU_75):
        for index, point in enumerate(operating_points(images, Rule("recall", 0.5), threshold=threshold).values()):
            believed = images.candidate.scores >= point.threshold
            own = believed & (images.candidate.classes == index)
            hits = (images.candidate.matched_counting[own] >> np.uint64(threshold) & np.uint64(1)).sum()
            assert not point.of_all_classes
            assert hits / point.support == pytest.approx(point.recall)


def test_the_baseline_has_points_of_its_own() -> None:
    random = np.random.default_rng(2)
    results = [made_result(random) for _ in range(40)]
    images = joined(results, [made_result(np.random.default_rng(9), found=0.3)] * 40)
    assert operating_points(images, detections=images.candidate) == operating_points(images)
    assert operating_points(images, detections=images.baseline) != operating_points(images)


def test_nothing_to_find_and_nothing_found_have_no_points() -> None:
    empty = made_result(np.random.default_rng(0), found=0.0)
    assert operating_points(joined([empty]).select(np.array([False]))) == {}


@pytest.mark.parametrize(("kind", "at_least"), [("best_f1", 0.5), ("precision", None), ("recall", 1.5)])
def test_a_rule_that_makes_no_sense_is_refused(kind: str, at_least: float | None) -> None:
    with pytest.raises(ValueError, match=f"at_least is {at_least}"):
        Rule(kind, at_least)  # type: ignore[arg-type]
