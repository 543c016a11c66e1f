"""The COCO metric of a model on records, without Beam: what a comparison of many models needs of each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow_model_analysis import constants

from components.evaluator.matched_images import MatchedImages, join_images
from components.evaluator.matches_file import CANDIDATE
from components.evaluator.record_matching import MATCHED_IMAGE_KEY, labels_of, match_record
from components.evaluator.settings import EvalSettings
from schema import features
from schema.exported_model import DETECTIONS, EVALUATE_SIGNATURE, EXAMPLES
from schema.label_map import LabelMap

Rows = npt.NDArray[np.float32]
"""float32 [B, N, 6]: (ymin, xmin, ymax, xmax in 0..1, class id, score), -1 in padded rows."""


class EncodedImageDetector(Protocol):
    """Something that answers detections for encoded images."""

    @property
    def label_map(self) -> LabelMap:
        """What its class ids mean."""

    def detect_encoded(self, encoded: Sequence[bytes]) -> Rows:
        """Detections in image files, float32 [B, N, 6]."""


def metrics_of_export(model: str, records: Iterable[bytes], batch_size: int) -> dict[str, float]:
    """The metrics of ``COCO_METRICS`` overall, of the model's own boxes: those that a server would answer.

    Args:
      model: SavedModel folder.
      records: serialised, with the ground truth.
      batch_size: images that the model sees at once.

    Raises:
      ValueError: a record's features do not fit together.
    """
    evaluate = tf.saved_model.load(model).signatures[EVALUATE_SIGNATURE]

    def detect(batch: Sequence[bytes]) -> Rows:
        rows: Rows = evaluate(**{EXAMPLES: tf.constant(batch)})[DETECTIONS].numpy()
        return rows

    matched = _matched(detect, labels_of(model), records, batch_size)
    return matched.metrics(matched.candidate, per_class=())


def matches_of_detector(detector: EncodedImageDetector, records: Iterable[bytes], batch_size: int) -> MatchedImages:
    """What a detector finds in the images of records, matched to what is there.

    Classes are told by their names: a class that the detector does not know is one of which it finds nothing.

    Args:
      detector: whatever answers.
      records: serialised, with the image and the ground truth.
      batch_size: images that it is asked about at once.

    Raises:
      ValueError: a record's features do not fit together, or a class id has no name.
    """

    def detect(batch: Sequence[bytes]) -> Rows:
        examples = (tf.train.Example.FromString(record).features.feature for record in batch)
        return detector.detect_encoded([values[features.IMAGE_ENCODED].bytes_list.value[0] for values in examples])

    return _matched(detect, detector.label_map, records, batch_size)


def _matched(
    detect: Callable[[Sequence[bytes]], Rows], label_map: LabelMap, records: Iterable[bytes], batch_size: int
) -> MatchedImages:
    """What a function from records to detections finds, matched to what is there."""
    settings, images = EvalSettings(), []
    remaining = iter(records)
    while batch := list(itertools.islice(remaining, batch_size)):
        for record, rows in zip(batch, detect(batch), strict=True):
            extracts = {constants.INPUT_KEY: record, constants.PREDICTIONS_KEY: rows}
            images.append(match_record(extracts, settings, {CANDIDATE: label_map})[MATCHED_IMAGE_KEY])
    return join_images(images, CANDIDATE, None, None)
