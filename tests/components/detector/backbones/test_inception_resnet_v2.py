"""Inception-ResNet's two halves: checkpoint keys, alignment of the feature maps, ImageNet weights."""

from __future__ import annotations

import json
import os
import pathlib

import keras
import numpy as np
import pytest

from components.detector.backbones import inception_resnet_v2
from components.detector.backbones.inception_resnet_v2 import Repeats
from components.detector.registry import build_detector

_SHARED = pathlib.Path(os.environ.get("SHARED_DIR", pathlib.Path(__file__).parents[4].parent / "shared"))
_VARIABLES = _SHARED / "zoo_reference" / "faster_rcnn_inception_resnet_v2_640x640_coco17_tpu-8" / "variables.txt"


@pytest.mark.skipif(not _VARIABLES.exists(), reason=f"{_VARIABLES} is absent (set SHARED_DIR)")
def test_keys_cover_the_published_checkpoint_exactly():
    published = dict(line.split("\t") for line in _VARIABLES.read_text().splitlines())
    shapes = {key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"): json.loads(shape) for key, shape in published.items()}
    variables = build_detector("faster_rcnn_inception_resnet_v2", num_classes=90).zoo_variables()
    assert {key: list(variable.shape) for key, variable in variables.items()} == shapes


def test_feature_maps_are_aligned_with_the_image():
    backbone = inception_resnet_v2.inception_resnet_v2(
        image_size=(100, 70), crop_size=17, repeats=Repeats(1, 1, 1), width=0.0625, batch_norm_momentum=0.97
    )
    assert backbone.proposal_features.output_shape == (None, 7, 5, 68)
    assert backbone.classifier_features.output_shape == (None, 9, 9, 96)


def test_imagenet_weights_are_copied_in_the_order_of_the_layers(tmp_path):
    source = keras.applications.InceptionResNetV2(include_top=False, weights=None)
    rng = np.random.default_rng(0)
    for variable in source.weights:
        if variable.name in ("bias", "beta", "moving_mean"):
            variable.assign(rng.normal(0, 0.1, variable.shape))
    path = tmp_path / "inception.weights.h5"
    source.save_weights(path)
    backbone = inception_resnet_v2.inception_resnet_v2(image_size=(64, 64), crop_size=4, batch_norm_momentum=0.97)
    copied = inception_resnet_v2.copy_imagenet_weights(backbone, str(path))
    assert len(copied) == len(source.weights)
    theirs = dict(zip((layer.name for layer in source.layers), source.layers, strict=True))
    first, second = backbone
    for half, name in ((first, "block17_20_conv"), (second, "block8_10_conv")):
        for mine, reference in zip(half.get_layer(name).weights, theirs[name].weights, strict=True):
            np.testing.assert_array_equal(mine, reference)
    small = inception_resnet_v2.inception_resnet_v2(
        image_size=(64, 64), crop_size=4, repeats=Repeats(1, 1, 1), batch_norm_momentum=0.97
    )
    with pytest.raises(ValueError, match="fits Inception-ResNet v2 of full depth and width only"):
        inception_resnet_v2.copy_imagenet_weights(small, str(path))


def test_normalize_maps_to_minus_one_and_one():
    np.testing.assert_allclose(inception_resnet_v2.normalize(np.array([0.0, 255.0])), [-1.0, 1.0])
