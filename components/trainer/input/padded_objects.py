"""The annotations of a batch as tensors of one size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from components.transform import features

Features = Mapping[str, tf.Tensor | tf.RaggedTensor]
"""Those listed in ``components.transform.features``, of a batch."""


class Objects(NamedTuple):
    """Padded annotations of a batch, in the frame of the original image.

    Attributes:
      boxes_yxyx: float32 [B, M, 4] in 0..1.
      classes: int64 [B, M], 0-based; -1 is padding.
      is_crowd: bool [B, M].
      is_difficult: bool [B, M].
      areas_pixels: float32 [B, M].
    """

    boxes_yxyx: tf.Tensor
    classes: tf.Tensor
    is_crowd: tf.Tensor
    is_difficult: tf.Tensor
    areas_pixels: tf.Tensor

    @property
    def are_to_learn(self) -> tf.Tensor:
        """bool [B, M]: neither padding, nor a crowd, nor difficult."""
        return (self.classes >= 0) & ~self.is_crowd & ~self.is_difficult

    @classmethod
    def of(cls, parsed: Features) -> Objects:
        """Of the features of a batch."""

        def padded(key: str, default: int) -> tf.Tensor:
            values = parsed[key]
            return values.to_tensor(default) if isinstance(values, tf.RaggedTensor) else values

        return cls(
            tf.reshape(
                parsed[features.BOXES_YXYX].to_tensor(0.0),
                [tf.shape(parsed[features.HEIGHT])[0], -1, 4],
            ),
            padded(features.CLASS_INDEX, -1),
            padded(features.IS_CROWD, 0) > 0,
            padded(features.DIFFICULT, 0) > 0,
            padded(features.AREA, 0),
        )
