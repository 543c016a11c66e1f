"""What is imprinted, against the means computed from what the head reads."""

from __future__ import annotations

from typing import Literal

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.detector.layers.cosine_similarity import CosineDense
from components.detector.structures import ClassRows
from components.detector.targets.losses import sigmoid_focal, softmax_cross_entropy
from components.trainer.strategies.imprinting import imprint

_HEAD = "model/_class_predictor_layers/0"
_READ, _GROUPS, _CLASSES = 6, 2, 4
_NOVEL = [1, 3]
_UNSEEN = 3
"""A novel class that the first group of anchors never matches."""


class Head:
    """Two anchors a location, background and four classes; as much of a detector as imprinting looks at."""

    def __init__(self) -> None:
        keras.utils.set_random_seed(0)
        self.layer = CosineDense(_GROUPS * (1 + _CLASSES), scale=20.0)
        self.layer.build((None, _READ))
        self.layer.bias.assign(np.linspace(-5.0, -4.0, _GROUPS * (1 + _CLASSES)))

    def zoo_variables(self) -> dict[str, keras.Variable]:
        return {f"{_HEAD}/kernel": self.layer.kernel, f"{_HEAD}/bias": self.layer.bias}

    def class_rows(self) -> dict[str, ClassRows]:
        return dict.fromkeys(self.zoo_variables(), ClassRows(_GROUPS, 1, 1))

    def columns(self) -> np.ndarray:
        return self.layer.kernel.numpy().reshape(_READ, _GROUPS, 1 + _CLASSES)


def unit(vectors: np.ndarray, axis: int) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=axis, keepdims=True)


@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_a_column_is_how_its_objects_differ_from_all_that_is_read(kind: Literal["sigmoid", "softmax"]) -> None:
    rng = np.random.default_rng(0)
    head = Head()
    read = np.abs(rng.normal(size=(40, _READ))).astype(np.float32)  # [N, C]
    targets = rng.choice(np.int32([-1, -1, 0, 1, 2, 3]), (40, _GROUPS))  # [N, groups], -1 is background
    targets[:, 0][targets[:, 0] == _UNSEEN] = -1

    def losses(batch: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        logits = tf.reshape(head.layer(batch[0]), (-1, _GROUPS, 1 + _CLASSES))
        if kind == "softmax":
            return {"classification": tf.reduce_mean(softmax_cross_entropy(logits, batch[1] + 1))}
        columns = tf.one_hot(tf.where(batch[1] < 0, -1, batch[1] + 1), 1 + _CLASSES)
        return {"classification": tf.reduce_mean(sigmoid_focal(logits, columns, alpha=0.5, gamma=2.0))}

    before = head.columns()
    halves = [(tf.constant(read[part]), tf.constant(targets[part])) for part in (slice(0, 20), slice(20, 40))]
    imprint(head, halves, losses, _NOVEL)
    after, directions = head.columns(), unit(read, 1)
    kept = [0, 1, 3]
    np.testing.assert_allclose(after[..., kept], before[..., kept], rtol=1e-6)
    length = np.linalg.norm(before[..., [1, 3]], axis=0).mean()
    for group in range(_GROUPS):
        for novel in _NOVEL:
            # An anchor without an object takes what the other had.
            own = directions[(targets[:, group] if novel != _UNSEEN else targets[:, 1]) == novel].mean(axis=0)
            expected = unit(own - directions.mean(axis=0), 0) * length
            np.testing.assert_allclose(after[:, group, 1 + novel], expected, atol=2e-3)
    bias = head.layer.bias.numpy().reshape(_GROUPS, 1 + _CLASSES)
    np.testing.assert_allclose(bias[:, [2, 4]], bias[:, [1, 3]].mean(axis=1, keepdims=True) * np.ones((1, 2)))


def test_a_layer_that_no_object_matches_keeps_what_it_has() -> None:
    head = Head()
    read = np.abs(np.random.default_rng(0).normal(size=(8, _READ))).astype(np.float32)

    def losses(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"classification": tf.reduce_mean(tf.nn.softplus(head.layer(batch)))}

    before = [variable.numpy() for variable in head.layer.weights]
    imprint(head, [tf.constant(read)], losses, _NOVEL)
    for variable, value in zip(head.layer.weights, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
