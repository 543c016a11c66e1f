"""D-FINE against KerasHub's own model, and what its losses do with whatever a batch holds; and learning."""

from __future__ import annotations

import pathlib

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from components.detector.detector import Detector
from components.detector.dfine import DFine
from components.detector.names import DFINE as SIZES
from components.detector.registry import as_float32, build_detector
from components.detector.structures import GroundTruth, Preprocessed
from components.detector.targets.boxes import cxcywh_to_yxyx
from components.detector.weights import zoo
from tests.components.detector.keras_hub_presets import DFINE, save_preset, tiny_dfine
from tests.fused_adam import FusedAdam
from tests.tiny_detectors import TINY_DETECTORS

_SIDE_PIXELS = 64
_PARTS = {"classification", "localization", "fine_grained", "self_distillation"}


def _tiny(num_classes: int, size: tuple[int, int] = (_SIDE_PIXELS, _SIDE_PIXELS), **options: float) -> Detector:
    return build_detector(DFINE, num_classes=num_classes, image_size=size, **(dict(TINY_DETECTORS[DFINE]) | options))


def _images(count: int, *size: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).uniform(size=(count, *(size or (_SIDE_PIXELS,) * 2), 3)), tf.float32)


def _truth(weights: list[list[float]]) -> GroundTruth:
    shape = (2, len(weights[0]))
    starts = np.random.default_rng(0).uniform(0.0, 0.5, (*shape, 2))
    boxes = np.concatenate([starts, starts + 0.3], axis=-1)
    classes = np.arange(shape[0] * shape[1]).reshape(shape) % 2
    return GroundTruth(
        tf.constant(boxes, tf.float32),
        tf.constant(classes, tf.int32),
        tf.constant(weights, tf.float32, shape),
        tf.ones((2, 2)),
    )


def test_it_detects_what_keras_hub_detects(tmp_path: pathlib.Path) -> None:
    task = tiny_dfine(1)
    task.prediction_decoder = keras_hub.layers.NonMaxSuppression(
        "yxyx", from_logits=True, iou_threshold=0.5, confidence_threshold=0.1, max_detections=100
    )
    images = _images(2)
    last = task.backbone.decoder.class_embed[-1]
    last.kernel.assign(last.kernel * (2.0 / float(np.std(task(images)["logits"]))))
    last.bias.assign(last.bias - float(np.mean(task(images)["logits"])))  # scores over the whole range
    detector = _tiny(1, score_threshold=0.1, iou_threshold=0.5)
    report = zoo.restore(detector, save_preset(tmp_path / "preset", task))
    assert len(report.restored) == len(detector.zoo_variables()) == len(task.weights)
    # Besides: the denoising's class vectors and its seed.
    assert len(detector.variables) == len(task.weights) + 2
    raw, ours = task(images), detector(images)
    # KerasHub convolves in groups in another order, and the scores were spread by a large factor.
    np.testing.assert_allclose(ours["pred_logits"], raw["logits"], atol=3e-3)
    np.testing.assert_allclose(ours["pred_boxes"], raw["pred_boxes"], atol=1e-5)
    expected = task.decode_predictions(raw, images)
    found = detector.detect(Preprocessed(images, tf.ones((2, 2))))
    for image in range(2):
        boxes = np.clip(np.asarray(expected["boxes"][image]) / _SIDE_PIXELS, 0.0, 1.0)
        shown = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        shown &= np.asarray(expected["confidence"][image]) > 0.1
        count = int(found.counts[image])
        assert count == shown.sum() > 2
        np.testing.assert_allclose(found.scores[image, :count], expected["confidence"][image][shown], atol=1e-3)
        # Of scores this close either may come first.
        distances = np.abs(found.boxes_yxyx_normalized[image, :count, np.newaxis] - boxes[shown]).max(axis=-1)
        assert max(distances.min(axis=0).max(), distances.min(axis=1).max()) < 1e-4


def test_the_smallest_network_has_the_published_number_of_values() -> None:
    """As KerasHub counts those of ``dfine_nano_coco``; that the others do, too, takes minutes to see."""
    detector = build_detector("dfine_nano", num_classes=80, image_size=(64, 64))
    assert sum(int(np.prod(variable.shape)) for variable in detector.zoo_variables().values()) == 3_788_625
    assert {DFine.default_image_size(name) for name in SIZES} == {(640, 640)}


@pytest.mark.parametrize(
    "weights",
    [
        pytest.param([[1.0, 1.0], [1.0, 0.0]], id="mixed"),
        pytest.param([[0.0, 0.0], [0.0, 0.0]], id="none to learn"),
        pytest.param([[], []], id="no rows"),
        pytest.param([[1.0] * 30, [1.0] * 30], id="more than queries"),
    ],
)
def test_losses_and_gradients_are_finite(weights: list[list[float]]) -> None:
    keras.utils.set_random_seed(0)
    detector = _tiny(2)
    with tf.GradientTape() as tape:
        losses = detector.training_losses(_images(2), _truth(weights))
        total = tf.add_n(list(losses.values()))
    assert losses.keys() == _PARTS
    variables = detector.trainable_variables
    gradients = tape.gradient(total, [variable.value for variable in variables])
    assert np.isfinite(float(total))
    assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)
    if not any(map(any, weights)):
        assert float(losses["localization"]) == 0.0 < float(losses["classification"])


