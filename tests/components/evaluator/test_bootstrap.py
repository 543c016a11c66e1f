"""The bootstrap against one that repeats images and lets the whole metric, and pycocotools, count them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluator.bootstrap import Quantity, Resamples, SliceResamples, interval, metrics_of_classes
from components.evaluator.coco import COCO_METRICS, METRIC_DEFINITIONS, ImageResult, coco_metrics
from tests.components.evaluator.made_images import CLASS_NAMES, joined, made_result

Reference = Callable[[Sequence[ImageResult], Sequence[str]], dict[str, float]]

EVERY = (0, 1, 2)


def distinct_scores(random: np.random.Generator, count: int) -> list[ImageResult]:
    """Images without equal scores: what the copies of one image do to each other then does not depend on order."""
    results = [made_result(random) for _ in range(count)]
    total = sum(len(result.detection_scores) for result in results)
    scores = iter(random.permutation(total) / max(total, 1))
    for result in results:
        result.detection_scores[:] = [next(scores) for _ in result.detection_scores]
    return results


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), count=st.integers(1, 12))
def test_a_weight_is_a_number_of_copies(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    results = distinct_scores(random, count)
    weights = random.integers(0, 4, (count, 3))
    images = joined(results)
    wanted = {metric: set(EVERY) for metric in METRIC_DEFINITIONS}
    ours = metrics_of_classes(images, images.candidate, weights.astype(np.float32), wanted)
    for resample in range(3):
        copies = [result for result, times in zip(results, weights[:, resample], strict=True) for _ in range(times)]
        theirs = coco_metrics(copies, CLASS_NAMES)
        for (metric, index), values in ours.items():
            expected = theirs[f"{metric}/{CLASS_NAMES[index]}"]
            assert values[resample] == pytest.approx(expected, abs=1e-6, nan_ok=True), (metric, index)


@pytest.mark.parametrize(
    ("setting", "value"), [("_ROWS_AT_ONCE", 3), ("_MOST_OBJECTS_IN_FLOAT32", 0), ("_MOST_OBJECTS_IN_FLOAT32", 1 << 24)]
)
def test_the_way_of_computing_does_not_matter(setting: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many objects in every resample as make pycocotools miss recalls by rounding: 100 of a class."""
    random = np.random.default_rng(2)
    results = [made_result(random) for _ in range(150)]
    images = joined(results)
    wanted = {metric: set(EVERY) for metric in METRIC_DEFINITIONS}
    weights = random.permuted(
        np.repeat([[0.0], [1.0], [2.0]], 50, axis=0).astype(np.float32).repeat(40, axis=1), axis=0
    )
    expected = metrics_of_classes(images, images.candidate, weights, wanted)
    monkeypatch.setattr(f"components.evaluator.resampled_curve.{setting}", value)
    for key, values in metrics_of_classes(images, images.candidate, weights, wanted).items():
        np.testing.assert_allclose(values, expected[key], atol=2e-7, err_msg=str(key))


def test_a_slice_is_drawn_once() -> None:
    drawn = SliceResamples(joined([made_result(np.random.default_rng(n)) for n in range(30)]), 50)
    fog = drawn.of((("weather", "fog"),))
    assert fog is drawn.of((("weather", "fog"),))
    assert fog is not drawn.of()
    assert len(fog.images.images) == 10
    parts = fog.values([Quantity("AP", EVERY)]), Resamples(fog.images, 50).values([Quantity("AP", EVERY)])
    np.testing.assert_array_equal(*parts)


def test_a_quantity_is_the_mean_of_classes_with_something_to_find() -> None:
    resamples = Resamples(joined(distinct_scores(np.random.default_rng(3), 6)), 50)
    every, *each = resamples.values([Quantity("AP", EVERY), *(Quantity("AP", (index,)) for index in EVERY)])[0]
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # of a resample without any object
        np.testing.assert_allclose(every, np.nanmean(each, axis=0))


def test_resamples_are_what_pycocotools_says_of_them(pycocotools_metrics: Reference) -> None:
    results = distinct_scores(np.random.default_rng(5), 25)
    images = joined(results)
    resamples = Resamples(images, 200)
    quantities = [Quantity(metric, EVERY) for metric in METRIC_DEFINITIONS]
    (ours,) = resamples.values(quantities)
    drawn = np.random.default_rng(0).integers(0, 25, (200, 25))
    for resample in (0, 7, 199):
        theirs = pycocotools_metrics([results[n] for n in sorted(drawn[resample])], CLASS_NAMES)
        for place, metric in enumerate(COCO_METRICS):
            assert ours[place, resample] == pytest.approx(theirs[metric], abs=1e-6, nan_ok=True), metric


def test_both_models_see_the_same_draws() -> None:
    results = [made_result(np.random.default_rng(n)) for n in range(30)]
    candidate, baseline = Resamples(joined(results, results), 300).values([Quantity("AP", EVERY)])
    np.testing.assert_array_equal(candidate, baseline)


def test_draws_do_not_depend_on_how_many_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    images = joined([made_result(np.random.default_rng(n)) for n in range(30)])
    at_once = Resamples(images, 300).values([Quantity("AP", EVERY)])
    monkeypatch.setattr("components.evaluator.bootstrap._MAX_ELEMENTS", 1)
    np.testing.assert_array_equal(Resamples(images, 300).values([Quantity("AP", EVERY)]), at_once)


def test_a_cluster_is_drawn_as_a_whole() -> None:
    """Ten copies of every image, as the frames of a video are nearly, know no more than one of each."""
    results = [made_result(np.random.default_rng(n)) for n in range(20)]
    copies = [result for result in results for _ in range(10)]
    clustered = joined(copies)
    clustered = type(clustered)(
        tuple(type(facts)(**{**vars(facts), "cluster": str(n // 10)}) for n, facts in enumerate(clustered.images)),
        *(clustered.class_names, clustered.truths, clustered.candidate),
    )
    widths = []
    for images in (joined(results), clustered, joined(copies)):
        resamples = Resamples(images, 1000)
        low, high = interval(resamples.values([Quantity("AP50", EVERY)])[0][0], resamples.num_clusters, 0.95) or (0, 0)
        widths.append(high - low)
    alone, together, apart = widths
    assert together == pytest.approx(alone, rel=0.1)
    assert apart < 0.5 * together


def test_intervals_of_few_images_are_wider_than_their_percentiles() -> None:
    spread = np.random.default_rng(0).normal(size=100_000)
    for clusters in (5, 50, 5000):
        low, high = interval(spread, clusters, 0.95) or (0.0, 0.0)
        assert high == pytest.approx(-low, abs=0.1)
    widths = [np.ptp(interval(spread, clusters, 0.95) or (0.0, 0.0)) for clusters in (5, 50, 5000)]
    assert widths[0] > widths[1] > widths[2] == pytest.approx(2 * 1.96, abs=0.05)


def test_what_says_nothing_has_no_interval() -> None:
    assert interval(np.array([0.5, 0.5]), 1, 0.95) is None
    assert interval(np.array([np.nan, np.nan, 0.5]), 9, 0.95) is None
