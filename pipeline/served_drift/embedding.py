"""What a pushed version's backbone makes of images, as one vector each."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.detector.registry import build_detector
from components.detector.weights.checkpoints import CheckpointError, pushed_recipe
from components.image_decoding import decode_upright
from schema.exported_model import WEIGHTS_FILE


def embed(model: pathlib.Path, encoded: Sequence[bytes]) -> npt.NDArray[np.float64]:
    """Mean of the coarsest feature map: float64 [N, C].

    The detector is built again from what the export says of it and from its weights; serving signatures give no
    features.

    Args:
      model: folder of a pushed version.
      encoded: images that decode.

    Raises:
      CheckpointError: it cannot be built again: another exporter made it, or another release of this code.
    """
    recipe, _ = pushed_recipe(str(model))
    try:
        detector = build_detector(**recipe)
        detector.load_weights(model / WEIGHTS_FILE)
    except (OSError, TypeError, ValueError) as error:
        raise CheckpointError(f"{model}: cannot be built again: {error}") from error

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def embedded(file: tf.Tensor) -> tf.Tensor:
        resized, _ = detector.resize(tf.cast(decode_upright(file), tf.float32))
        maps = detector.features(detector.normalize(resized[None]), training=False)
        coarsest = maps[max(maps, key=lambda level: int(level.rpartition("_")[2]))]  # [1, h, w, C]
        return tf.reduce_mean(tf.cast(coarsest, tf.float32), axis=(0, 1, 2))  # [C]

    return np.stack([embedded(tf.constant(file)).numpy() for file in encoded]).astype(np.float64)