def test_what_an_object_that_is_not_to_be_learnt_covers_is_no_background() -> None:
    detector = _tiny(2, denoising_queries=0)
    images = _images(2)
    nothing = _truth([[0.0], [0.0]])
    # Where the fresh detector sees boxes, in all layers the same.
    cxcywh = detector.head_predictions(detector.features(images, True), tf.ones((2, 2)), training=True)["pred_boxes"]
    shape = cxcywh.shape[:2]
    everywhere = GroundTruth(cxcywh_to_yxyx(cxcywh), tf.zeros(shape, tf.int32), tf.zeros(shape), tf.ones((2, 2)))
    losses = [float(detector.training_losses(images, truth)["classification"]) for truth in (nothing, everywhere)]
    assert losses[1] < 0.1 * losses[0]


def test_copies_are_hidden_from_the_queries() -> None:
    """What the decoder makes of its own queries is the same with denoising and without."""
    detector = _tiny(2)
    features = detector.features(_images(2), training=False)
    layers = detector._layers_of_network()
    maps = [features[level] for level in layers.levels]
    contents = tf.random.stateless_normal((2, 6, layers.hidden_dim), (1, 2))
    mask = tf.where(tf.range(6 + layers.num_queries) < 6, -1e9, 0.0) * tf.ones((6 + layers.num_queries, 1))
    alone = layers.decode(maps, training=False)
    beside = layers.decode(maps, False, (contents, tf.fill((2, 6, 4), 0.5), mask[tf.newaxis]))
    np.testing.assert_allclose(beside.logits[:, :, 6:], alone.logits, atol=1e-5)
    np.testing.assert_allclose(beside.boxes_cxcywh[:, :, 6:], alone.boxes_cxcywh, atol=1e-5)


@pytest.mark.parametrize("denoising_queries", [0, 8])
def test_losses_fall(denoising_queries: int) -> None:
    keras.utils.set_random_seed(0)
    detector = _tiny(2, batch_norm_momentum=0.8, denoising_queries=denoising_queries)
    assert (detector.denoising_classes is None) == (denoising_queries == 0)
    pixels = np.random.default_rng(0).uniform(0, 60, (2, _SIDE_PIXELS, _SIDE_PIXELS, 3)).astype(np.float32)
    pixels[0, 8:50, 8:40] = 250.0
    pixels[1, 20:60, 20:60] = (250.0, 0.0, 0.0)
    boxes = tf.constant([[[8.0, 8.0, 50.0, 40.0]], [[20.0, 20.0, 60.0, 60.0]]]) / _SIDE_PIXELS
    truth = GroundTruth(boxes, tf.constant([[0], [1]]), tf.ones((2, 1)), tf.ones((2, 2)))
    images = detector.normalize(tf.constant(pixels))
    optimizer = FusedAdam(detector.trainable_variables, 4e-3)

    @tf.function(autograph=False)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.add_n(list(detector.training_losses(images, truth).values()))
        gradients = tape.gradient(loss, [variable.value for variable in detector.trainable_variables])
        optimizer.apply(gradients)
        return loss

    losses = [float(step()) for _ in range(40)]
    assert losses[-1] < 0.6 * losses[0]


def test_mixed_precision_ends_at_the_backbone() -> None:
    """Places and distributions need float32; a float32 copy of the detector finds about the same."""
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        detector = _tiny(2)
        images = _images(2)
        features = detector.features(images, training=False)
        assert {feature.dtype for feature in features.values()} == {tf.bfloat16}
        losses = detector.head_losses(features, _truth([[1.0], [1.0]]))
        assert all(loss.dtype == tf.float32 and np.isfinite(loss) for loss in losses.values())
        plain = as_float32(detector)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert plain.compute_dtype == "float32"
    scores = [float(tf.reduce_max(one(images)["pred_logits"])) for one in (detector, plain)]
    assert scores[0] == pytest.approx(scores[1], abs=0.1)


def test_a_canvas_need_not_be_square() -> None:
    detector = _tiny(2, (64, 128), num_queries=300)
    assert detector(_images(1, 64, 128))["pred_boxes"].shape == (1, 4 * 8 + 2 * 4, 4)
    with pytest.raises(ValueError, match="multiples of 32 from 64 on"):
        _tiny(2, (64, 100))


def test_an_untrained_detector_is_sure_of_nothing() -> None:
    detections = _tiny(2).detect(Preprocessed(_images(1), tf.ones((1, 2))))
    assert float(tf.reduce_max(detections.scores)) < 0.5
