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
    only = joined([made_result(np.random.default_rng(4), num_classes=1) for _ in range(9)])
    alone = slice_result(only, OVERALL, only.metrics(only.candidate), {}, Gates(resamples=300))
    assert alone.intervals["AP/bus"] == alone.intervals["AP"]
    assert "AP/car" not in alone.intervals
    evaluation = Evaluation(Verdict(True, (), is_compared=True), (whole, fog))
    # As text, for a metric with nothing to find is NaN, which equals nothing.
    assert Evaluation.from_json(evaluation.to_json()).to_json() == evaluation.to_json()
