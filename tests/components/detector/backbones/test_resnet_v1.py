"""ResNet's two halves: shapes, checkpoint keys and the translation of ImageNet weights."""

from __future__ import annotations

import json
import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.detector.backbones import resnet_v1
from components.detector.registry import build_detector

_SHARED = pathlib.Path(os.environ.get("SHARED_DIR", pathlib.Path(__file__).parents[4].parent / "shared"))
_INDEX = _SHARED / "zoo_index" / "faster_rcnn_resnet50_v1_640x640_coco17_tpu-8" / "variables.txt"


@pytest.mark.skipif(not _INDEX.exists(), reason=f"{_INDEX} is absent (set SHARED_DIR)")
def test_keys_cover_the_published_checkpoint_exactly():
    published = dict(line.split("\t") for line in _INDEX.read_text().splitlines())
    shapes = {
        key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"): json.loads(shape)
        for key, shape in published.items()
        if key.startswith("model/")
    }
    variables = build_detector("faster_rcnn_resnet50", num_classes=90).zoo_variables()
    assert {key: list(variable.shape) for key, variable in variables.items()} == shapes


@pytest.mark.parametrize(("depth", "parameters"), [(50, 23_508_032), (101, 42_500_160), (152, 58_143_808)])
def test_parameters_are_those_of_the_published_networks(depth, parameters):
    # torchvision's resnet50, 101 and 152 without their 1000-class layer.
    backbone = resnet_v1.resnet_v1(resnet_v1.BLOCKS[depth], image_size=(64, 64), crop_size=7, batch_norm_momentum=0.97)
    assert sum(int(np.prod(v.shape)) for half in backbone for v in half.trainable_variables) == parameters


def test_imagenet_weights_compute_the_same_in_our_colour_order_and_without_biases(tmp_path):
    source = keras.applications.ResNet50(include_top=False, weights=None)
    rng = np.random.default_rng(0)
    for variable in source.weights:
        if variable.name in ("bias", "beta", "moving_mean"):
            variable.assign(rng.normal(0, 0.1, variable.shape))
    path = tmp_path / "resnet50.weights.h5"
    source.save_weights(path)
    backbone = resnet_v1.resnet_v1(resnet_v1.BLOCKS[50], image_size=(32, 32), crop_size=7, batch_norm_momentum=0.97)
    copied = resnet_v1.copy_imagenet_weights(backbone, str(path))
    assert len(copied) == 265
    images = tf.constant(rng.uniform(0, 255, (1, 32, 32, 3)).astype(np.float32))
    stem = keras.Model(backbone.proposal_features.input, backbone.proposal_features.get_layer("conv1_relu").output)
    their_stem = keras.Model(source.input, source.get_layer("conv1_relu").output)
    np.testing.assert_allclose(
        stem(resnet_v1.normalize(images)),
        their_stem(keras.applications.resnet.preprocess_input(images.numpy())),
        rtol=1e-3,
        atol=1e-3,
    )
    crops = tf.constant(rng.normal(0, 1, (2, 7, 7, 1024)).astype(np.float32))
    last_stage = keras.Model(source.get_layer("conv4_block6_out").output, source.output)
    np.testing.assert_allclose(backbone.classifier_features(crops), last_stage(crops), rtol=1e-3, atol=1e-3)


def test_imagenet_weights_are_refused_for_a_smaller_network():
    backbone = resnet_v1.resnet_v1((1, 1, 1, 1), image_size=(32, 32), crop_size=4, width=8, batch_norm_momentum=0.97)
    with pytest.raises(ValueError, match=r"fits ResNet-50, 101 and 152 of full width only, not blocks \(1, 1, 1, 1\)"):
        resnet_v1.copy_imagenet_weights(backbone, "some.h5")
