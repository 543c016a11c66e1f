"""Images made up for the tests of what stands on matches."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from components.evaluator.coco_matching import ImageResult
from components.evaluator.matched_images import ImageFacts, MatchedImage, MatchedImages, join_images, match_image

CLASS_NAMES = ("bus", "car", "sign")


def made_result(
    random: np.random.Generator, num_classes: int = 3, noise_pixels: float = 4.0, found: float = 0.8
) -> ImageResult:
    """One image of 100 x 100 pixels: objects, some found more or less well, and false alarms."""
    there, alarms = int(random.integers(0, 6)), int(random.integers(0, 4))
    corner, size = random.uniform(0, 60, (there, 2)), random.uniform(8, 40, (there, 2))
    truth = np.concatenate([corner, corner + size], axis=1)  # [G, 4]
    classes = random.integers(0, num_classes, there)
    is_found = random.random(there) < found
    boxes = truth[is_found] + random.normal(0, noise_pixels, (int(is_found.sum()), 4))
    elsewhere = random.uniform(0, 60, (alarms, 2))
    return ImageResult.from_normalized(
        height_pixels=1,
        width_pixels=1,
        detection_boxes_yxyx_normalized=np.concatenate([boxes, np.concatenate([elsewhere, elsewhere + 20], axis=1)]),
        detection_scores=random.uniform(0, 1, len(boxes) + alarms).round(2),
        detection_classes=np.concatenate([classes[is_found], random.integers(0, num_classes, alarms)]),
        truth_boxes_yxyx_normalized=truth,
        truth_classes=classes,
        truth_is_crowd=random.random(there) < 0.1,
        truth_is_ignored=random.random(there) < 0.1,
    )


def without_classes(result: ImageResult, classes: Sequence[int]) -> ImageResult:
    """The detections of a model that does not know some classes."""
    kept = ~np.isin(result.detection_classes, classes)
    return dataclasses.replace(
        result,
        detection_boxes_yxyx_pixels=result.detection_boxes_yxyx_pixels[kept],
        detection_scores=result.detection_scores[kept],
        detection_classes=result.detection_classes[kept],
    )


def perfect(result: ImageResult) -> ImageResult:
    """Everything is found, and nothing else."""
    return dataclasses.replace(
        result,
        detection_boxes_yxyx_pixels=result.truth_boxes_yxyx_pixels,
        detection_scores=np.linspace(0.9, 0.5, len(result.truth_classes)),
        detection_classes=result.truth_classes,
    )


def made_image(
    number: int, results: Mapping[str, ImageResult], class_names: Sequence[str] = CLASS_NAMES, **facts: object
) -> MatchedImage:
    """An image with its number for a name, in fog where that divides by three, of span 1 below 30 and else of 2."""
    columns = {"weather": ("fog" if number % 3 == 0 else "clear",)}
    first = next(iter(results.values()))
    if len(first.truth_classes):
        columns["class"] = tuple(sorted({class_names[index] for index in first.truth_classes}))
    known: dict[str, object] = {
        "image_id": f"{number:04}",
        "file": f"{number:04}.jpg",
        "height_pixels": 100,
        "width_pixels": 100,
        "columns": columns,
        "cluster": f"{number:04}",
        "span": 1 if number < 30 else 2,
    }
    return match_image(ImageFacts(**{**known, **facts}), class_names, results)  # type: ignore[arg-type]


def joined(
    candidate: Sequence[ImageResult],
    baseline: Sequence[ImageResult] | None = None,
    known_before: Sequence[str] | None = CLASS_NAMES,
    class_names: Sequence[str] = CLASS_NAMES,
    **facts: object,
) -> MatchedImages:
    """The images of one or two models."""
    images = [
        made_image(
            n, {"candidate": result, **({} if baseline is None else {"baseline": baseline[n]})}, class_names, **facts
        )
        for n, result in enumerate(candidate)
    ]
    return join_images(
        images,
        "candidate",
        None if baseline is None else "baseline",
        None if baseline is None else known_before,
    )
