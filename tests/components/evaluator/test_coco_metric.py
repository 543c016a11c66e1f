from __future__ import annotations

import math

import numpy as np
import pytest

from components.evaluator.coco_matching import ImageResult, match_images
from components.evaluator.coco_metric import NamedMatches, slice_metrics
from components.evaluator.settings import EvalSettings

BOX = [[0.1, 0.1, 0.6, 0.6]]


def image(image_id: str, class_names: tuple[str, ...], score: float, found: str, there: str) -> NamedMatches:
    result = ImageResult.from_normalized(
        height_pixels=100,
        width_pixels=100,
        detection_boxes_yxyx_normalized=BOX,
        detection_scores=[score],
        detection_classes=[class_names.index(found)],
        truth_boxes_yxyx_normalized=BOX,
        truth_classes=[class_names.index(there)],
    )
    return NamedMatches(image_id, class_names, match_images([result]))


def test_classes_are_compared_by_name() -> None:
    images = [
        image("1", ("bus", "car"), 0.9, "car", "car"),
        image("2", ("car", "bus"), 0.8, "car", "car"),
        image("3", ("bus", "car", "tram"), 0.7, "tram", "bus"),
    ]
    metrics = slice_metrics(images, EvalSettings())
    assert metrics["AP/car"] == pytest.approx(1.0)
    assert metrics["AP/bus"] == 0.0
    assert math.isnan(metrics["AP/tram"])
    assert metrics["AP"] == pytest.approx(0.5)
    assert (metrics["image_count"], metrics["object_count"]) == (3, 3)


def test_order_of_arrival_does_not_matter() -> None:
    names = ("a", "b")
    images = [image(str(n), names, 0.5, names[n % 3 % 2], names[n % 2]) for n in range(12)]
    expected = slice_metrics(images, EvalSettings())
    for seed in range(5):
        shuffled = [images[index] for index in np.random.default_rng(seed).permutation(len(images))]
        np.testing.assert_equal(slice_metrics(shuffled, EvalSettings()), expected)
