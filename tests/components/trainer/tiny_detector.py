"""What the training asks of a detector, as small as it gets: a network that tells which classes an image shows
and, asked where, the whole image.

A real detector takes half a minute to trace and teaches the loop's tests nothing more.
"""

from __future__ import annotations

from typing import Final, Literal

import keras
import tensorflow as tf

from components.detector.layers.resizing import resize_fixed
from components.detector.structures import Detections, Features, GroundTruth, Preprocessed

_CLASSES: Final = 2


class TinyDetector(keras.Model):
    """A convolution and its batch normalisation as the backbone, a dense layer as the head."""

    default_optimizer: Literal["adam"] = "adam"
    image_size = (64, 64)

    def __init__(self, head: keras.layers.Layer | None = None) -> None:
        super().__init__(name="tiny")
        self.backbone = keras.Sequential(
            [
                keras.Input((*self.image_size, 3)),
                keras.layers.Conv2D(4, 16, strides=16, use_bias=False),
                keras.layers.BatchNormalization(momentum=0.9),
                keras.layers.ReLU(),
            ]
        )
        self.head = head or keras.layers.Dense(_CLASSES)
        self.head.build((None, self.backbone.output_shape[-1]))
        self.built = True

    @property
    def backbone_layers(self) -> list[keras.layers.Layer]:
        return self.backbone.layers

    def resize(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return resize_fixed(image, self.image_size)

    def normalize(self, images: tf.Tensor) -> tf.Tensor:
        return images / 255.0

    def duplicate(self) -> TinyDetector:
        other = TinyDetector()
        other.set_weights(self.get_weights())
        return other

    def features(self, images: tf.Tensor, training: bool) -> Features:
        return {"level_4": self.backbone(images, training=training)}  # [B, 4, 4, 4]

    def describe_proposals(self, features: Features, valid_height_width: tf.Tensor, training: bool) -> None:
        """There is one stage."""

    def head_losses(self, features: Features, truth: GroundTruth) -> dict[str, tf.Tensor]:
        logits = self.head(tf.reduce_mean(features["level_4"], axis=(1, 2)))  # [B, 2]
        shown = tf.minimum(tf.reduce_sum(tf.one_hot(truth.classes, _CLASSES), axis=1), 1.0)  # [B, 2]
        errors = tf.nn.sigmoid_cross_entropy_with_logits(labels=shown, logits=logits)  # [B, 2]
        return {"classification": tf.reduce_mean(errors), "size": 1e-3 * tf.reduce_mean(tf.square(logits))}

    def detect(self, preprocessed: Preprocessed) -> Detections:
        features = self.features(preprocessed.images, training=False)
        logits = self.head(tf.reduce_mean(features["level_4"], axis=(1, 2)))  # [B, 2]
        batch = tf.shape(logits)[0]
        return Detections(
            boxes_yxyx_normalized=tf.tile([[[0.0, 0.0, 1.0, 1.0]]], [batch, 1, 1]),
            scores=tf.sigmoid(tf.reduce_max(logits, axis=-1, keepdims=True)),
            classes=tf.argmax(logits, axis=-1, output_type=tf.int32)[:, tf.newaxis],
            counts=tf.ones([batch], tf.int32),
        )
