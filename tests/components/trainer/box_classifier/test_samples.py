"""Which boxes a classifier is fitted to."""

from __future__ import annotations

import numpy as np
import pytest

from components.trainer.box_classifier import samples
from components.trainer.box_classifier.samples import draw_boxes

OBJECTS = np.array([[0.1, 0.1, 0.3, 0.3], [0.5, 0.2, 0.7, 0.4], [0.6, 0.6, 0.7, 0.9]], np.float32)
CLASSES = np.array([0, 2, 1])
DETECTED = np.array(
    [[0.11, 0.1, 0.3, 0.3], [0.0, 0.6, 0.2, 0.8], [0.2, 0.1, 0.3, 0.3], [0.6, 0.61, 0.7, 0.9]], np.float32
)
"""The first object, nothing, half of the first, the third."""
SHARE = np.array([1.0, 0.8], np.float32)


def drawn(is_learnt: list[bool]) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    boxes, columns = draw_boxes(OBJECTS, CLASSES, np.array(is_learnt), DETECTED, SHARE, random)
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (boxes >= 0).all()
    assert (boxes <= np.tile(SHARE, 2)).all()
    return boxes, columns


def test_objects_what_shows_them_and_background() -> None:
    boxes, columns = drawn([True, True, True])
    assert np.bincount(columns)[1:].tolist() == [4, 4, 3]  # class 0 and 1 are detected, too
    overlaps = samples._overlaps(boxes, OBJECTS)
    for overlap, column in zip(overlaps, columns, strict=True):
        if column == 0:
            assert overlap.max() < 0.3
        else:
            assert CLASSES[overlap.argmax()] == column - 1
            assert overlap.max() > 0.5
    background = boxes[columns == 0]
    assert [0.0, 0.6, 0.2, 0.8] in background.tolist() or np.isclose(background, DETECTED[1]).all(axis=1).any()
    assert not np.isclose(boxes, DETECTED[2]).all(axis=1).any()


def test_crowds_are_neither_object_nor_background() -> None:
    boxes, columns = drawn([True, True, False])
    assert np.bincount(columns, minlength=4)[1:].tolist() == [4, 0, 3]
    assert samples._overlaps(boxes[columns == 0], OBJECTS).max() < 0.3


def test_of_the_largest_classes_some_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "_MOST_BOXES", 50)
    columns = [np.repeat([0, 1, 2], [40, 30, 2]), np.repeat([0, 1], [60, 5]), np.zeros(0, np.int64)]
    chosen = samples._chosen(columns, np.random.default_rng(0))
    kept = np.concatenate([of_image[rows] for of_image, rows in zip(columns, chosen, strict=True)])
    assert np.bincount(kept).tolist() == [24, 24, 2]
    assert [len(rows) for rows in chosen][-1] == 0
