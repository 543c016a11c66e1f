"""Our numbers are pycocotools' numbers, over malformed and edge cases.

``COCO_CASES=10000 python -m pytest tests/components/evaluator/test_coco.py`` compares as many made-up sets of images,
some minutes long; without it, it is the first of the same sets.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from components.evaluator.coco import COCO_METRICS, ImageResult, class_metric, coco_metrics
from tests.components.evaluator.coco_cases import KINDS, made_case

Reference = Callable[[Sequence[ImageResult], Sequence[str]], dict[str, float]]
Row = tuple[float, ...]

CLASS_NAMES = ("car", "bus", "never seen")
BOX = (10.0, 10.0, 50.0, 50.0)
NUM_CASES = int(os.environ.get("COCO_CASES", "200"))


def image(detections: Sequence[Row] = (), truths: Sequence[Row] = ()) -> ImageResult:
    """Detections as (4 box, score, class), truths as (4 box, class, crowd, ignored[, area]) rows, in pixels."""
    d = np.array([row[:6] for row in detections], np.float64).reshape(-1, 6)
    t = np.array([row[:7] for row in truths], np.float64).reshape(-1, 7)
    areas = [row[7] if len(row) > 7 else (row[2] - row[0]) * (row[3] - row[1]) for row in truths]
    return ImageResult(
        d[:, :4],
        d[:, 4],
        d[:, 5].astype(np.int64),
        t[:, :4],
        t[:, 4].astype(np.int64),
        np.array(areas, np.float64),
        t[:, 5].astype(np.bool_),
        t[:, 6].astype(np.bool_),
    )


def assert_same(results: Sequence[ImageResult], reference: Reference) -> dict[str, float]:
    ours = coco_metrics(results, CLASS_NAMES)
    theirs = reference(results, CLASS_NAMES)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, rel=0, abs=1e-12, nan_ok=True), name
    return ours


def shifted(box: Row, pixels: float) -> Row:
    return (box[0] + pixels, box[1], box[2] + pixels, box[3])


CASES: dict[str, list[ImageResult]] = {
    "perfect": [image([(*BOX, 0.9, 0)], [(*BOX, 0, 0, 0)])],
    "nothing at all": [image()],
    "two empty images": [image(), image()],
    "detections without any object": [image([(*BOX, 0.9, 0)])],
    "objects without any detection": [image([], [(*BOX, 0, 0, 0)])],
    "empty image beside a full one": [image(), image([(*BOX, 0.9, 0)], [(*BOX, 0, 0, 0)])],
    "false positive on an empty image": [image([(*BOX, 0.95, 0)]), image([(*BOX, 0.9, 0)], [(*BOX, 0, 0, 0)])],
    "wrong class": [image([(*BOX, 0.9, 1)], [(*BOX, 0, 0, 0)])],
    "class detected, never there": [image([(*BOX, 0.9, 0), (*BOX, 0.9, 1)], [(*BOX, 0, 0, 0)])],
    "duplicate detection": [image([(*BOX, 0.9, 0), (*BOX, 0.8, 0)], [(*BOX, 0, 0, 0)])],
    "duplicate object": [image([(*BOX, 0.9, 0)], [(*BOX, 0, 0, 0), (*BOX, 0, 0, 0)])],
    "equal scores in an image": [image([(*shifted(BOX, 300), 0.5, 0), (*BOX, 0.5, 0)], [(*BOX, 0, 0, 0)])],
    "equal scores across images": [
        image([(*BOX, 0.5, 0)], []),
        image([(*BOX, 0.5, 0)], [(*BOX, 0, 0, 0)]),
        image([(*BOX, 0.5, 0)], []),
    ],
    "all scores zero": [image([(*BOX, 0.0, 0), (*shifted(BOX, 5), 0.0, 0)], [(*BOX, 0, 0, 0)])],
    "negative score": [image([(*BOX, -1.5, 0), (*shifted(BOX, 90), 0.1, 0)], [(*BOX, 0, 0, 0)])],
    "equal IoU with two objects, the later is taken": [
        image([(*BOX, 0.9, 0), (*shifted(BOX, 8), 0.8, 0)], [(*shifted(BOX, -4), 0, 0, 0), (*shifted(BOX, 4), 0, 0, 0)])
    ],
    "better object is taken first": [
        image([(*BOX, 0.9, 0), (*BOX, 0.8, 0)], [(*shifted(BOX, 9), 0, 0, 0), (*shifted(BOX, 2), 0, 0, 0)])
    ],
    "IoU exactly 0.5": [image([(0, 0, 10, 20, 0.9, 0)], [(0, 0, 10, 10, 0, 0, 0)])],
    "IoU exactly 0.75": [image([(0, 0, 10, 30, 0.9, 0)], [(0, 0, 10, 40, 0, 0, 0)])],
    "crowd swallows many": [
        image([(*BOX, 0.9, 0), (12, 12, 40, 40, 0.8, 0), (*shifted(BOX, 300), 0.7, 0)], [(0, 0, 99, 99, 0, 1, 0)])
    ],
    "crowd beside a counting object": [
        image(
            [(*BOX, 0.9, 0), (*BOX, 0.8, 0), (*BOX, 0.7, 0)],
            [(0, 0, 99, 99, 0, 1, 0), (*shifted(BOX, 3), 0, 0, 0)],
        )
    ],
    "only crowd of a class": [image([(*BOX, 0.9, 0)], [(*BOX, 0, 1, 0)])],
    "ignored object taken once": [image([(*BOX, 0.9, 0), (*BOX, 0.8, 0)], [(*BOX, 0, 0, 1)])],
    "counting object preferred to a better ignored one": [
        image([(*BOX, 0.9, 0)], [(*BOX, 0, 0, 1), (*shifted(BOX, 12), 0, 0, 0)])
    ],
    "two ignored objects": [
        image([(*BOX, 0.9, 0), (*BOX, 0.8, 0), (*BOX, 0.7, 0)], [(*BOX, 0, 0, 1), (*shifted(BOX, 4), 0, 0, 1)])
    ],
    "ignored and crowd at once": [image([(*BOX, 0.9, 0), (*BOX, 0.8, 0)], [(*BOX, 0, 1, 1)])],
    "area 32 x 32 is small and medium": [image([(0, 0, 32, 32, 0.9, 0)], [(0, 0, 32, 32, 0, 0, 0)])],
    "area 96 x 96 is medium and large": [image([(0, 0, 96, 96, 0.9, 0)], [(0, 0, 96, 96, 0, 0, 0)])],
    "segmentation area differs from the box": [image([(0, 0, 99, 99, 0.9, 0)], [(0, 0, 99, 99, 0, 0, 0, 500.0)])],
    "detection and object in different area ranges": [
        image([(0, 0, 33, 33, 0.9, 0), (0, 0, 31, 31, 0.8, 0)], [(0, 0, 32, 31, 0, 0, 0)])
    ],
    "zero-area object": [image([(5, 5, 5, 9, 0.9, 0)], [(5, 5, 5, 9, 0, 0, 0), (*BOX, 0, 0, 0)])],
    "inverted detection": [image([(50, 50, 10, 10, 0.9, 0), (*BOX, 0.8, 0)], [(*BOX, 0, 0, 0)])],
    "inverted in one direction": [image([(50, 10, 10, 50, 0.9, 0), (*BOX, 0.8, 0)], [(*BOX, 0, 0, 0)])],
    "outside the image": [image([(-90, -90, -10, -10, 0.9, 0)], [(-90, -90, -10, -10, 0, 0, 0)])],
    "huge box": [image([(0, 0, 2e5, 2e5, 0.9, 0)], [(0, 0, 2e5, 2e5, 0, 0, 0)])],
    "more than 100 detections, the hit comes last": [
        image([*((*shifted(BOX, 100), 0.9, 0) for _ in range(100)), (*BOX, 0.1, 0)], [(*BOX, 0, 0, 0)])
    ],
    "hit at place 100": [
        image([*((*shifted(BOX, 100), 0.9, 0) for _ in range(99)), (*BOX, 0.1, 0)], [(*BOX, 0, 0, 0)])
    ],
    "100 detections of each of two classes": [
        image(
            [*((*shifted(BOX, row % 7), 0.9 - row / 1000, row % 2) for row in range(260))],
            [(*BOX, 0, 0, 0), (*shifted(BOX, 5), 1, 0, 0)],
        )
    ],
    "recall thresholds hit exactly": [
        image(
            [(*shifted(BOX, 60 * n), 0.9 - n / 100, 0) for n in range(10)],
            [(*shifted(BOX, 60 * n), 0, 0, 0) for n in range(20)],
        )
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_case_equals_pycocotools(name: str, pycocotools_metrics: Reference) -> None:
    assert_same(CASES[name], pycocotools_metrics)


def test_all_cases_together_equal_pycocotools(pycocotools_metrics: Reference) -> None:
    assert_same([result for results in CASES.values() for result in results], pycocotools_metrics)


# A coarse grid makes ties, exact thresholds and shared corners likely.
corners = st.integers(-2, 14).map(lambda value: value * 8.0)
boxes = st.tuples(corners, corners, corners, corners)
scores = st.sampled_from([0.0, 0.25, 0.5, 0.5000001, 0.75, 1.0])
flags = st.sampled_from([0.0, 0.0, 0.0, 1.0])
areas = st.sampled_from([0.0, 64.0, 1023.0, 1024.0, 1025.0, 9216.0, 9217.0])
detections = st.builds(lambda b, s, c: (*b, s, float(c)), boxes, scores, st.integers(0, 1))
truths = st.builds(lambda b, c, k, i, a: (*b, float(c), k, i, a), boxes, st.integers(0, 1), flags, flags, areas)
images = st.builds(image, st.lists(detections, max_size=14), st.lists(truths, max_size=6))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(images, min_size=1, max_size=4))
def test_arbitrary_images_equal_pycocotools(pycocotools_metrics: Reference, results: list[ImageResult]) -> None:
    assert_same(results, pycocotools_metrics)


@pytest.mark.timeout(900 + NUM_CASES)
def test_made_up_sets_of_images_equal_pycocotools(pycocotools_metrics: Reference) -> None:
    seen = set()
    for seed in range(NUM_CASES):
        kind, results = made_case(seed)
        seen.add(kind)
        try:
            assert_same(results, pycocotools_metrics)
        except AssertionError as error:
            raise AssertionError(f"seed {seed} ({kind.name}): {error}") from error
    assert seen == set(KINDS)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(seed=0)
@given(seed=st.integers(0, 2**32 - 1))
def test_noisy_detectors_equal_pycocotools(pycocotools_metrics: Reference, seed: int) -> None:
    """Crowded scenes of jittered duplicates: long chains of detections that compete for the same objects."""
    random = np.random.default_rng(seed)
    results = []
    for _ in range(5):
        centres, sizes = random.uniform(0, 200, (8, 2)), random.uniform(8, 130, (8, 2))
        there = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1).round(2)  # [8, 4]
        found = np.repeat(there, 20, axis=0) + random.normal(0, 4, (160, 4)).round(2)  # [160, 4]
        results.append(
            ImageResult(
                found,
                random.uniform(0, 1, 160).round(2),
                random.integers(0, 2, 160),
                there,
                random.integers(0, 2, 8),
                random.uniform(0, 12000, 8),
                random.random(8) < 0.2,
                random.random(8) < 0.2,
            )
        )
    assert_same(results, pycocotools_metrics)


def test_absent_class_is_nan_and_left_out_of_means() -> None:
    metrics = coco_metrics(CASES["class detected, never there"], CLASS_NAMES)
    assert metrics["AP"] == pytest.approx(1.0)
    assert np.isnan(metrics[class_metric("AP", "bus")])
    assert set(metrics) == {*COCO_METRICS, *(f"{m}/{c}" for m in COCO_METRICS for c in CLASS_NAMES)}


def test_no_images_is_all_nan() -> None:
    assert all(np.isnan(value) for value in coco_metrics([], CLASS_NAMES).values())


def test_normalized_boxes_drop_padding_and_default_areas() -> None:
    result = ImageResult.from_normalized(
        height_pixels=100,
        width_pixels=200,
        detection_boxes_yxyx_normalized=[[0.1, 0.1, 0.5, 0.5], [-1, -1, -1, -1]],
        detection_scores=[0.9, -1],
        detection_classes=[0, -1],
        truth_boxes_yxyx_normalized=[[0.1, 0.1, 0.5, 0.5]],
        truth_classes=[0],
    )
    np.testing.assert_allclose(result.detection_boxes_yxyx_pixels, [[10, 20, 50, 100]])
    np.testing.assert_allclose(result.truth_areas_pixels, [40 * 80])


def test_class_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="class index 1 found"):
        coco_metrics([image([(*BOX, 0.9, 1)])], ["car"])


def test_rows_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="1 detection boxes"):
        ImageResult.from_normalized(
            height_pixels=1,
            width_pixels=1,
            detection_boxes_yxyx_normalized=[[0, 0, 1, 1]],
            detection_scores=[0.5, 0.6],
            detection_classes=[0],
            truth_boxes_yxyx_normalized=[],
            truth_classes=[],
        )
