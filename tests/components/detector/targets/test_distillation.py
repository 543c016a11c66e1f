"""Distillation losses: what they are 0 for, what they leave alone, and their formulas written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, log_softmax, rel_entr, softmax

from components.detector.structures import GroundTruth, Teaching
from components.detector.targets import distillation
from components.detector.targets.distillation import (
    classifier_distillation,
    held_proposals,
    is_free,
    proposal_distillation,
    single_shot_distillation,
)

BOXES, ANCHORS, CLASSES = 4, 12, 3


def truth(*boxes_yxyx: tuple[float, float, float, float]) -> GroundTruth:
    """One image with objects at places."""
    count = len(boxes_yxyx)
    boxes = tf.reshape(tf.constant(boxes_yxyx, tf.float32), (1, count, 4))
    return GroundTruth(boxes, tf.zeros((1, count), tf.int32), tf.ones((1, count)), tf.ones((1, 2)))


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 2.0, shape).astype(np.float32)


def test_single_shot_is_the_divergence_of_bernoullis_and_the_distance_of_boxes() -> None:
    boxes, taught_boxes = drawn(1, 2, ANCHORS, 4), drawn(2, 2, ANCHORS, 4)
    logits, taught_logits = drawn(3, 2, ANCHORS, CLASSES), drawn(4, 2, ANCHORS, CLASSES)
    free = np.random.default_rng(5).random((2, ANCHORS)) < 0.7
    loss = single_shot_distillation(*map(tf.constant, (boxes, logits, taught_boxes, taught_logits, free)))

    p, q = expit(taught_logits.astype(np.float64)), expit(logits.astype(np.float64))
    divergences = (rel_entr(p, q) + rel_entr(1 - p, 1 - q)).sum(axis=-1)
    error = np.abs(boxes - taught_boxes)
    distances = np.where(error <= 1, error**2 / 2, error - 0.5).sum(axis=-1) / 4
    sure = p.max(axis=-1)
    expected = ((divergences + distances * sure) * free).sum() / max((sure * free).sum(), 1.0)
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    same = single_shot_distillation(*map(tf.constant, (taught_boxes, taught_logits, taught_boxes, taught_logits, free)))
    assert float(same) == pytest.approx(0.0, abs=1e-6)


def test_only_the_anchors_that_the_teacher_is_surest_of_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation, "HELD_ANCHORS", 3)
    taught = tf.constant(drawn(1, 1, ANCHORS, CLASSES))
    boxes, logits = tf.Variable(drawn(2, 1, ANCHORS, 4)), tf.Variable(drawn(3, 1, ANCHORS, CLASSES))
    free = tf.constant([[False] + [True] * (ANCHORS - 1)])
    with tf.GradientTape() as tape:
        loss = single_shot_distillation(boxes, logits, tf.zeros_like(boxes), taught, free)
    touched = np.flatnonzero(np.abs(tape.gradient(loss, logits).numpy()[0]).sum(axis=-1))
    order = np.argsort(-taught.numpy()[0].max(axis=-1))
    assert set(touched) == set([n for n in order if n != 0][:3])


def test_nothing_free_is_no_loss() -> None:
    values = [tf.constant(drawn(n, 1, ANCHORS, 4)) for n in range(4)]
    nothing = tf.zeros((1, ANCHORS), tf.bool)
    assert float(single_shot_distillation(*values, nothing)) == 0.0
    pairs = [values[0], values[1][..., :2], values[2], values[3][..., :2]]
    assert float(proposal_distillation(*pairs, nothing)) == 0.0


def test_proposals_are_held_by_softmax() -> None:
    boxes, taught_boxes = drawn(1, 2, ANCHORS, 4), drawn(2, 2, ANCHORS, 4)
    logits, taught = drawn(3, 2, ANCHORS, 2), drawn(4, 2, ANCHORS, 2)
    free = tf.ones((2, ANCHORS), tf.bool)
    loss = proposal_distillation(*map(tf.constant, (boxes, logits, taught_boxes, taught)), free)
    p = softmax(taught, axis=-1)
    divergences = (p * (log_softmax(taught, axis=-1) - log_softmax(logits, axis=-1))).sum(axis=-1)
    error = np.abs(boxes - taught_boxes)
    distances = np.where(error <= 1, error**2 / 2, error - 0.5).sum(axis=-1)
    assert float(loss) == pytest.approx((divergences + distances * p[..., 1]).mean(), rel=1e-4)


@pytest.mark.parametrize("boxes_per_class", [False, True])
def test_the_second_stage_is_held_where_the_teacher_sees_something_that_nobody_annotated(
    boxes_per_class: bool,
) -> None:
    """The teacher's classes are (a, b, c), the student's (new, c, a)."""
    proposals = tf.constant([[[0, 0, 8, 8], [8, 8, 16, 16], [0, 8, 8, 16], [4, 4, 9, 9]]], tf.float32)
    logits = tf.constant([[[0.0, 5, 0, 0], [0, 0, 0, 6], [9, 0, 0, 0], [0, 3, 3, 3]]])
    encodings = tf.constant(drawn(1, 1, 4, 3 if boxes_per_class else 1, 4))
    predictions = {
        "proposal_boxes": proposals,
        "num_proposals": tf.constant([3]),
        "class_predictions_with_background": logits,
        "refined_box_encodings": encodings,
    }
    # The first proposal is where an annotated object is, the last is padding.
    teaching = Teaching(predictions, ((0, 2), (2, 1)), truth((0.0, 0.0, 0.5, 0.5)))
    held = held_proposals(teaching, tf.constant([16.0] * 4))
    np.testing.assert_array_equal(held.weights, [[1, 1, 0, 0]])
    np.testing.assert_array_equal(held.boxes_yxyx_pixels[0, :2], proposals.numpy()[0, 1:3])
    np.testing.assert_array_equal(held.logits[0, 0], [0, 0, 6])

    student = tf.Variable(tf.zeros((1, 4, 4)))
    of_student = teaching.of_student(student, 1)
    refined = tf.zeros((1, 4, 2 if boxes_per_class else 1, 4))
    assert float(classifier_distillation(refined, of_student, held)) > 0.0
    assert float(classifier_distillation(held.box_encodings, held.logits, held)) == pytest.approx(0.0, abs=1e-6)
    with tf.GradientTape() as tape:
        loss = classifier_distillation(refined, teaching.of_student(student, 1), held)
    gradient = tape.gradient(loss, student).numpy()
    assert np.all(gradient[..., 1] == 0.0), "the new class is not held"
    assert gradient[0, 0, 2] < 0.0, "the student is to see c there"


def test_free_are_boxes_off_the_annotated_objects() -> None:
    boxes = tf.constant([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
    assert is_free(truth((0.0, 0.0, 0.5, 0.45)), boxes).numpy().tolist() == [[False, True]]
    assert is_free(truth(), boxes).numpy().tolist() == [[True, True]]
