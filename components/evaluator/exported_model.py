"""The COCO metric of an exported model on records, without Beam: what a comparison of many models needs of each."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import tensorflow as tf
from tensorflow_model_analysis import constants

from components.evaluator.coco import COCO_METRICS
from components.evaluator.coco_matching import match_images
from components.evaluator.coco_metric import RESULTS_KEY, NamedMatches, slice_metrics
from components.evaluator.extractors import compare_with_ground_truth
from components.evaluator.settings import EvalSettings
from schema.exported_model import DETECTIONS, EVALUATE_SIGNATURE, EXAMPLES, LABELS_FILE
from schema.label_map import parse_labels_txt


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
    with tf.io.gfile.GFile(f"{model}/{LABELS_FILE}") as file:
        label_maps = {"": parse_labels_txt(file.read())}
    settings, images = EvalSettings(), []
    remaining = iter(records)
    while batch := list(itertools.islice(remaining, batch_size)):
        detections = evaluate(**{EXAMPLES: tf.constant(batch)})[DETECTIONS].numpy()  # [B, N, 6]
        for record, rows in zip(batch, detections, strict=True):
            extracts = {constants.INPUT_KEY: record, constants.PREDICTIONS_KEY: rows}
            one = compare_with_ground_truth(extracts, settings, label_maps)[RESULTS_KEY][""]
            images.append(NamedMatches(one.image_id, one.class_names, match_images([one.result]), 1))
    metrics = slice_metrics(images, settings)
    return {name: metrics[name] for name in COCO_METRICS}
