"""What holds for every detector: the cut into features and heads, precisions, the layout of saved weights."""

from __future__ import annotations

import functools
import pathlib
import zlib
from collections.abc import Iterator
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.detector.structures import GroundTruth
from components.export.saved_model import export
from schema.label_map import LabelMap

_FASTER_RCNN: dict[str, Any] = {
    "image_size": (64, 64),
    "proposal_depth": 8,
    "max_proposals": 20,
    "proposals_per_step": 8,
}
# The SSDs as small as no convolution sees a map of 1 x 1: on CPUs its bfloat16 gradient is now and then not a number.
SMALL: dict[str, dict[str, Any]] = {
    "ssd_mobilenet_v2": {"image_size": (288, 288), "alpha": 0.35},
    "ssd_mobilenet_v2_fpnlite": {"image_size": (160, 160), "alpha": 0.35, "fpn_depth": 16, "num_head_layers": 1},
    "efficientdet_d0": {"image_size": (128, 128), "bifpn_iterations": 1, "bifpn_filters": 16, "head_layers": 1},
    "faster_rcnn_resnet50": {**_FASTER_RCNN, "blocks": (1, 1, 1, 1), "width": 0.125},
    "faster_rcnn_inception_resnet_v2": {**_FASTER_RCNN, "blocks": (1, 1, 1), "width": 0.0625, "crop_size": 5},
}
LAYOUTS = {
    "ssd_mobilenet_v2": 2_643_611_255,
    "ssd_mobilenet_v2_fpnlite": 4_079_484_062,
    "efficientdet_d0": 2_500_075_065,
    "faster_rcnn_resnet50": 382_245_448,
    "faster_rcnn_inception_resnet_v2": 511_063_899,
}
"""CRC-32 of the paths in a ``.weights.h5`` of these. Pushed versions and the shipped checkpoint hang on them."""


def small(name: str) -> Detector:
    keras.utils.set_random_seed(0)
    return build_detector(name, num_classes=2, **SMALL[name])


@functools.cache
def shared(name: str) -> Detector:
    """One of those in float32, for tests that ask nothing of its weights and leave its layers as they are."""
    return small(name)


@pytest.fixture(scope="module", autouse=True)
def forgotten() -> Iterator[None]:
    """All of them together take gigabytes, which other tests of the same process may need."""
    yield
    shared.cache_clear()


def pixels(detector: Detector) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, *detector.image_size, 3), np.uint8)


def truth() -> GroundTruth:
    boxes = [[[0.1, 0.1, 0.5, 0.6], [0.4, 0.4, 0.9, 0.8]], [[0.0, 0.0, 0.3, 0.3], [0.0, 0.0, 0.0, 0.0]]]
    weights = tf.constant([[1.0, 1.0], [1.0, 0.0]])
    return GroundTruth(tf.constant(boxes), tf.constant([[0, 1], [1, -1]]), weights, tf.ones((2, 2)))


