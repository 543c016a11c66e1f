"""EfficientNet against keras.applications, which is the same network under other padding arithmetic."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np
import pytest

from components.detector.backbones.efficientnet import (
    EFFICIENTNETS,
    build_classifier_rest,
    build_efficientnet,
    copy_imagenet_weights,
    round_filters,
    round_repeats,
)

SIDE = 64
OPTIONS: dict[str, Any] = {"batch_norm_momentum": 0.97, "drop_connect_rate": 0.2}


@pytest.fixture(scope="module")
def application() -> keras.Model:
    model = keras.applications.EfficientNetB1(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return model


def test_imagenet_weights_give_the_outputs_of_keras_applications(
    application: keras.Model, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "efficientnetb1_notop.weights.h5"
    application.save_weights(path)
    backbone = build_efficientnet("B1", image_size=(SIDE, SIDE), **OPTIONS)
    set_variables = copy_imagenet_weights(backbone, "B1", str(path))
    assert {id(variable) for variable in set_variables} == {id(variable) for variable in backbone.weights}

    # In B1 to B7 the zoo's levels 3 and 4 leave in the middle of a stack, level 5 after the first block of the last.
    ends = [application.get_layer(name).output for name in ("block3b_add", "block5c_add", "block7a_project_bn")]
    reference = keras.Model(application.input, ends)
    images = np.random.default_rng(1).normal(size=(1, SIDE, SIDE, 3)).astype(np.float32)
    # The application divides by 255 first; its normalisation is the identity until it is adapted.
    for found, expected in zip(backbone(images), reference(images * 255.0), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * float(np.abs(expected).max()))


def test_the_rest_of_the_classifier_completes_the_network(application: keras.Model) -> None:
    ours = [*build_efficientnet("B1", image_size=(SIDE, SIDE), **OPTIONS).layers, *build_classifier_rest("B1").layers]
    names = [layer.name for layer in ours if layer.weights]
    assert names[:-1] == [
        layer.name for layer in application.layers if layer.weights and "normalization" not in layer.name
    ]
    assert names[-1] == "predictions"


def test_weights_of_another_variant_are_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save_weights(path)
    with pytest.raises(ValueError, match="EfficientNetB0 without top"):
        copy_imagenet_weights(build_efficientnet("B0", image_size=(SIDE, SIDE), **OPTIONS), "B0", str(path))


@pytest.mark.parametrize(
    ("variant", "stem", "last"),
    [
        ("B0", 32, 320),
        ("B2", 32, 352),
        ("B3", 40, 384),
        ("B4", 48, 448),
        ("B5", 48, 512),
        ("B6", 56, 576),
        ("B7", 64, 640),
    ],
)
def test_scaled_filters_are_the_published(variant: str, stem: int, last: int) -> None:
    width = EFFICIENTNETS[variant].width
    assert (round_filters(32, width), round_filters(320, width)) == (stem, last)


def test_scaled_repeats_round_up() -> None:
    assert [round_repeats(n, EFFICIENTNETS["B7"].depth) for n in (1, 2, 3, 4)] == [4, 7, 10, 13]
