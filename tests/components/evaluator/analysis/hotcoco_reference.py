"""The outside reference: hotcoco on the same images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import hotcoco
import numpy as np

from components.evaluator.coco import ImageResult


def hotcoco_evaluation(
    results: Sequence[ImageResult], class_names: Sequence[str], ignored_as_crowd: bool = False
) -> hotcoco.COCOeval:
    """hotcoco's evaluation of these images, with the detections matched.

    Args:
      results: detections and objects of each image.
      class_names: by class index.
      ignored_as_crowd: hand over ignored objects as crowds, which hotcoco leaves out of a confusion matrix; else with
        an area outside every range, which is what "ignored" means in matching.
    """
    truths, found = [], []
    for image_id, result in enumerate(results, start=1):
        for row, (y0, x0, y1, x1) in enumerate(result.truth_boxes_yxyx_pixels.tolist()):
            hidden = bool(result.truth_is_ignored[row] and not result.truth_is_crowd[row])
            truths.append(
                {
                    "id": len(truths) + 1,
                    "image_id": image_id,
                    "category_id": int(result.truth_classes[row]) + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": -1.0 if hidden else float(result.truth_areas_pixels[row]),
                    "iscrowd": int(result.truth_is_crowd[row] or (ignored_as_crowd and hidden)),
                }
            )
        for row, (y0, x0, y1, x1) in enumerate(result.detection_boxes_yxyx_pixels.tolist()):
            found.append(
                {
                    "id": len(found) + 1,
                    "image_id": image_id,
                    "category_id": int(result.detection_classes[row]) + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "score": float(result.detection_scores[row]),
                    "iscrowd": 0,
                }
            )
    shared = {
        "images": [
            {"id": image_id, "width": 100, "height": 100, "file_name": f"{image_id}.jpg"}
            for image_id in range(1, len(results) + 1)
        ],
        "categories": [{"id": index + 1, "name": name} for index, name in enumerate(class_names)],
    }
    evaluation = hotcoco.COCOeval(
        hotcoco.COCO({**shared, "annotations": truths}), hotcoco.COCO({**shared, "annotations": found}), "bbox"
    )
    evaluation.evaluate()
    return evaluation


def proper(result: ImageResult, ignored: bool = True) -> ImageResult:
    """What hotcoco and we are both asked about: boxes that are some, scores of 0 to 1; the ignored if wanted."""
    boxes, scores = result.detection_boxes_yxyx_pixels, result.detection_scores
    kept = ~np.isnan(boxes).any(axis=1) & ~np.isnan(scores)
    kept &= (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return dataclasses.replace(
        without_detections(result, ~kept),
        detection_scores=np.clip(scores[kept], 0, 1),
        truth_is_crowd=result.truth_is_crowd & ignored,
        truth_is_ignored=result.truth_is_ignored & ignored,
    )


def without_detections(result: ImageResult, dropped: np.ndarray) -> ImageResult:
    """The image without some detections, bool [D]."""
    return dataclasses.replace(
        result,
        detection_boxes_yxyx_pixels=result.detection_boxes_yxyx_pixels[~dropped],
        detection_scores=result.detection_scores[~dropped],
        detection_classes=result.detection_classes[~dropped],
    )
