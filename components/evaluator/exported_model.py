"""The COCO metric of an exported model on records, without Beam: what a comparison of many models needs of each."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import tensorflow as tf
from tensorflow_model_analysis import constants

from components.evaluator.matched_images import join_images
from components.evaluator.matches_file import CANDIDATE
from components.evaluator.record_matching import MATCHED_IMAGE_KEY, labels_of, match_record
from components.evaluator.settings import EvalSettings
from schema.exported_model import DETECTIONS, EVALUATE_SIGNATURE, EXAMPLES


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
    label_maps = {CANDIDATE: labels_of(model)}
    settings, images = EvalSettings(), []
    remaining = iter(records)
    while batch := list(itertools.islice(remaining, batch_size)):
        detections = evaluate(**{EXAMPLES: tf.constant(batch)})[DETECTIONS].numpy()  # [B, N, 6]
        for record, rows in zip(batch, detections, strict=True):
            extracts = {constants.INPUT_KEY: record, constants.PREDICTIONS_KEY: rows}
            images.append(match_record(extracts, settings, label_maps)[MATCHED_IMAGE_KEY])
    matched = join_images(images, CANDIDATE, None, None)
    return matched.metrics(matched.candidate, per_class=())
