"""Both SSDs, small: targets, losses, learning, saving."""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.detector.structures import GroundTruth, Preprocessed
from tests.fused_adam import FusedAdam

NAMES = ("ssd_mobilenet_v2", "ssd_mobilenet_v2_fpnlite")
_OPTIONS = {"ssd_mobilenet_v2": {}, "ssd_mobilenet_v2_fpnlite": {"fpn_depth": 16, "num_head_layers": 1}}


@pytest.fixture(scope="module", params=NAMES)
def detector(request: pytest.FixtureRequest) -> Detector:
    keras.utils.set_random_seed(0)
    return build_detector(
        request.param,
        num_classes=2,
        image_size=(96, 64),
        alpha=0.35,
        batch_norm_momentum=0.8,
        **_OPTIONS[request.param],
    )


def truth_of(*rows: tuple[tuple[float, float, float, float], int, float]) -> GroundTruth:
    """A batch of one image."""
    boxes, classes, weights = zip(*rows, strict=True)
    return GroundTruth(tf.constant([boxes]), tf.constant([classes]), tf.constant([weights]), tf.ones((1, 2)))


def test_every_object_gets_an_anchor_and_crowds_are_ignored(detector: Detector) -> None:
    box, crowd = (0.1, 0.1, 0.6, 0.7), (0.5, 0.0, 1.0, 1.0)
    padding = ((0.0, 0.0, 0.0, 0.0), -1, 0.0)
    targets = detector.assign_targets(truth_of((box, 1, 1.0), (crowd, 0, 0.0), padding))
    matched = np.asarray(targets.matches[0])
    assert (matched == 0).any()
    assert not (matched == 2).any()
    np.testing.assert_array_equal(np.asarray(targets.class_weights[0])[matched == 1], 0.0)
    np.testing.assert_array_equal(np.asarray(targets.classes[0])[matched == 0], 1)


def test_losses_are_finite_without_any_object(detector: Detector) -> None:
    empty = GroundTruth(tf.zeros((2, 0, 4)), tf.zeros((2, 0), tf.int32), tf.zeros((2, 0)), tf.ones((2, 2)))
    parts = detector.training_losses(tf.zeros((2, 96, 64, 3)), empty)
    assert float(parts["localization"]) == 0.0
    assert 0.0 < float(parts["classification"]) < 100.0


def test_an_untrained_detector_is_sure_of_nothing(detector: Detector) -> None:
    fresh = build_detector(**detector.recipe)
    detections = fresh.detect(Preprocessed(tf.zeros((1, 96, 64, 3)), tf.ones((1, 2))))
    assert detections.scores.shape == (1, 100)
    assert float(tf.reduce_max(detections.scores)) < 0.1


def test_losses_fall_and_saved_weights_detect_the_same(detector: Detector, tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 60, (2, 96, 64, 3)).astype(np.float32)
    pixels[0, 10:60, 8:40] = 250.0
    pixels[1, 40:90, 20:60] = (250.0, 0.0, 0.0)
    boxes = tf.constant([[[10 / 96, 8 / 64, 60 / 96, 40 / 64]], [[40 / 96, 20 / 64, 90 / 96, 60 / 64]]])
    truth = GroundTruth(boxes, tf.constant([[0], [1]]), tf.ones((2, 1)), tf.ones((2, 2)))
    images = detector.normalize(tf.constant(pixels))
    optimizer = FusedAdam(detector.trainable_variables, 4e-3)

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.add_n(list(detector.training_losses(images, truth).values()))
        gradients = tape.gradient(loss, [variable.value for variable in detector.trainable_variables])
        optimizer.apply(gradients)
        return loss

    losses = [float(step()) for _ in range(40)]
    assert losses[-1] < 0.25 * losses[0]
    inputs = Preprocessed(images, tf.ones((2, 2)))
    detections = detector.detect(inputs)

    detector.save_weights(tmp_path / "x.weights.h5")
    detector.save(tmp_path / "x.keras")
    again = build_detector(**detector.recipe)
    again.load_weights(tmp_path / "x.weights.h5")
    for other in (again, keras.models.load_model(tmp_path / "x.keras")):
        for expected, actual in zip(detections, other.detect(inputs), strict=True):
            np.testing.assert_allclose(expected, actual, atol=1e-5)


def test_the_pyramid_needs_sides_that_halve() -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        build_detector("ssd_mobilenet_v2_fpnlite", num_classes=1, image_size=(100, 96))


@pytest.mark.parametrize(
    ("name", "image_size", "parameters", "anchors"),
    [("ssd_mobilenet_v2", None, 6_103_999, 1917), ("ssd_mobilenet_v2_fpnlite", (640, 640), 2_667_002, 51_150)],
)
def test_published_sizes(name: str, image_size: tuple[int, int] | None, parameters: int, anchors: int) -> None:
    published = build_detector(name, num_classes=90, image_size=image_size)
    assert published.count_params() == parameters
    assert published.anchors_yxyx_normalized.shape == (anchors, 4)
