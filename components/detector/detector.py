"""The contract every detector keeps, so that training, evaluation, export and serving have no special cases.

A detector is a ``keras.Model`` whose ``call`` maps preprocessed images to raw predictions. Around it stand one way in
(``preprocess``), one training signal (``training_losses``) and one way out (``postprocess``): ``evaluate`` and
``serving_default`` of the export and the evaluation during training all go through the same three.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar, Literal, NamedTuple

import keras
import tensorflow as tf


class GroundTruth(NamedTuple):
    """Padded ground truth of a batch, in the frame of the *preprocessed* image.

    Attributes:
      boxes_yxyx_normalized: float32 [B, M, 4], 0..1 of the model's input canvas (padding included); padded rows are 0.
      classes: int32 [B, M], 0-based; padded rows are -1.
      weights: float32 [B, M]: 1 for an object to learn, 0 for padding and for crowd or difficult objects, whose
        anchors are ignored instead of being taught as background.
    """

    boxes_yxyx_normalized: tf.Tensor
    classes: tf.Tensor
    weights: tf.Tensor


class Preprocessed(NamedTuple):
    """A batch in the model's input frame.

    Attributes:
      images: float32 [B, H, W, 3], resized, padded and scaled as the backbone expects.
      valid_height_width: float32 [B, 2]: the share of the canvas (0..1) that holds image, the rest is padding; boxes
        normalised to the original image times this share are boxes normalised to the canvas.
    """

    images: tf.Tensor
    valid_height_width: tf.Tensor


class Detections(NamedTuple):
    """Padded detections of a batch, best score first.

    Attributes:
      boxes_yxyx_normalized: float32 [B, N, 4], 0..1 of the original image; padded rows are 0.
      scores: float32 [B, N]; padded rows are 0.
      classes: int32 [B, N], 0-based; padded rows are -1.
      counts: int32 [B]: how many rows are detections.
    """

    boxes_yxyx_normalized: tf.Tensor
    scores: tf.Tensor
    classes: tf.Tensor
    counts: tf.Tensor


class ClassRows(NamedTuple):
    """How the last axis of a variable depends on the classes: as if it were [groups, background + classes, values]."""

    groups: int
    """Anchors of a location, for a convolution that predicts all of them."""
    background: int
    """Columns before the first class: 0 or 1."""
    values: int
    """Numbers for each class: 1 for a logit, 4 for a box."""


class Detector(keras.Model, abc.ABC):
    """Base class of all detectors."""

    num_classes: int
    """Number of classes, background not counted."""
    image_size: tuple[int, int]
    """(height, width) in pixels of the canvas that ``call`` takes."""
    default_optimizer: ClassVar[Literal["adam", "sgd"]] = "adam"
    """What it learns well with, where the training's settings name none."""
    recipe: dict[str, Any]
    """The arguments of ``registry.build_detector`` that make this detector again, ready for JSON. Set by it."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable("detector")(cls)

    def get_config(self) -> dict[str, Any]:
        """The recipe, so that ``.keras`` files hold it."""
        return dict(self.recipe)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Detector:
        """A fresh detector from its recipe."""
        from components.detector import registry

        del custom_objects  # every architecture is in the registry
        return registry.build_detector(**config)

    @abc.abstractmethod
    def resize(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Brings one image to the canvas, without scaling its values (this is what the input pipeline maps).

        Args:
          image: uint8 or float32 [h, w, 3], RGB, 0..255.

        Returns:
          float32 [H, W, 3] in 0..255 (padding is 0) and the valid share, float32 [2] (height, width).
        """

    @abc.abstractmethod
    def normalize(self, images: tf.Tensor) -> tf.Tensor:
        """Scales values as the backbone expects: float32 [B, H, W, 3] in 0..255 -> float32 [B, H, W, 3]."""

    def preprocess(self, images: tf.Tensor) -> Preprocessed:
        """uint8 or float32 [B, h, w, 3] in 0..255 of equal size -> the model's input frame."""
        resized, shares = tf.map_fn(
            self.resize,
            images,
            fn_output_signature=(
                tf.TensorSpec((*self.image_size, 3), tf.float32),
                tf.TensorSpec((2,), tf.float32),
            ),
        )
        return Preprocessed(self.normalize(resized), shares)

    @abc.abstractmethod
    def training_losses(self, images: tf.Tensor, truth: GroundTruth) -> dict[str, tf.Tensor]:
        """Forward pass in training mode, target assignment and losses.

        Args:
          images: float32 [B, H, W, 3], normalised.
          truth: ground truth in the canvas frame.

        Returns:
          Scalar float32 loss parts by name (``classification``, ``localization``, ...), already weighted; their sum
          (plus the layers' own regularisation losses in ``self.losses``) is what is minimised.
        """

    @abc.abstractmethod
    def postprocess(self, predictions: dict[str, tf.Tensor], valid_height_width: tf.Tensor) -> Detections:
        """Raw predictions of ``call(images, training=False)`` -> detections in the frame of the original image."""

    def raw_predictions(self, preprocessed: Preprocessed) -> dict[str, tf.Tensor]:
        """``call`` in inference mode, for detectors whose network has to know where on the canvas the image is."""
        predictions: dict[str, tf.Tensor] = self(preprocessed.images, training=False)
        return predictions

    def detect(self, preprocessed: Preprocessed) -> Detections:
        """``raw_predictions`` followed by ``postprocess``: what evaluation, export and serving run."""
        return self.postprocess(self.raw_predictions(preprocessed), preprocessed.valid_height_width)

    @property
    @abc.abstractmethod
    def backbone_layers(self) -> list[keras.layers.Layer]:
        """The feature extractor's layers from input to output, for freezing (all of them, or up to a depth)."""

    @abc.abstractmethod
    def zoo_variables(self) -> dict[str, keras.Variable]:
        """Our variables by their key in a TF2 Detection Zoo checkpoint of the same architecture.

        Keys are without the suffix ``/.ATTRIBUTES/VARIABLE_VALUE`` and cover the zoo's checkpoint exactly (save
        counters aside).
        """

    @abc.abstractmethod
    def class_rows(self) -> dict[str, ClassRows]:
        """Which variables (by zoo key) have a part for each class, and where it is."""

    def convert_box_encodings(self, scale_factors: tuple[float, float, float, float]) -> bool:
        """Fits just restored weights, whose box coder had these (y, x, height, width) scales, to the detector's coder.

        Returns:
          Whether anything had to change. The zoo needs it for EfficientDet only, so others leave it.
        """
        del scale_factors
        return False

    @abc.abstractmethod
    def load_imagenet_backbone(self, weights: str) -> list[keras.Variable]:
        """Copies ImageNet weights of keras.applications into the backbone.

        Args:
          weights: ``"imagenet"`` (downloaded by Keras), or the path of a ``no_top`` file of keras.applications.

        Returns:
          The variables that were set.

        Raises:
          ValueError: the weights do not fit; the message names them and what would.
        """
