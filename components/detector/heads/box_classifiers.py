"""Classifiers of described boxes as plain variables and TensorFlow ops: what scikit-learn has fitted, in an export.

Each gives what ``predict_proba`` of its counterpart gives, for standardised vectors: column 0 is background, then the
classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Array = NDArray[np.floating]

_NEAREST: Final = 1e-12
"""Square of a distance below which a neighbour is the vector itself."""


class BoxClassifier(keras.layers.Layer):
    """Standardises vectors and classifies them.

    Args:
      name: what the settings call it.
      mean: float [D], of the vectors it was fitted to.
      scale: float [D], their standard deviations.
    """

    def __init__(self, name: str, mean: Array, scale: Array) -> None:
        super().__init__(name=name, trainable=False, dtype="float32")
        self._mean = self.constant("mean", mean)
        self._scale = self.constant("scale", scale)
        self.built = True

    def constant(self, name: str, value: Array) -> keras.Variable:
        """A variable that holds what was fitted."""
        value = np.asarray(value, np.float32)
        variable = self.add_weight(shape=value.shape, dtype="float32", trainable=False, name=name)
        variable.assign(value)
        return variable

    def call(self, vectors: tf.Tensor) -> tf.Tensor:
        """float32 [N, D] -> float32 [N, 1 + classes], which add up to 1."""
        return self.probabilities((vectors - self._mean) / self._scale)

    def probabilities(self, vectors: tf.Tensor) -> tf.Tensor:
        """The same of standardised vectors."""
        raise NotImplementedError


class LogisticClassifier(BoxClassifier):
    """``LogisticRegression``, multinomial.

    Args besides those of the base class:
      weights: float [D, K].
      bias: float [K].
    """

    def __init__(self, mean: Array, scale: Array, weights: Array, bias: Array) -> None:
        super().__init__("logistic", mean, scale)
        self._weights = self.constant("weights", weights)
        self._bias = self.constant("bias", bias)

    def probabilities(self, vectors: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(tf.matmul(vectors, self._weights) + self._bias)


class SvmClassifier(BoxClassifier):
    """``CalibratedClassifierCV`` around a ``LinearSVC``: one machine a class against the rest, their decisions as
    probabilities by a sigmoid each (Platt 1999), which are then scaled to add up to 1.

    Args besides those of the base class:
      weights: float [D, K].
      bias: float [K].
      slope: float [K], a of 1 / (1 + exp(a f + b)).
      offset: float [K], b of it.
    """

    def __init__(self, mean: Array, scale: Array, weights: Array, bias: Array, slope: Array, offset: Array) -> None:
        super().__init__("svm", mean, scale)
        self._weights = self.constant("weights", weights)
        self._bias = self.constant("bias", bias)
        self._slope = self.constant("slope", slope)
        self._offset = self.constant("offset", offset)

    def probabilities(self, vectors: tf.Tensor) -> tf.Tensor:
        decisions = tf.matmul(vectors, self._weights) + self._bias  # [N, K]
        each = tf.sigmoid(-(self._slope * decisions + self._offset))  # [N, K]
        return tf.math.divide_no_nan(each, tf.reduce_sum(each, axis=-1, keepdims=True))


class MlpClassifier(BoxClassifier):
    """``MLPClassifier`` with rectified linear units.

    Args besides those of the base class:
      weights: float [D_in, D_out] of each layer; the last has a column a class.
      biases: float [D_out] of each layer.
    """

    def __init__(self, mean: Array, scale: Array, weights: Sequence[Array], biases: Sequence[Array]) -> None:
        super().__init__("mlp", mean, scale)
        self._weights = [self.constant(f"weights_{number}", value) for number, value in enumerate(weights)]
        self._biases = [self.constant(f"bias_{number}", value) for number, value in enumerate(biases)]

    def probabilities(self, vectors: tf.Tensor) -> tf.Tensor:
        for weights, bias in zip(self._weights[:-1], self._biases[:-1], strict=True):
            vectors = tf.nn.relu(tf.matmul(vectors, weights) + bias)
        return tf.nn.softmax(tf.matmul(vectors, self._weights[-1]) + self._biases[-1])


class NeighborsClassifier(BoxClassifier):
    """``KNeighborsClassifier`` whose neighbours vote by the inverse of their distance.

    Args besides those of the base class:
      projection: float [D, d], what vectors are multiplied with before they are compared.
      points: float [S, d], projected.
      classes: int [S], columns of their classes.
      num_columns: 1 + classes.
      neighbors: how many vote.
    """

    def __init__(
        self,
        mean: Array,
        scale: Array,
        projection: Array,
        points: Array,
        classes: NDArray[np.integer],
        num_columns: int,
        neighbors: int,
    ) -> None:
        super().__init__("knn", mean, scale)
        self._projection = self.constant("projection", projection)
        self._points = self.constant("points", points)
        self._votes = self.constant("votes", np.eye(num_columns)[classes])
        self._neighbors = neighbors

    def probabilities(self, vectors: tf.Tensor) -> tf.Tensor:
        vectors = tf.matmul(vectors, self._projection)  # [N, d]
        norms = tf.reduce_sum(tf.square(self._points), axis=-1)  # [S]
        rough = norms - 2.0 * tf.matmul(vectors, self._points, transpose_b=True)  # [N, S], squared distance - |v|^2
        nearest = tf.math.top_k(-rough, self._neighbors).indices  # [N, k]
        # The short way above loses digits where a point is near.
        differences = tf.gather(self._points, nearest) - vectors[:, tf.newaxis]  # [N, k, d]
        squares = tf.reduce_sum(tf.square(differences), axis=-1)  # [N, k]
        is_itself = squares < _NEAREST
        voices = tf.where(
            tf.reduce_any(is_itself, axis=-1, keepdims=True),
            tf.cast(is_itself, tf.float32),
            tf.math.rsqrt(tf.maximum(squares, _NEAREST)),
        )  # [N, k]
        votes = tf.einsum("nk,nkc->nc", voices, tf.gather(self._votes, nearest))  # [N, K]
        return votes / tf.reduce_sum(votes, axis=-1, keepdims=True)
