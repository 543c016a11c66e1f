"""Images with a good model, in which single annotations are made wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from components.evaluator.coco_matching import ImageResult
from components.evaluator.matched_images import MatchedImages
from tests.components.evaluator.made_images import joined

IMAGES = 40
"""Of 100 x 100 pixels, with an object of 30 x 30 in each corner."""
PLACES = ((5.0, 5.0), (5.0, 60.0), (60.0, 5.0), (60.0, 60.0))


def good_results(seed: int = 0) -> list[ImageResult]:
    """A model that finds nearly everything, to a pixel or two, and a few false alarms of low scores."""
    random = np.random.default_rng(seed)
    results = []
    for _ in range(IMAGES):
        corner = np.array(PLACES) + random.uniform(-4, 4, (4, 2))
        truth = np.concatenate([corner, corner + random.uniform(25, 35, (4, 2))], axis=1)  # [4, 4]
        classes = random.integers(0, 3, 4)
        boxes = truth + random.normal(0, 0.8, truth.shape)
        alarms = np.array([[38.0, 38.0, 58.0, 58.0]]) + random.uniform(-3, 3, (1, 4))
        results.append(
            result_of(
                np.concatenate([boxes, alarms]),
                [*random.uniform(0.7, 1, 4), random.uniform(0, 0.3)],
                [*classes, random.integers(0, 3)],
                truth,
                classes,
            )
        )
    return results


def result_of(
    boxes: np.ndarray, scores: Sequence[float], classes: Sequence[int], truth: np.ndarray, truth_classes: Sequence[int]
) -> ImageResult:
    """From boxes in pixels."""
    return ImageResult.from_normalized(
        height_pixels=1,
        width_pixels=1,
        detection_boxes_yxyx_normalized=boxes,
        detection_scores=scores,
        detection_classes=classes,
        truth_boxes_yxyx_normalized=truth,
        truth_classes=truth_classes,
    )


def with_truth(result: ImageResult, boxes: np.ndarray, classes: Sequence[int], **flags: object) -> ImageResult:
    """The same detections beside other annotations."""
    none = np.zeros(len(classes), np.bool_)
    changed = {
        "truth_boxes_yxyx_pixels": boxes,
        "truth_classes": np.array(classes, np.int64),
        "truth_areas_pixels": (boxes[:, 2:] - boxes[:, :2]).prod(axis=-1),
        "truth_is_crowd": none,
        "truth_is_ignored": none,
    }
    return dataclasses.replace(result, **{**changed, **flags})


def reviewed(results: Sequence[ImageResult]) -> MatchedImages:
    """The images, image 0 first."""
    return joined(results)
