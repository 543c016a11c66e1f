"""The outside reference: pycocotools on the same images, as a fixture."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from components.evaluator.coco import COCO_METRICS, ImageResult

Reference = Callable[[Sequence[ImageResult], Sequence[str]], dict[str, float]]

_FAR_AWAY = [1e8, 1e8, 1.0, 1.0]


def _xywh(boxes_yxyx: np.ndarray) -> list[list[float]]:
    return [[x0, y0, x1 - x0, y1 - y0] for y0, x0, y1, x1 in boxes_yxyx.tolist()]


def _pycocotools_metrics(results: Sequence[ImageResult], class_names: Sequence[str]) -> dict[str, float]:
    """pycocotools' twelve numbers, overall and by class, with -1 turned into NaN.

    pycocotools overwrites an annotation's ``ignore``, so an ignored object that is no crowd is given an area outside
    every area range, which has the same meaning there. To pycocotools an IoU of NaN is above every threshold, so that a
    box of NaN would be a hit on whatever is left; here it is far from everything instead: it is of no use to anybody.
    """
    annotations, detections = [], []
    for image_id, result in enumerate(results, start=1):
        for row, box in enumerate(_xywh(result.truth_boxes_yxyx_pixels)):
            hidden = result.truth_is_ignored[row] and not result.truth_is_crowd[row]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(result.truth_classes[row]) + 1,
                    "bbox": box,
                    "area": -1.0 if hidden else float(result.truth_areas_pixels[row]),
                    "iscrowd": int(result.truth_is_crowd[row]),
                }
            )
        for row, box in enumerate(_xywh(result.detection_boxes_yxyx_pixels)):
            detections.append(
                {
                    "image_id": image_id,
                    "category_id": int(result.detection_classes[row]) + 1,
                    "bbox": _FAR_AWAY if np.isnan(box).any() else box,
                    "area": box[2] * box[3],
                    "score": float(result.detection_scores[row]),
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": image_id} for image_id in range(1, len(results) + 1)],
            "categories": [{"id": index + 1, "name": name} for index, name in enumerate(class_names)],
            "annotations": annotations,
        }
        truth.createIndex()
        found = COCO()
        found.dataset = dict(truth.dataset)
        found.dataset["annotations"] = [
            {**detection, "id": number, "iscrowd": 0} for number, detection in enumerate(detections, start=1)
        ]
        found.createIndex()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    return _summary(evaluation.eval["precision"], evaluation.eval["recall"], class_names)


def _summary(precision: np.ndarray, recall: np.ndarray, class_names: Sequence[str]) -> dict[str, float]:
    """precision [T, R, K, A, M] and recall [T, K, A, M] of COCOeval -> metrics by name."""
    metrics: dict[str, float] = {}
    every = list(range(len(class_names)))
    for suffix, classes in [("", every), *((f"/{name}", [index]) for index, name in enumerate(class_names))]:
        p, r = precision[:, :, classes], recall[:, classes]
        values = (
            *(p[..., 0, 2], p[0, ..., 0, 2], p[5, ..., 0, 2], p[..., 1, 2], p[..., 2, 2], p[..., 3, 2]),
            *(r[..., 0, 0], r[..., 0, 1], r[..., 0, 2], r[..., 1, 2], r[..., 2, 2], r[..., 3, 2]),
        )
        for name, value in zip(COCO_METRICS, values, strict=True):
            present = value[value > -1]
            metrics[name + suffix] = float(present.mean()) if present.size else float("nan")
    return metrics


@pytest.fixture(scope="session")
def pycocotools_metrics() -> Reference:
    return _pycocotools_metrics
