"""Anchors and proposals against greedy suppression written out in numpy."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.detector.heads.region_proposals import RegionProposalHead, anchor_level, clipped_anchors_pixels, propose
from components.detector.targets import boxes as box_ops


def test_anchors_are_the_published_grid_clipped_to_the_canvas():
    anchors = clipped_anchors_pixels(anchor_level((3, 4), 64.0), (48, 64))
    expected = []
    for row in range(3):
        for column in range(4):
            for ratio in (0.5, 1.0, 2.0):
                for scale in (0.25, 0.5, 1.0, 2.0):
                    half_height = 256 * scale / math.sqrt(ratio) / 2
                    half_width = 256 * scale * math.sqrt(ratio) / 2
                    y, x = 16 * row, 16 * column
                    expected.append([y - half_height, x - half_width, y + half_height, x + half_width])
    expected = np.clip(np.array(expected), 0, [48, 64, 48, 64])
    assert anchors.dtype == np.float32
    np.testing.assert_allclose(anchors, expected, rtol=1e-6)


def test_smaller_anchors_are_the_published_ones_scaled():
    published = clipped_anchors_pixels(anchor_level((1, 1), 64.0), (1024, 1024))
    np.testing.assert_allclose(
        clipped_anchors_pixels(anchor_level((1, 1), 16.0), (1024, 1024)), published / 4, rtol=1e-6
    )


def _greedy(boxes: np.ndarray, scores: np.ndarray, limit: int, iou_threshold: float) -> list[int]:
    """Indices kept by suppression: best first, of equal ones the first."""
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        overlaps = box_ops.pairwise_iou(tf.constant(boxes[[index]]), tf.constant(boxes[kept].reshape(-1, 4))).numpy()
        if len(kept) < limit and (overlaps <= iou_threshold).all():
            kept.append(int(index))
    return kept


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), limit=st.integers(1, 30), ties=st.booleans())
def test_proposals_are_the_greedy_ones_clipped_to_the_window(seed, limit, ties):
    rng = np.random.default_rng(seed)
    anchors = clipped_anchors_pixels(anchor_level((3, 3), 64.0), (48, 48))
    encodings = rng.normal(0, 2.0, (2, len(anchors), 4)).astype(np.float32)
    logits = rng.normal(0, 2.0, (2, len(anchors), 2)).astype(np.float32)
    if ties:
        logits = np.round(logits)
    window = np.array([[0, 0, 48, 48], [0, 0, 30, 48]], np.float32)
    found = propose(
        tf.constant(encodings),
        tf.constant(logits),
        tf.constant(anchors),
        tf.constant(window),
        max_proposals=limit,
        iou_threshold=0.7,
    )
    assert found.boxes_yxyx_pixels.shape == (2, limit, 4)
    for image in range(2):
        boxes = box_ops.decode(tf.constant(encodings[image]), tf.constant(anchors)).numpy()
        scores = tf.nn.softmax(logits[image])[:, 1].numpy()
        kept = _greedy(boxes, np.round(scores * 2.0**20), limit, 0.7)
        clipped = np.clip(boxes[kept], 0, np.tile(window[image, 2:], 2))
        sizes = clipped[:, 2:] - clipped[:, :2]
        clipped = clipped[(sizes > 0).all(axis=1)]
        assert found.counts[image] == len(clipped)
        np.testing.assert_allclose(found.boxes_yxyx_pixels[image, : len(clipped)], clipped, atol=1e-4)
        assert not np.any(found.boxes_yxyx_pixels[image, len(clipped) :])
        np.testing.assert_array_equal(found.is_real[image], np.arange(limit) < len(clipped))


def test_rounding_noise_does_not_change_the_proposals():
    rng = np.random.default_rng(0)
    anchors = tf.constant(clipped_anchors_pixels(anchor_level((4, 4), 64.0), (64, 64)))
    encodings = tf.constant(rng.normal(0, 1.0, (1, 192, 4)).astype(np.float32))
    logits = np.tile(np.array([0.3, 1.1], np.float32), (1, 192, 1))
    noisy = logits + rng.normal(0, 1e-7, logits.shape).astype(np.float32)
    window = tf.constant([0.0, 0.0, 64.0, 64.0])
    clean, disturbed = (
        propose(encodings, tf.constant(x), anchors, window, max_proposals=20, iou_threshold=0.7)
        for x in (logits, noisy)
    )
    np.testing.assert_array_equal(clean.boxes_yxyx_pixels, disturbed.boxes_yxyx_pixels)


def test_no_gradient_flows_through_proposals():
    head = RegionProposalHead(8)
    head.build((None, 2, 2, 4))
    with tf.GradientTape() as tape:
        encodings, logits = head(tf.random.stateless_normal((1, 2, 2, 4), (0, 0)))
        boxes = propose(
            encodings,
            logits,
            tf.constant(clipped_anchors_pixels(anchor_level((2, 2), 64.0), (32, 32))),
            tf.constant([0.0, 0.0, 32.0, 32.0]),
            max_proposals=5,
            iou_threshold=0.7,
        ).boxes_yxyx_pixels
    assert encodings.shape == (1, 48, 4)
    assert logits.shape == (1, 48, 2)
    assert tape.gradient(boxes, head.trainable_variables[0].value) is None
