"""The whole detector, in small: training, inference, padding, batches, saving."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.detector import faster_rcnn
from components.detector.faster_rcnn import FasterRcnn
from components.detector.registry import build_detector
from components.detector.structures import GroundTruth, Preprocessed
from components.detector.targets.faster_rcnn_losses import sample_proposals

_TINY = {
    "faster_rcnn_resnet50": {"blocks": (1, 1, 1, 1), "width": 0.125},
    "faster_rcnn_inception_resnet_v2": {"blocks": (1, 1, 1), "width": 0.0625, "crop_size": 5},
}
_TRUTH = GroundTruth(
    boxes_yxyx_normalized=tf.constant([[[0.1, 0.1, 0.5, 0.5]], [[0.3, 0.2, 0.9, 0.6]]]),
    classes=tf.constant([[0], [1]]),
    weights=tf.ones((2, 1)),
    valid_height_width=tf.ones((2, 2)),
)


def _tiny(name: str, **options: object) -> FasterRcnn:
    detector = build_detector(
        name,
        num_classes=2,
        image_size=(64, 64),
        proposal_depth=8,
        max_proposals=20,
        proposals_per_step=8,
        **(_TINY[name] | options),
    )
    # Without learnt batch statistics features are large: scores would all be 0 or 1, and ties have no order.
    detector.class_head.kernel.assign(0.01 * detector.class_head.kernel)
    return detector


def _images(seed: int = 0) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32))


@pytest.mark.parametrize("name", _TINY)
def test_every_variable_learns_and_a_seed_repeats_the_losses(name):
    losses = []
    for _ in range(2):
        detector = _tiny(name, seed=5)
        for position, variable in enumerate(detector.trainable_variables):
            noise = np.random.default_rng(position).normal(0, 0.1, variable.shape)
            variable.assign(noise + (variable.name == "gamma"))
        with tf.GradientTape() as tape:
            parts = detector.training_losses(detector.normalize(_images()), _TRUTH)
            total = tf.add_n(list(parts.values()))
        gradients = tape.gradient(total, [variable.value for variable in detector.trainable_variables])
        losses.append({part: float(value) for part, value in parts.items()})
    assert set(losses[0]) == {"rpn_localization", "rpn_objectness", "localization", "classification"}
    assert all(np.isfinite(value) and value >= 0 for value in losses[0].values())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("name", _TINY)
def test_detections_are_the_same_alone_and_in_a_batch_and_after_saving(name, tmp_path):
    detector = _tiny(name)
    preprocessed = detector.preprocess(_images(1))
    together = detector.detect(preprocessed)
    alone = detector.detect(Preprocessed(preprocessed.images[1:], preprocessed.valid_height_width[1:]))
    np.testing.assert_allclose(alone.boxes_yxyx_normalized[0], together.boxes_yxyx_normalized[1], atol=1e-4)
    np.testing.assert_array_equal(alone.classes[0], together.classes[1])
    assert together.boxes_yxyx_normalized.shape[1] == detector.options.max_detections
    path = tmp_path / "detector.weights.h5"
    detector.save_weights(path)
    other = _tiny(name)
    other.load_weights(path)
    np.testing.assert_allclose(other.detect(preprocessed).scores, together.scores, atol=1e-6)


def test_boxes_of_a_padded_image_are_normalised_to_the_image():
    detector = _tiny("faster_rcnn_resnet50")
    image = tf.random.stateless_uniform((1, 32, 64, 3), (0, 1), 0.0, 255.0)
    preprocessed = detector.preprocess(image)
    np.testing.assert_allclose(preprocessed.valid_height_width, [[0.5, 1.0]])
    features = detector.features(preprocessed.images, training=False)
    proposals = detector.head_predictions(features, preprocessed.valid_height_width)["proposal_boxes"][0]
    assert float(tf.reduce_max(proposals[:, 2])) <= 32.0
    detector.box_head.kernel.assign(tf.zeros_like(detector.box_head.kernel))  # detections are the proposals
    detections = detector.detect(preprocessed)
    boxes = detections.boxes_yxyx_normalized[0, : int(detections.counts[0])].numpy()
    assert len(boxes)
    assert boxes.min() >= 0.0
    assert boxes.max() <= 1.0 + 1e-6
    assert boxes[:, 2].max() > 0.9


def test_training_learns_from_proposals_within_the_image_as_inference_sees_them(monkeypatch):
    seen = []

    def sample(proposals, *args, **options):
        seen.append(proposals.boxes_yxyx_pixels)
        return sample_proposals(proposals, *args, **options)

    monkeypatch.setattr(faster_rcnn, "sample_proposals", sample)
    detector = _tiny("faster_rcnn_resnet50")
    shares = tf.constant([[0.5, 1.0], [1.0, 0.75]])
    detector.training_losses(detector.normalize(_images()), _TRUTH._replace(valid_height_width=shares))
    # The lowest and the rightmost corner of either image's proposals, in pixels.
    np.testing.assert_allclose(tf.reduce_max(seen[0][..., 2:], axis=1), [[32.0, 64.0], [64.0, 48.0]])


def test_published_configurations():
    small = build_detector("faster_rcnn_resnet50", num_classes=3, blocks=(1, 1, 1, 1), width=0.125)
    assert small.image_size == (640, 640)
    assert small.keep_aspect_ratio
    assert small.anchors_yxyx_normalized.shape == (40 * 40 * 12, 4)
    large = build_detector(
        "faster_rcnn_resnet50", num_classes=3, image_size=(1024, 1024), blocks=(1, 1, 1, 1), width=0.125
    )
    assert not large.keep_aspect_ratio
    assert (large.options.max_detections, large.box_head.units) == (300, 4)
    inception = build_detector("faster_rcnn_inception_resnet_v2", num_classes=3, blocks=(1, 1, 1), width=0.0625)
    assert not inception.keep_aspect_ratio
    assert (inception.options.max_detections, inception.box_head.units) == (100, 12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": (64, 96)}, "keep_aspect_ratio needs a square canvas, found 64 x 96"),
        ({"blocks": (1, 1)}, r"blocks\.2\s+Field required"),
        ({"smallest_anchor_pixels": 0.0}, r"smallest_anchor_pixels\s+Input should be greater than 0"),
        ({"max_proposals": 8, "proposals_per_step": 9}, r"\(9\) must not exceed max_proposals \(8\)"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        build_detector("faster_rcnn_resnet50", num_classes=1, **options)
