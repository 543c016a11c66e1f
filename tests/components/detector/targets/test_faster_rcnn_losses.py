"""Targets and losses of the two stages on cases small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from components.detector.structures import GroundTruth, Proposals
from components.detector.targets import boxes as box_ops
from components.detector.targets.faster_rcnn_losses import classifier_losses, rpn_losses, sample_proposals

_SEED = tf.constant([1, 2])
_TRUTH_PIXELS = tf.constant([[[0.0, 0.0, 20.0, 20.0], [40.0, 40.0, 60.0, 60.0], [0.0, 0.0, 0.0, 0.0]]])
_TRUTH = GroundTruth(_TRUTH_PIXELS / 64.0, tf.constant([[1, 0, -1]]), tf.constant([[1.0, 0.0, 0.0]]), tf.ones((1, 2)))
"""One object to learn, one to ignore (crowd), one row of padding."""


def test_rpn_learns_matched_anchors_and_ignores_those_of_crowd():
    # On the object, on the crowd, background, and between the thresholds (IoU 0.5 with the object).
    anchors = tf.constant([[0.0, 0, 20, 20], [40, 40, 60, 60], [20, 40, 40, 60], [0, 0, 10, 20]])
    logits = tf.constant([[[0.0, 2.0], [5.0, 0.0], [3.0, 0.0], [9.0, 0.0]]])
    encodings = tf.constant([[[1.0, 0, 0, 0], [7, 7, 7, 7], [7, 7, 7, 7], [7, 7, 7, 7]]])
    losses = rpn_losses(encodings, logits, anchors, _TRUTH_PIXELS, _TRUTH, _SEED)
    # Two anchors are sampled: one positive and one negative.
    expected = (np.log1p(np.exp(-2.0)) + np.log1p(np.exp(-3.0))) / 2
    np.testing.assert_allclose(losses["rpn_objectness"], expected, rtol=1e-5)
    np.testing.assert_allclose(losses["rpn_localization"], 2.0 * 0.5 / 2, rtol=1e-5)


def test_rpn_forces_an_anchor_on_an_object_that_none_resembles():
    anchors = tf.constant([[0.0, 0, 10, 10], [20, 20, 64, 64]])
    logits = tf.zeros((1, 2, 2))
    losses = rpn_losses(tf.zeros((1, 2, 4)), logits, anchors, _TRUTH_PIXELS, _TRUTH, _SEED)
    target = box_ops.encode(_TRUTH_PIXELS[0, :1], anchors[:1])[0].numpy()
    smooth = np.where(np.abs(target) <= 1, 0.5 * target**2, np.abs(target) - 0.5).sum()
    # The second anchor touches nothing but the crowd, with an IoU below 0.3: background.
    np.testing.assert_allclose(losses["rpn_localization"], 2.0 * smooth / 2, rtol=1e-4)


def test_proposals_get_the_class_and_box_of_what_they_overlap():
    boxes = tf.constant([[[0.0, 0, 20, 16], [40, 40, 60, 60], [20, 40, 40, 60], [0, 0, 20, 8], [0, 0, 0, 0]]])
    sampled = sample_proposals(Proposals(boxes, tf.constant([4])), _TRUTH_PIXELS, _TRUTH, sample_size=4, seed=_SEED)
    by_box = {
        tuple(box): (int(kind), float(weight), float(box_weight))
        for box, kind, weight, box_weight in zip(
            sampled.boxes_yxyx_pixels[0].numpy(),
            sampled.classes[0].numpy(),
            sampled.class_weights[0].numpy(),
            sampled.box_weights[0].numpy(),
            strict=True,
        )
        if weight
    }
    # The crowd's proposal and the padded row are not drawn.
    assert by_box == {
        (0.0, 0.0, 20.0, 16.0): (2, 1.0, 1.0),
        (20.0, 40.0, 40.0, 60.0): (0, 1.0, 0.0),
        (0.0, 0.0, 20.0, 8.0): (0, 1.0, 0.0),
    }
    row = int(np.flatnonzero(sampled.classes[0].numpy() == 2)[0])
    decoded = box_ops.decode(sampled.box_targets[0], sampled.boxes_yxyx_pixels[0])[row]
    np.testing.assert_allclose(decoded, [0, 0, 20, 20], atol=1e-4)


def test_an_image_without_objects_teaches_background_only():
    truth = GroundTruth(tf.zeros((1, 0, 4)), tf.zeros((1, 0), tf.int32), tf.zeros((1, 0)), tf.ones((1, 2)))
    anchors = tf.constant([[0.0, 0, 20, 20], [40, 40, 60, 60]])
    losses = rpn_losses(tf.ones((1, 2, 4)), tf.zeros((1, 2, 2)), anchors, tf.zeros((1, 0, 4)), truth, _SEED)
    assert losses["rpn_localization"] == 0.0
    np.testing.assert_allclose(losses["rpn_objectness"], np.log(2.0), rtol=1e-5)
    proposals = Proposals(anchors[tf.newaxis], tf.constant([2]))
    sampled = sample_proposals(proposals, tf.zeros((1, 0, 4)), truth, sample_size=2, seed=_SEED)
    second = classifier_losses(tf.ones((1, 2, 1, 4)), tf.zeros((1, 2, 4)), sampled)
    assert second["localization"] == 0.0
    np.testing.assert_allclose(second["classification"], np.log(4.0), rtol=1e-5)


def test_each_class_refines_its_own_box():
    boxes = tf.constant([[[0.0, 0, 20, 20]]])
    sampled = sample_proposals(Proposals(boxes, tf.constant([1])), _TRUTH_PIXELS, _TRUTH, sample_size=4, seed=_SEED)
    logits = tf.zeros((1, 1, 4))
    right = tf.constant([[[[9.0] * 4, [0.0] * 4, [9.0] * 4]]])  # only the object's class (1) predicts its box
    assert classifier_losses(right, logits, sampled)["localization"] < 1e-6
    shared = classifier_losses(right[:, :, :1], logits, sampled)["localization"]
    np.testing.assert_allclose(shared, 2.0 * 4 * 8.5, rtol=1e-5)
