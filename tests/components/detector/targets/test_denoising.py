"""Noisy copies of objects: how far they are, what they see, and how many there are."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from components.detector.structures import GroundTruth
from components.detector.targets.denoising import DenoisingQueries, denoising_queries

_COPIES = 7
_QUERIES = 3
_SEED = tf.constant([1, 2])


def truth(weights: list[list[float]]) -> GroundTruth:
    shape = np.shape(weights)
    starts = np.random.default_rng(0).uniform(0.3, 0.4, (*shape, 2))
    boxes = np.concatenate([starts, starts + np.random.default_rng(1).uniform(0.1, 0.2, (*shape, 2))], axis=-1)
    classes = np.tile(np.arange(shape[1]), (shape[0], 1))
    return GroundTruth(
        tf.constant(boxes, tf.float32),
        tf.constant(classes, tf.int32),
        tf.constant(weights, tf.float32),
        tf.ones((shape[0], 2)),
    )


def copies(weights: list[list[float]]) -> DenoisingQueries:
    return denoising_queries(truth(weights), 4, _COPIES, _SEED)


def test_objects_are_copied_in_whole_groups() -> None:
    """Two and one of four rows are to be learnt: three groups, and of seven places one is left over."""
    made = copies([[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]])
    assert made.objects[0].numpy().tolist() == [0, 3, 0, 3, 0, 3, -1] + [-1] * _COPIES
    assert made.objects[1].numpy().tolist() == [2, -1, 2, -1, 2, -1, -1] + [-1] * _COPIES
    assert made.is_real.numpy().tolist() == [
        ([True] * 6 + [False]) * 2,
        ([True, False] * 3 + [False]) * 2,
    ]
    assert made.groups.numpy().tolist() == [0, 0, 1, 1, 2, 2, 3] * 2


def test_more_objects_than_places() -> None:
    made = copies([[1.0] * 9])
    assert made.objects[0, :_COPIES].numpy().tolist() == list(range(7))
    assert bool(tf.reduce_all(made.is_real))


def test_no_object_and_no_image() -> None:
    assert not bool(tf.reduce_any(copies([[0.0, 0.0]]).is_real))
    none = GroundTruth(tf.zeros((0, 1, 4)), tf.zeros((0, 1), tf.int32), tf.zeros((0, 1)), tf.ones((0, 2)))
    assert denoising_queries(none, 4, _COPIES, _SEED).boxes_cxcywh.shape == (0, 2 * _COPIES, 4)


def test_near_copies_are_near_and_far_ones_far() -> None:
    one = truth([[1.0]] * 40)
    made = denoising_queries(one, 4, _COPIES, _SEED)
    cxcywh = made.boxes_cxcywh.numpy()
    boxes = one.boxes_yxyx_normalized.numpy()  # [40, 1, 4]
    sizes = np.tile(boxes[..., 2:] - boxes[..., :2], 2)
    # Far copies turn around now and then; near ones never do.
    near = cxcywh[:, :_COPIES]
    corners = np.concatenate(
        [near[..., 1::-1] - near[..., :1:-1] / 2, near[..., 1::-1] + near[..., :1:-1] / 2], axis=-1
    )
    moved = np.abs(corners - boxes) / sizes
    assert 0.4 < moved.max() <= 0.5 + 1e-5 and moved.min() < 0.05
    far = np.abs(cxcywh[:, _COPIES:, 2:] - sizes[..., 1::-1]) / sizes[..., 1::-1]
    assert far.max() > 1.0
    wrong = np.mean(made.classes.numpy() != 0)
    # A quarter is drawn anew, and of these a quarter is right by chance.
    assert 0.1 < wrong < 0.28


def test_a_seed_repeats_the_noise() -> None:
    one, same = copies([[1.0, 1.0]]), copies([[1.0, 1.0]])
    other = denoising_queries(truth([[1.0, 1.0]]), 4, _COPIES, tf.constant([1, 3]))
    np.testing.assert_array_equal(one.boxes_cxcywh, same.boxes_cxcywh)
    assert np.abs(one.boxes_cxcywh - other.boxes_cxcywh).max() > 0.01


def test_who_sees_whom() -> None:
    made = copies([[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]])
    seen = made.attention_mask(_QUERIES).numpy() == 0.0  # [2, T, T]
    real, groups = made.is_real.numpy(), made.groups.numpy()
    total = 2 * _COPIES + _QUERIES
    assert seen.shape == (2, total, total)
    for image, row, column in np.ndindex(*seen.shape):
        of_query = column >= 2 * _COPIES
        same_group = max(row, column) < 2 * _COPIES and groups[row] == groups[column] and real[image, column]
        assert seen[image, row, column] == (of_query or same_group or row == column)