@pytest.mark.parametrize("name", SMALL)
def test_features_come_from_the_backbone_alone_and_the_rest_from_features(name: str) -> None:
    detector = shared(name)
    images = detector.normalize(tf.constant(pixels(detector), tf.float32))
    features = detector.features(images, training=False)
    for level, feature in features.items():
        stride = 2 ** int(level.removeprefix("level_"))
        assert feature.shape[:3] == (2, *(-(-side // stride) for side in detector.image_size))
    # Kept features, as a training with a frozen backbone keeps them: the backbone is out of reach.
    kept = {level: tf.constant(feature.numpy()) for level, feature in features.items()}
    with tf.GradientTape() as tape:
        total = tf.add_n(list(detector.head_losses(kept, truth()).values()))
    variables = detector.trainable_variables
    gradients = tape.gradient(total, [variable.value for variable in variables])
    backbone = {id(v) for layer in detector.backbone_layers for v in layer.trainable_variables}
    # The second half of a two-stage backbone reads crops.
    crops = {id(v) for v in getattr(detector, "classifier_features", keras.Layer()).trainable_variables}
    learning = {id(v) for v, gradient in zip(variables, gradients, strict=True) if gradient is not None}
    assert learning == {id(v) for v in variables} - backbone | crops


@pytest.mark.parametrize("name", SMALL)
def test_prediction_layers_make_boxes_and_class_logits_alone(name: str) -> None:
    detector = shared(name)
    variables = detector.zoo_variables()
    expected = {
        id(variables[key])
        for key in variables
        if ("/_class_predictor_layers/" in key or "/_box_encoder_layers/" in key) and "first_stage" not in key
    }
    assert {id(v) for layer in detector.prediction_layers for v in layer.variables} == expected
    assert {id(variables[key]) for key in detector.class_rows()} <= expected


@pytest.mark.parametrize("name", SMALL)
def test_a_class_head_by_cosines_has_the_same_variables(name: str) -> None:
    linear, cosine = shared(name), build_detector(name, num_classes=2, **SMALL[name], class_head="cosine")
    shapes = [{key: tuple(v.shape) for key, v in one.zoo_variables().items()} for one in (linear, cosine)]
    assert shapes[0] == shapes[1]
    cosine.set_weights(linear.get_weights())
    images = linear.normalize(tf.constant(pixels(linear), tf.float32))
    ours, theirs = (one(images)["class_predictions_with_background"] for one in (cosine, linear))
    assert np.abs(ours - theirs).max() > 1e-3
    bias = max(float(tf.reduce_max(tf.abs(v))) for k, v in cosine.zoo_variables().items() if k.endswith("bias"))
    assert np.abs(ours).max() <= cosine.options.cosine_scale + bias


@pytest.fixture(params=["mixed_bfloat16", "mixed_float16"])
def precision(request: pytest.FixtureRequest) -> Iterator[str]:
    keras.mixed_precision.set_dtype_policy(request.param)
    yield request.param
    keras.mixed_precision.set_dtype_policy("float32")


@pytest.mark.parametrize("name", SMALL)
def test_trains_detects_and_exports_in_mixed_precision(name: str, precision: str, tmp_path: pathlib.Path) -> None:
    detector = small(name)
    images = detector.normalize(tf.constant(pixels(detector), tf.float32))

    @tf.function(autograph=False)
    def gradients() -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            losses = detector.training_losses(images, truth())
            total = tf.add_n([*losses.values(), *detector.losses])
        return losses, tape.gradient(total, [variable.value for variable in detector.trainable_variables])

    losses, found = gradients()
    assert all(loss.dtype == tf.float32 and np.isfinite(loss) for loss in losses.values())
    assert all(np.isfinite(gradient).all() for gradient in found)
    keras.optimizers.SGD(1e-3).apply_gradients(zip(found, detector.trainable_variables, strict=True))

    detect = tf.function(lambda uint8: detector.detect(detector.preprocess(uint8)), autograph=False)
    detections = detect(tf.constant(pixels(detector)))
    assert detections.scores.dtype == detections.boxes_yxyx_normalized.dtype == tf.float32
    assert np.isfinite(detections.scores).all() and np.isfinite(detections.boxes_yxyx_normalized).all()

    export(str(tmp_path / "1"), detector, LabelMap.of_names(["a", "b"]), serving_batch_size=1)
    exported = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_tensor"]
    answer = exported(images=tf.constant(pixels(detector)))
    # It computes in float32: other numbers, and of a two-stage detector other proposals.
    assert answer["detection_scores"].shape == detections.scores.shape
    assert np.isfinite(answer["detection_scores"]).all() and np.isfinite(answer["detection_boxes"]).all()


@pytest.mark.parametrize("name", SMALL)
def test_saved_weights_have_the_paths_of_earlier_releases(name: str, tmp_path: pathlib.Path) -> None:
    shared(name).save_weights(tmp_path / "x.weights.h5")
    paths: list[str] = []
    with h5py.File(tmp_path / "x.weights.h5") as file:
        file.visititems(lambda path, item: paths.append(path) if isinstance(item, h5py.Dataset) else None)
    assert zlib.crc32("\n".join(sorted(paths)).encode()) == LAYOUTS[name]
