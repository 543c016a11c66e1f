"""Detections become labels by their score, in the frame of the canvas, wherever the picture lies on it."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from components.detector.structures import Detections
from components.trainer.input.augmentation.geometry import Geometry, part_inside_image, show
from components.trainer.strategies.adaptation.pseudo_labels import pseudo_labels

WHOLE = tf.ones((1, 2))


def detections(scores: list[float], classes: list[int], box: tuple[float, ...] = (0.2, 0.1, 0.6, 0.5)) -> Detections:
    return Detections(
        tf.constant([[box] * len(scores)], tf.float32),
        tf.constant([scores], tf.float32),
        tf.constant([classes], tf.int32),
        tf.constant([sum(c >= 0 for c in classes)]),
    )


def test_scores_decide_what_is_learnt_what_is_ignored_and_what_is_nothing() -> None:
    found = pseudo_labels(detections([0.9, 0.5, 0.3, 0.1, 0.0], [0, 1, 0, 1, -1]), WHOLE, tf.constant([0.5, 0.5]), 0.2)
    assert found.truth.classes.numpy().tolist() == [[0, 1, 0, -1, -1]]
    assert found.truth.weights.numpy().tolist() == [[1.0, 1.0, 0.0, 0.0, 0.0]]
    assert not found.truth.boxes_yxyx_normalized.numpy()[0, 3:].any()
    assert found.labelled.numpy().tolist() == [True]


def test_a_class_may_have_a_threshold_of_its_own() -> None:
    found = pseudo_labels(detections([0.6, 0.6], [0, 1]), WHOLE, tf.constant([0.5, 0.8]), 0.2)
    assert found.truth.weights.numpy().tolist() == [[1.0, 0.0]]


def test_without_a_sure_detection_an_image_has_no_label() -> None:
    found = pseudo_labels(detections([0.4, 0.0], [0, -1]), WHOLE, tf.constant([0.5]), 0.45)
    assert found.labelled.numpy().tolist() == [False]
    assert found.truth.classes.numpy().tolist() == [[-1, -1]]


def test_boxes_are_of_the_canvas_and_stay_inside_the_image() -> None:
    beyond = detections([0.9], [0], (-0.1, 0.5, 0.5, 1.2))
    found = pseudo_labels(beyond, tf.constant([[0.5, 1.0]]), tf.constant([0.5]), 0.2)
    np.testing.assert_allclose(found.truth.boxes_yxyx_normalized[0, 0], [0.0, 0.5, 0.25, 1.0])


def bright_box(canvas: np.ndarray, share: np.ndarray) -> tuple[float, ...]:
    """The bright rectangle of a canvas in 0..1 of the image on it: a perfect detector."""
    rows, columns = np.nonzero(canvas.max(axis=-1) > 150)
    height, width = canvas.shape[0] * share[0], canvas.shape[1] * share[1]
    return (rows.min() / height, columns.min() / width, (rows.max() + 1) / height, (columns.max() + 1) / width)


def test_labels_lie_on_the_paint_under_flips_turns_crops_and_padding() -> None:
    """Teacher and student see one canvas: what the teacher finds, mapped to it, is where the student sees it."""
    image = np.full((80, 120, 3), 40, np.uint8)
    image[20:50, 24:60] = 230
    for window in ([0.0, 0.0, 1.0, 1.0], [0.1, 0.05, 0.9, 0.8], [-0.2, -0.1, 1.2, 1.3]):
        for mirrored, turns in (([False, False], 0), ([False, True], 0), ([True, False], 0), ([True, True], 3)):
            geometry = Geometry(tf.constant(window), tf.constant(mirrored), tf.constant(turns))
            inside = part_inside_image(geometry.windows_yxyx).numpy() * [80, 120, 80, 120]
            top, left, bottom, right = np.rint(inside).astype(int)
            shown = show(tf.constant(image[top:bottom, left:right]), geometry)
            for share in ([1.0, 1.0], [0.5, 1.0], [1.0, 0.75]):
                rows, columns = int(64 * share[0]), int(64 * share[1])
                canvas = np.zeros((64, 64, 3), np.float32)
                canvas[:rows, :columns] = tf.image.resize(tf.cast(shown, tf.float32), (rows, columns)).numpy()
                found = pseudo_labels(
                    detections([0.9], [0], bright_box(canvas, np.array(share))),
                    tf.constant([share]),
                    tf.constant([0.5]),
                    0.2,
                )
                box = found.truth.boxes_yxyx_normalized[0, 0].numpy() * 64
                ymin, xmin, ymax, xmax = np.rint(box).astype(int)
                assert (canvas[ymin:ymax, xmin:xmax].max(axis=-1) > 150).all()
                canvas[ymin:ymax, xmin:xmax] = 0
                assert (canvas.max(axis=-1) <= 150).all()
