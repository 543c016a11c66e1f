"""Intervals of an evaluation, and how it is kept."""

from __future__ import annotations

import numpy as np

from components.evaluator.check import OVERALL
from components.evaluator.evaluation import Evaluation, SliceResult, slice_result
from components.evaluator.gate_settings import Gates
from components.evaluator.matched_images import MatchedImages
from components.evaluator.verdict import Verdict
from tests.components.evaluator.made_images import CLASS_NAMES, joined, made_result, without_classes

FOG = (("weather", "fog"),)


def _result(images: MatchedImages, values: tuple[tuple[str, str], ...]) -> SliceResult:
    chosen = images.slice_of(values)
    assert chosen.baseline is not None
    gates = Gates(resamples=300)
    return slice_result(images, values, chosen.metrics(chosen.candidate), chosen.metrics(chosen.baseline), gates)


def test_the_whole_split_has_intervals_of_every_class_as_well() -> None:
    random = np.random.default_rng(3)
    results = [made_result(random) for _ in range(60)]
    images = joined(results, [without_classes(result, [n % 3]) for n, result in enumerate(results)])
    whole, fog = _result(images, OVERALL), _result(images, FOG)
    classes = {f"{metric}/{name}" for metric in ("AP", "AP50") for name in CLASS_NAMES}
    assert set(whole.intervals) == set(whole.changes) == {"AP", "AP50"} | classes
    assert set(fog.intervals) == set(fog.changes) == {"AP", "AP50"}
    for result in (whole, fog):
        for metric, (low, high) in result.intervals.items():
            assert low <= result.metrics[metric] <= high
    # The class as the only one is measured in the same resamples.
    random = np.random.default_rng(4)
    only = joined([made_result(random, num_classes=1) for _ in range(30)])
    alone = slice_result(only, OVERALL, only.metrics(only.candidate), {}, Gates(resamples=300))
    assert alone.intervals["AP/bus"] == alone.intervals["AP"]
    assert "AP/car" not in alone.intervals


def test_where_the_gate_would_not_judge_there_is_no_interval() -> None:
    random = np.random.default_rng(3)
    images = joined([made_result(random) for _ in range(20)])
    few = min(images.images_with_class.values())
    for least, there in ((few, True), (few + 1, False)):
        gates = Gates(resamples=200, min_images=least)
        whole = slice_result(images, OVERALL, images.metrics(images.candidate), {}, gates)
        assert all(f"AP/{name}" in whole.intervals for name in CLASS_NAMES) == there
        assert "AP" in whole.intervals
    fog = images.slice_of(FOG)
    for least, there in ((len(fog.images), True), (len(fog.images) + 1, False)):
        gates = Gates(resamples=200, min_images=least)
        result = slice_result(images, FOG, fog.metrics(fog.candidate), {}, gates)
        assert ("AP" in result.intervals) == there


def test_an_evaluation_is_read_back() -> None:
    random = np.random.default_rng(3)
    results = [made_result(random) for _ in range(30)]
    whole = _result(joined(results, results), OVERALL)
    evaluation = Evaluation(Verdict(True, (), is_compared=True), (whole,))
    # As text, for a metric with nothing to find is NaN, which equals nothing.
    assert Evaluation.from_json(evaluation.to_json()).to_json() == evaluation.to_json()
