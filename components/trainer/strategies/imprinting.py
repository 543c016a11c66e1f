"""Weights of new classes made of the objects that show them, before a step is taken (Qi et al. 2018, "Low-Shot Learning
with Imprinted Weights"): a class's column of a cosine head becomes the mean direction of what that head reads there.

A detector needs one thing more than a classifier. Features behind a ReLU all lie in one corner of the space, and a mean
of them is as near to background as to its class; what is imprinted is therefore how the class's mean differs from the
mean over all that the head looks at.

Both means are read off gradients, which is what makes this one function for every detector: where a column is zero, the
gradient of the loss by it is the sum of the directions that the head has read, each weighed with the gradient of its
logit, and the gradient by its bias is the sum of these weights. With a bias at which the class scores 0 everywhere only
its own objects have weight; with one at which it scores 1 all the others have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.detector.detector import Detector
from components.detector.structures import ClassRows

_CERTAIN: Final = 60.0
"""A logit, on top of which cosines do not matter: a sigmoid or softmax of it is 1, of its negative 0."""
_NO_WEIGHT: Final = 1e-9

Array = NDArray[np.float64]


class _ClassLayer(NamedTuple):
    """Kernel [..., columns] and bias [columns] that make class logits, and how the columns belong to classes."""

    kernel: keras.Variable
    bias: keras.Variable
    rows: ClassRows

    def view(self, values: Any) -> Array:
        """Kernel or bias as float64 [D or 1, groups, background + classes]."""
        array = np.asarray(values, np.float64)
        return array.reshape(-1 if array.ndim > 1 else 1, self.rows.groups, array.shape[-1] // self.rows.groups)

    def set(self, kernel: Array, bias: Array) -> None:
        """Assigns what ``view`` gave."""
        self.kernel.assign(kernel.reshape(self.kernel.shape))
        self.bias.assign(bias.reshape(self.bias.shape))


def imprint(
    detector: Detector,
    batches: Iterable[Any],
    losses: Callable[[Any], dict[str, tf.Tensor]],
    classes: Sequence[int],
) -> None:
    """Sets the class weights of some classes from the objects of theirs in a few batches.

    Anchors of a location have columns of their own; one that no object matched gets what the layer's others got
    together. A layer without a match keeps what it has: that level of the detector has seen no such object. Columns get
    the mean length, and biases the mean, of those of the other classes.

    Args:
      detector: with ``class_head: cosine``.
      batches: whatever ``losses`` takes; once over all objects.
      losses: of a batch, as in ``Phase``.
      classes: 0-based.
    """
    layers = _class_layers(detector)
    columns = [layer.rows.background + np.array(classes) for layer in layers]
    start = [(layer.view(layer.kernel), layer.view(layer.bias)) for layer in layers]
    variables = [variable.value for layer in layers for variable in (layer.kernel, layer.bias)]

    @tf.function(reduce_retracing=True, autograph=False)
    def gradients(batch: Any) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            total = tf.add_n(list(losses(batch).values()))
        found: list[tf.Tensor] = tape.gradient(total, variables)
        return found

    sums: list[list[Array]] = [[np.zeros(())] * len(variables) for _ in range(2)]
    for batch in batches:
        for number, logit in enumerate((-_CERTAIN, _CERTAIN)):
            for layer, own, (kernel, bias) in zip(layers, columns, start, strict=True):
                emptied, certain = kernel.copy(), bias.copy()
                emptied[:, :, own], certain[:, :, own] = 0.0, logit
                layer.set(emptied, certain)
            found = gradients(batch)
            sums[number] = [total + np.asarray(one) for total, one in zip(sums[number], found, strict=True)]

    for number, (layer, own, (kernel, bias)) in enumerate(zip(layers, columns, start, strict=True)):
        # Of the objects, and of all others with the other sign: [D, groups, classes] and [1, groups, classes].
        weighed = [-layer.view(of_logit[2 * number])[:, :, own] for of_logit in sums]
        weights = [-layer.view(of_logit[2 * number + 1])[:, :, own] for of_logit in sums]
        seen = weights[0].sum(axis=(0, 1)) >= _NO_WEIGHT  # [classes]
        weighed, weights = ([array[:, :, seen] for array in arrays] for arrays in (weighed, weights))
        # Objects and others together are all that the head has read.
        difference = _mean(weighed[0], weights[0]) - _mean(weighed[0] - weighed[1], weights[0] - weights[1])
        rest = np.delete(np.arange(kernel.shape[2]), [*range(layer.rows.background), *own])
        length = np.linalg.norm(kernel[:, :, rest], axis=0).mean()
        kernel[:, :, own[seen]] = length * difference / np.linalg.norm(difference, axis=0)
        bias[:, :, own[seen]] = bias[:, :, rest].mean(axis=2, keepdims=True)
        layer.set(kernel, bias)


def _class_layers(detector: Detector) -> list[_ClassLayer]:
    variables = detector.zoo_variables()
    return [
        _ClassLayer(variables[key], variables[f"{key.rpartition('/')[0]}/bias"], rows)
        for key, rows in detector.class_rows().items()
        if "/_class_predictor_layers/" in key and not key.endswith("/bias")
    ]


def _mean(weighed: Array, weights: Array) -> Array:
    """[D, groups, classes] and [1, groups, classes] -> [D, groups, classes], of all groups where one has no weight."""
    together = weighed.sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
    has_weight = weights > _NO_WEIGHT
    return np.where(has_weight, weighed / np.where(has_weight, weights, 1.0), together)
