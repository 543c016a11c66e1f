"""The COCO metric on the ``eval`` split while training, by the very code that judges the finished model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from components.detector.detector import ImageDetector
from components.detector.structures import Detections, Preprocessed
from components.evaluator.coco import ImageResult, coco_metrics
from components.trainer.input.input_pipeline import EvaluationBatch, iterate


class Evaluation:
    """Detects in every image of a dataset and compares.

    Args:
      detector: what is judged.
      make_batches: a dataset of ``EvaluationBatch``es, made anew for each evaluation.
      class_names: by 0-based class index.
    """

    def __init__(
        self, detector: ImageDetector, make_batches: Callable[[], tf.data.Dataset], class_names: Sequence[str]
    ) -> None:
        self._make_batches = make_batches
        self._class_names = tuple(class_names)

        def detect(images: tf.Tensor, valid_height_width: tf.Tensor) -> Detections:
            return detector.detect(Preprocessed(detector.normalize(images), valid_height_width))

        self._detect = tf.function(detect, reduce_retracing=True, autograph=False, jit_compile=False)

    def __call__(self) -> dict[str, float]:
        """The metrics of ``components.evaluator.coco``, overall and by class."""
        return coco_metrics(self.results(), self._class_names)

    def results(self) -> list[ImageResult]:
        """What is found beside what is there, image by image."""
        results: list[ImageResult] = []
        for batch in iterate(self._make_batches()):
            results.extend(image_results(self._detect(batch.images, batch.valid_height_width), batch))
        return results


def image_results(detections: Detections, batch: EvaluationBatch) -> list[ImageResult]:
    """Detections beside ground truth, image by image."""
    found = Detections(*(part.numpy() for part in detections))
    there = EvaluationBatch(*(part.numpy() for part in batch))
    results = []
    for index, (height, width) in enumerate(there.height_width_pixels):
        count = found.counts[index]
        results.append(
            ImageResult.from_normalized(
                height_pixels=float(height),
                width_pixels=float(width),
                detection_boxes_yxyx_normalized=found.boxes_yxyx_normalized[index, :count],
                detection_scores=found.scores[index, :count],
                detection_classes=found.classes[index, :count],
                truth_boxes_yxyx_normalized=there.boxes_yxyx_normalized[index],
                truth_classes=there.classes[index],
                truth_areas_pixels=there.areas_pixels[index],
                truth_is_crowd=there.is_crowd[index],
                truth_is_ignored=there.is_difficult[index],
            )
        )
    return results
