"""EfficientDet: sizes, checkpoint keys, training signal, detections, saving."""

from __future__ import annotations

import json
import os
import pathlib
from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.detector import registry
from components.detector.backbones.efficientnet import build_classifier_rest
from components.detector.efficientdet import SIZES, EfficientDet
from components.detector.structures import GroundTruth

SHARED = pathlib.Path(os.environ.get("SHARED_DIR", pathlib.Path(__file__).parents[3] / ".." / "shared"))
TINY = {"image_size": (128, 128), "bifpn_iterations": 1, "bifpn_filters": 16, "head_layers": 1}


def build(name: str = "efficientdet_d0", num_classes: int = 3, **options: object) -> EfficientDet:
    detector = registry.build_detector(name, num_classes=num_classes, **options)  # type: ignore[arg-type]
    assert isinstance(detector, EfficientDet)
    return detector


@pytest.fixture(scope="module")
def tiny() -> EfficientDet:
    keras.utils.set_random_seed(0)
    return build(**TINY)


@pytest.mark.parametrize(
    ("name", "variant", "published_millions"), [("efficientdet_d0", "B0", 3.9), ("efficientdet_d1", "B1", 6.6)]
)
def test_number_of_parameters_is_the_published(name: str, variant: str, published_millions: float) -> None:
    parameters = build(name, num_classes=90, image_size=(128, 128)).count_params()
    # The paper's backbones end with their last block; the zoo takes level 5 from the last stack's first block, so that
    # the blocks after it are in the checkpoint but not in the detector.
    parameters += sum(
        layer.count_params() for layer in build_classifier_rest(variant).layers if layer.name.startswith("block7")
    )
    assert parameters / 1e6 == pytest.approx(published_millions, abs=0.1)


def test_checkpoint_keys_and_shapes_are_the_zoos() -> None:
    index = SHARED / "zoo_index" / "efficientdet_d0_coco17_tpu-32" / "variables.txt"
    if not index.exists():
        pytest.skip(f"{index} is absent: set SHARED_DIR")
    expected = {}
    for line in index.read_text().splitlines():
        key, shape = line.split("\t")
        if not key.startswith(("_CHECKPOINTABLE", "save_counter")):
            expected[key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE")] = tuple(json.loads(shape))
    variables = build(num_classes=90, image_size=(128, 128)).zoo_variables()
    assert {key: tuple(variable.shape) for key, variable in variables.items()} == expected


def test_unweighted_pyramids_have_no_fusion_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {name for name, size in SIZES.items() if size.combine == "sum"} == {"efficientdet_d6", "efficientdet_d7"}
    monkeypatch.setitem(SIZES, "efficientdet_d0", SIZES["efficientdet_d0"]._replace(combine="sum"))
    assert not any("combine_weights" in key for key in build(**TINY).zoo_variables())


def test_every_trainable_variable_learns(tiny: EfficientDet) -> None:
    truth = GroundTruth(
        boxes_yxyx_normalized=tf.constant([[[0.1, 0.1, 0.5, 0.6], [0.4, 0.4, 0.9, 0.8]], [[0.0, 0.0, 0.3, 0.3]] * 2]),
        classes=tf.constant([[0, 2], [1, -1]]),
        weights=tf.constant([[1.0, 1.0], [1.0, 0.0]]),
        valid_height_width=tf.ones((2, 2)),
    )
    images = tf.random.stateless_normal((2, 128, 128, 3), seed=(0, 1))
    with tf.GradientTape() as tape:
        parts = tiny.training_losses(images, truth)
        loss = tf.add_n(list(parts.values()))
    gradients = tape.gradient(loss, [variable.value for variable in tiny.trainable_variables])
    assert set(parts) == {"classification", "localization"}
    assert all(np.isfinite(part) and part > 0 for part in parts.values())
    still = [variable.path for variable, g in zip(tiny.trainable_variables, gradients, strict=True) if g is None]
    assert not still


def test_images_without_objects_train(tiny: EfficientDet) -> None:
    truth = GroundTruth(tf.zeros((1, 0, 4)), tf.zeros((1, 0), tf.int32), tf.zeros((1, 0)), tf.ones((1, 2)))
    parts = tiny.training_losses(tf.zeros((1, 128, 128, 3)), truth)
    assert parts["localization"] == 0.0
    assert np.isfinite(parts["classification"])


def test_first_scores_are_the_prior_of_one_percent(tiny: EfficientDet) -> None:
    logits = tiny(tf.zeros((1, 128, 128, 3)))["class_predictions_with_background"]
    assert logits.shape == (1, len(tiny.anchors_yxyx_normalized), 3)
    assert float(tf.reduce_mean(tf.sigmoid(logits))) == pytest.approx(0.01, rel=0.1)


def test_padding_is_zero_for_the_network_and_detections_are_in_the_images_frame(tiny: EfficientDet) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 64, 3), np.uint8)
    preprocessed = tiny.preprocess(tf.constant(images))
    np.testing.assert_allclose(preprocessed.valid_height_width, [[0.5, 1.0]] * 2)
    np.testing.assert_allclose(preprocessed.images[:, 64:], 0.0, atol=1e-5)
    detections = tiny.detect(preprocessed)
    boxes = detections.boxes_yxyx_normalized.numpy()
    assert boxes.min() >= 0.0
    assert boxes.max() <= 1.0 + 1e-6
    # Something reaches the image's lower border, which is the middle of the canvas.
    assert boxes[..., 2].max() > 0.9


def test_the_same_image_gives_the_same_predictions_alone_and_in_a_batch(tiny: EfficientDet) -> None:
    images = tf.random.stateless_normal((3, 128, 128, 3), seed=(0, 1))
    together, alone = tiny(images), tiny(images[1:2])
    for key, predictions in alone.items():
        np.testing.assert_allclose(predictions[0], together[key][1], rtol=1e-4, atol=1e-4)


def test_weights_survive_saving(tiny: EfficientDet, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "detector.weights.h5"
    tiny.save_weights(path)
    other = build(**TINY)
    other.load_weights(path)
    images = tf.random.stateless_normal((1, 128, 128, 3), seed=(0, 2))
    for key, predictions in tiny(images).items():
        np.testing.assert_allclose(other(images)[key], predictions, rtol=1e-5, atol=1e-5)


def test_layers_have_unique_names(tiny: EfficientDet) -> None:
    names = Counter(layer.name for layer in [*tiny.network.layers, *tiny.backbone_layers])
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize(
    ("image_size", "message"), [((128, 256), "must be square"), ((320, 320), "multiple of 128"), ((0, 0), "multiple")]
)
def test_impossible_canvases_are_refused(image_size: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(image_size=image_size)
