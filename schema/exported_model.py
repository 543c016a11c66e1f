"""Names in an exported model: what the export writes, and a server, the evaluator and the next training look for.

A pushed version is a contract with every server that runs by then: names may be added, none may change.
"""

from __future__ import annotations

import re
from typing import Final

SERVING_SIGNATURE: Final = "serving_default"
"""Encoded images -> ``OUTPUTS``; what TF Serving runs when a request names no signature."""
TENSOR_SIGNATURE: Final = "serving_tensor"
"""Decoded images of one size -> ``OUTPUTS``."""
TOLERANT_SIGNATURE: Final = "serving_tolerant"
"""Encoded images -> ``OUTPUTS`` and ``IMAGE_ERRORS``: one that does not decode has an error and no detections, the
others are answered. Under ``SERVING_SIGNATURE`` it fails its whole request, with an error that names its index."""
EVALUATE_SIGNATURE: Final = "evaluate"
"""Serialised records -> ``DETECTIONS``."""

IMAGE_BYTES: Final = "image_bytes"
"""Input of ``SERVING_SIGNATURE`` and ``TOLERANT_SIGNATURE``: string [B], JPEG or PNG files of any sizes."""
IMAGES: Final = "images"
"""Input of ``TENSOR_SIGNATURE``: uint8 [B, H, W, 3], RGB."""
EXAMPLES: Final = "examples"
"""Input of ``EVALUATE_SIGNATURE``: string [B], serialised records."""

BOXES: Final = "detection_boxes"
"""float32 [B, N, 4]: (ymin, xmin, ymax, xmax) in 0..1 of the original, upright image; padded rows are 0."""
SCORES: Final = "detection_scores"
"""float32 [B, N], best first; padded rows are 0."""
CLASSES: Final = "detection_classes"
"""int64 [B, N]: 1-based ids of the label map; padded rows are 0."""
CLASS_NAMES: Final = "detection_class_names"
"""string [B, N]; padded rows are empty."""
COUNTS: Final = "num_detections"
"""int64 [B]: how many rows are detections."""
OUTPUTS: Final = (BOXES, SCORES, CLASSES, CLASS_NAMES, COUNTS)
"""What every version has."""
THRESHOLDS: Final = "detection_thresholds"
"""float32 [B, N]: the score from which on a detection of the row's class is believed, see ``OPERATING_POINTS_FILE``;
padded rows are 1, so that ``SCORES >= THRESHOLDS`` is what is believed. Beside ``OUTPUTS`` in versions that carry
operating points; versions from before there were any, and those that were never measured, lack it."""
IMAGE_ERRORS: Final = "image_errors"
"""string [B]: empty, or ``UNREADABLE_IMAGE`` where the image does not decode."""
UNREADABLE_IMAGE: Final = "no readable JPEG, PNG, GIF or BMP image"
DETECTIONS: Final = "detections"
"""Output of ``EVALUATE_SIGNATURE``: float32 [B, N, 6] with rows (ymin, xmin, ymax, xmax, class id, score); padded rows
are -1 throughout."""

SAVED_MODEL_FILE: Final = "saved_model.pb"
"""This and the paths below are relative to the version's folder."""
LABELS_FILE: Final = "assets/labels.txt"
"""One class name a line, the line number is the id."""
DESCRIPTION_FILE: Final = "assets.extra/detector.json"
"""What it takes to build the detector again."""
WEIGHTS_FILE: Final = "assets.extra/detector.weights.h5"
"""The detector's weights, as Keras saves them."""
OPERATING_POINTS_FILE: Final = "assets.extra/operating_points.json"
"""Score thresholds by class and what they bring, see ``schema.operating_points``; there with ``THRESHOLDS`` or not."""
WARMUP_FILE: Final = "assets.extra/tf_serving_warmup_requests"
"""PredictionLogs that TF Serving replays before a version takes over."""

MODEL_NAME: Final = "detector"
"""What the model is called on a server, where nobody says otherwise."""

_INDICES: Final = re.compile(rf"{re.escape(UNREADABLE_IMAGE)} at index\W+(\d+(?: \d+)*)")


def unreadable_indices(message: str) -> list[int]:
    """Which images of a request do not decode, of the error that it was refused with; empty of any other error.

    Of a great many the last are left out.
    """
    found = _INDICES.search(message)
    return [int(index) for index in found[1].split()] if found else []


def renumbered(message: str, first: int, count: int, size: int) -> str:
    """The error of a part of a request, as that of the whole.

    Args:
      message: it may name images by their index in the part.
      first: index in the whole request of the part's first image.
      count: images of the part; behind them there may have been padding.
      size: images of the whole request.

    Returns:
      The message with the indices of the whole request, or as it is where it names none.
    """
    indices = [first + index for index in unreadable_indices(message) if index < count]
    if not indices:
        return message
    return f"{UNREADABLE_IMAGE} at index {' '.join(map(str, indices))} of a batch of {size}"
