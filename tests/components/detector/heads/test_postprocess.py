from __future__ import annotations

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.detector.heads import postprocess
from components.detector.structures import Detections


def iou(a: np.ndarray, b: np.ndarray) -> float:
    height = max(min(a[2], b[2]) - max(a[0], b[0]), 0.0)
    width = max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)
    return height * width / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - height * width)


def suppress_by_hand(
    boxes: np.ndarray, scores: np.ndarray, per_class: int, total: int
) -> list[tuple[float, int, tuple[float, ...]]]:
    """One image: (score, class, clipped box) of what greedy suppression keeps, best first."""
    found = []
    for class_id in range(scores.shape[1]):
        kept: list[int] = []
        for index in np.argsort(-scores[:, class_id], kind="stable"):
            box = boxes[index, min(class_id, boxes.shape[1] - 1)]
            others = [boxes[other, min(class_id, boxes.shape[1] - 1)] for other in kept]
            if scores[index, class_id] > 0.1 and len(kept) < per_class and all(iou(box, o) <= 0.5 for o in others):
                kept.append(index)
        for index in kept:
            box = np.clip(boxes[index, min(class_id, boxes.shape[1] - 1)], 0.0, 1.0)
            if (box[2] - box[0]) * (box[3] - box[1]) > 0:
                found.append((float(scores[index, class_id]), class_id, tuple(box)))
    return sorted(found, key=lambda detection: -detection[0])[:total]


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 30),
    classes=st.integers(1, 4),
    own_boxes=st.booleans(),
    per_class=st.integers(1, 6),
    total=st.integers(1, 12),
)
def test_suppression_is_that_of_a_loop(
    seed: int, count: int, classes: int, own_boxes: bool, per_class: int, total: int
) -> None:
    rng = np.random.default_rng(seed)
    shape = (2, count, classes if own_boxes else 1, 2)
    corner = rng.uniform(-0.6, 1.2, shape)  # some boxes lie outside the window altogether
    boxes = np.concatenate([corner, corner + rng.uniform(0.1, 0.6, shape)], axis=-1).astype(np.float32)
    scores = rng.uniform(0, 1, (2, count, classes)).astype(np.float32)
    actual = postprocess.batch_non_max_suppression(
        tf.constant(boxes),
        tf.constant(scores),
        score_threshold=0.1,
        iou_threshold=0.5,
        max_per_class=per_class,
        max_total=total,
        window_yxyx=[0.0, 0.0, 1.0, 1.0],
    )
    assert actual.scores.shape == (2, total)
    for image in range(2):
        expected = suppress_by_hand(boxes[image], scores[image], per_class, total)
        assert actual.counts[image] == len(expected)
        rows = len(expected)
        np.testing.assert_allclose(actual.scores[image, :rows], [d[0] for d in expected], atol=1e-6)
        np.testing.assert_array_equal(actual.classes[image, :rows], [d[1] for d in expected])
        np.testing.assert_allclose(
            actual.boxes_yxyx_normalized[image, :rows], np.reshape([d[2] for d in expected], (rows, 4)), atol=1e-6
        )
        assert (np.asarray(actual.classes[image, rows:]) == -1).all()
        assert (np.asarray(actual.scores[image, rows:]) == 0).all()


def test_of_equal_scores_the_lower_anchor_wins_alone_and_in_a_batch() -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0.0, 0.8, (8, 150, 1, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.05, 0.2, corner.shape)], axis=-1).astype(np.float32)
    scores = rng.choice(np.float32([0.3, 0.5, 0.7]), (8, 150, 3))
    scores[0] = 0.5

    def suppress(images: slice) -> Detections:
        return postprocess.batch_non_max_suppression(
            tf.constant(boxes[images]),
            tf.constant(scores[images]),
            score_threshold=0.1,
            iou_threshold=0.5,
            max_per_class=20,
            max_total=50,
            window_yxyx=[0.0, 0.0, 1.0, 1.0],
        )

    together = suppress(slice(0, 8))
    for image in range(8):
        alone = suppress(slice(image, image + 1))
        expected = suppress_by_hand(boxes[image], scores[image], 20, 50)
        assert len(expected) == 50
        for detections, row in ((together, image), (alone, 0)):
            np.testing.assert_array_equal(detections.scores[row], np.float32([d[0] for d in expected]))
            np.testing.assert_array_equal(detections.classes[row], [d[1] for d in expected])
            np.testing.assert_array_equal(detections.boxes_yxyx_normalized[row], np.float32([d[2] for d in expected]))


def test_back_to_the_frame_of_the_image() -> None:
    shares = tf.constant([[0.5, 1.0]])
    np.testing.assert_allclose(postprocess.canvas_window(shares), [[0.0, 0.0, 0.5, 1.0]])
    on_canvas = Detections(tf.constant([[[0.1, 0.2, 0.5, 1.0]]]), tf.ones((1, 1)), tf.ones((1, 1)), tf.ones(1))
    on_image = postprocess.to_original_frame(on_canvas, shares)
    np.testing.assert_allclose(on_image.boxes_yxyx_normalized, [[[0.2, 0.2, 1.0, 1.0]]], atol=1e-6)
