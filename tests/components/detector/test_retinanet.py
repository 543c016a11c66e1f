"""RetinaNet against KerasHub's own model: anchors, predictions, detections; and learning."""

from __future__ import annotations

import pathlib

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.detector.structures import GroundTruth, Preprocessed
from components.detector.weights import zoo
from tests.components.detector.keras_hub_presets import DINOV3, RETINANET, save_preset, tiny_task
from tests.fused_adam import FusedAdam
from tests.tiny_detectors import TINY_DETECTORS

_SIDE_PIXELS = 64


def _tiny(num_classes: int, name: str = RETINANET, **options: float) -> Detector:
    size = (_SIDE_PIXELS, _SIDE_PIXELS)
    return build_detector(name, num_classes=num_classes, image_size=size, **(dict(TINY_DETECTORS[name]) | options))


@pytest.mark.parametrize("side", [64, 96, 800])
def test_anchors_are_those_of_keras_hub(side: int) -> None:
    detector = _tiny(1)
    detector.image_size = (side, side)
    detector.level_sizes = tuple((-(-side // 2**level),) * 2 for level in range(3, 8))
    generator = keras_hub.layers.AnchorGenerator("yxyx", 3, 7, 3, [0.5, 1.0, 2.0], 4)
    expected = np.concatenate([np.asarray(level) for level in generator(np.zeros((1, side, side, 3))).values()])
    ours = np.concatenate([level.boxes() for level in detector.anchor_levels(detector.options)])
    np.testing.assert_array_equal(ours, expected)


def test_it_detects_what_keras_hub_detects(tmp_path: pathlib.Path) -> None:
    """With one class: KerasHub suppresses across classes, we within each."""
    task = tiny_task(1)
    task.prediction_decoder = keras_hub.layers.NonMaxSuppression(
        "yxyx", from_logits=True, iou_threshold=0.5, confidence_threshold=0.1, max_detections=100
    )
    images = tf.constant(np.random.default_rng(0).normal(size=(2, _SIDE_PIXELS, _SIDE_PIXELS, 3)), tf.float32)
    # Boxes near their anchors and scores over the whole range, which fresh weights do not give.
    outputs = task(images)
    for head, name, spread in ((task.box_head, "bbox_regression", 0.3), (task.classification_head, "cls_logits", 2.0)):
        layer = head.prediction_layer
        layer.kernel.assign(layer.kernel * (spread / float(np.std(outputs[name]))))
        layer.bias.assign(np.zeros(layer.bias.shape))
    detector = _tiny(1, score_threshold=0.1, iou_threshold=0.5)
    report = zoo.restore(detector, save_preset(tmp_path / "preset", task))
    assert len(report.restored) == len(detector.variables) == len(task.weights)
    raw = task(images)
    ours = detector(images)
    np.testing.assert_allclose(ours["class_predictions_with_background"], raw["cls_logits"], atol=1e-5)
    np.testing.assert_allclose(ours["box_encodings"], np.asarray(raw["bbox_regression"])[..., [1, 0, 3, 2]], atol=1e-5)
    expected = task.decode_predictions(raw, images)
    found = detector.detect(Preprocessed(images, tf.ones((2, 2))))
    for image in range(2):
        boxes = np.clip(np.asarray(expected["boxes"][image]) / _SIDE_PIXELS, 0.0, 1.0)
        shown = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        shown &= np.asarray(expected["confidence"][image]) > 0.1
        count = int(found.counts[image])
        assert count == shown.sum() > 5
        np.testing.assert_allclose(found.scores[image, :count], expected["confidence"][image][shown], atol=1e-5)
        np.testing.assert_allclose(found.boxes_yxyx_normalized[image, :count], boxes[shown], atol=1e-4)


@pytest.mark.parametrize("name", [RETINANET, DINOV3])
def test_losses_fall(name: str) -> None:
    keras.utils.set_random_seed(0)
    detector = _tiny(2, name, batch_norm_momentum=0.8)
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 60, (2, _SIDE_PIXELS, _SIDE_PIXELS, 3)).astype(np.float32)
    pixels[0, 8:50, 8:40] = 250.0
    pixels[1, 20:60, 20:60] = (250.0, 0.0, 0.0)
    boxes = tf.constant([[[8.0, 8.0, 50.0, 40.0]], [[20.0, 20.0, 60.0, 60.0]]]) / _SIDE_PIXELS
    truth = GroundTruth(boxes, tf.constant([[0], [1]]), tf.ones((2, 1)), tf.ones((2, 2)))
    images = detector.normalize(tf.constant(pixels))
    optimizer = FusedAdam(detector.trainable_variables, 1e-3)

    @tf.function(autograph=False)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.add_n(list(detector.training_losses(images, truth).values()))
        gradients = tape.gradient(loss, [variable.value for variable in detector.trainable_variables])
        optimizer.apply(gradients)
        return loss

    losses = [float(step()) for _ in range(25)]
    assert losses[-1] < 0.5 * losses[0]


def test_an_untrained_detector_is_sure_of_nothing() -> None:
    detections = _tiny(2).detect(Preprocessed(tf.zeros((1, _SIDE_PIXELS, _SIDE_PIXELS, 3)), tf.ones((1, 2))))
    assert float(tf.reduce_max(detections.scores)) < 0.1


@pytest.mark.parametrize(("size", "message"), [((64, 96), "must be square"), ((80, 80), "multiple of 32")])
def test_sizes_that_do_not_halve_are_refused(size: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_detector(RETINANET, num_classes=1, image_size=size)
