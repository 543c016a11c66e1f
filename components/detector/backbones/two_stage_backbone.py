"""A feature extractor in two halves, and how the zoo's checkpoints name the variables of each half."""

from __future__ import annotations

from typing import NamedTuple

import keras


class TwoStageBackbone(NamedTuple):
    """What Faster R-CNN takes from a classification network.

    Attributes:
      proposal_features: images float32 [B, H, W, 3] -> features float32 [B, h, w, C] for proposing and cropping.
      classifier_features: crops float32 [K, s, s, C] -> features float32 [K, t, t, D] for classifying.
    """

    proposal_features: keras.Model
    classifier_features: keras.Model


def layer_with_weights_keys(model: keras.Model, prefix: str) -> dict[str, keras.Variable]:
    """Variables of a functional model by the keys of a TensorFlow checkpoint of the same model.

    Keras 2 numbered ``model.layers`` (sorted by depth, ties in the order of construction from the output backwards),
    counting only layers that have weights: ``<prefix>/layer_with_weights-3/gamma``. Keras 3 sorts layers the same way,
    so a model with the same graph has the same numbers.
    """
    with_weights = [layer for layer in model.layers if layer.weights]
    return {
        f"{prefix}/layer_with_weights-{number}/{variable.name}": variable
        for number, layer in enumerate(with_weights)
        for variable in layer.weights
    }
