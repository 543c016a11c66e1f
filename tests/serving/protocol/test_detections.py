"""Detections out of the outputs of a batch."""

from __future__ import annotations

import numpy as np
import pytest

from schema.exported_model import BOXES, CLASS_NAMES, CLASSES, COUNTS, SCORES, THRESHOLDS
from serving.protocol.detections import Detection, detections_of_image


def test_rows_that_are_padding_are_none() -> None:
    outputs = {
        BOXES: np.array([[[0, 0, 0.5, 0.5], [0, 0, 0, 0]], [[0.5, 0.5, 1, 1], [0, 0.5, 1, 1]]]),  # [2, 2, 4]
        SCORES: np.array([[0.9, 0], [0.8, 0.7]]),
        CLASSES: np.array([[1, 0], [2, 1]]),
        CLASS_NAMES: np.array([[b"stop", b""], [b"yield", b"\xff"]], object),
        COUNTS: np.array([1, 2]),
    }
    assert detections_of_image(outputs, 0) == (Detection(1, "stop", 0.9, (0, 0, 0.5, 0.5)),)
    first, second = detections_of_image(outputs, 1)
    assert first == Detection(2, "yield", 0.8, (0.5, 0.5, 1, 1))
    assert [found.threshold for found in (first, second)] == [None, None]
    with_thresholds = outputs | {THRESHOLDS: np.array([[0.25, 1], [0.5, 0.25]])}
    assert [found.threshold for found in detections_of_image(with_thresholds, 1)] == [0.5, 0.25]
    assert [found.threshold for found in detections_of_image(with_thresholds, 0)] == [0.25]
    # What no name ought to be does not stop the others.
    assert (second.class_name, second.score) == ("\ufffd", 0.7)
    del outputs[SCORES]
    with pytest.raises(KeyError, match=SCORES):
        detections_of_image(outputs, 0)
