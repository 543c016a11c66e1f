"""The contract every detector keeps, so that training, evaluation, export and serving have no special cases.

A detector is cut in two where every way of training needs it: ``features`` is what the backbone makes of images, and
``head_losses`` and ``head_predictions`` are what all the rest makes of features. The neck (a feature pyramid) belongs
to the rest, so that the features of a frozen backbone can be computed once and kept while necks and heads learn.

On top stand, the same for every detector, one training signal (``training_losses``) and one way out (``detect``):
``evaluate`` and ``serving_default`` of the export and the evaluation during training all go through the latter.
"""

from __future__ import annotations

import abc
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.detector.heads import postprocess
from components.detector.layers.resizing import resize_to_canvas
from components.detector.options import DetectorOptions, options_of
from components.detector.structures import (
    ClassRows,
    DescribedProposals,
    Detections,
    Features,
    GroundTruth,
    Preprocessed,
    ScoredBoxes,
    Teaching,
)
from schema.device_model import Resizing, Suppression

if TYPE_CHECKING:
    from components.detector.targets.anchors import AnchorLevel


class ImageDetector(Protocol):
    """What finds objects in images: all that evaluation, export and serving ask of a detector."""

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels of the canvas."""

    @property
    def weights(self) -> list[keras.Variable]:
        """All variables."""

    def resize(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Brings one image to the canvas, see ``Detector.resize``."""

    def normalize(self, images: tf.Tensor) -> tf.Tensor:
        """Scales values as the backbone expects, see ``Detector.normalize``."""

    def preprocess(self, images: tf.Tensor) -> Preprocessed:
        """Images of equal size -> the input frame, see ``Detector.preprocess``."""

    def detect(self, preprocessed: Preprocessed) -> Detections:
        """Detections in the frame of the original images, see ``Detector.detect``."""


class FinishedDetector(ImageDetector, Protocol):
    """What a training ends with: all that an export is made of."""

    @property
    def options(self) -> DetectorOptions:
        """Of the detector's architecture."""

    @property
    def classifier(self) -> str | None:
        """What classifies its boxes in place of its own heads; see ``reclassified``."""

    @property
    def recipe(self) -> dict[str, Any]:
        """See ``Detector.recipe``: of the detector whose weights ``save_weights`` saves."""

    def save_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Writes what a later training may start from."""


def preprocess(detector: ImageDetector, images: tf.Tensor) -> Preprocessed:
    """Images of equal size on the canvas of a detector, normalised: see ``Detector.preprocess``."""
    resized, shares = tf.map_fn(
        detector.resize,
        images,
        fn_output_signature=(
            tf.TensorSpec((*detector.image_size, 3), tf.float32),
            tf.TensorSpec((2,), tf.float32),
        ),
    )
    return Preprocessed(detector.normalize(resized), shares)


class Detector(keras.Model, abc.ABC):
    """Base class of all detectors."""

    default_optimizer: ClassVar[Literal["adam", "sgd"]] = "adam"
    """What it learns well with, where the training's settings name none."""
    learning_rate_share: ClassVar[float] = 1.0
    """Of the usual learning rate, where the training's settings name none."""
    matched_iou: ClassVar[float]
    """An anchor that overlaps an object by at least this learns it; a detector without anchors has none."""
    clips_anchors: ClassVar[bool] = False
    """Whether anchors end at the border of the canvas."""
    classifier: str | None = None
    """What classifies its boxes in place of its own heads; see ``reclassified``."""

    def __init__(self, *, name: str, num_classes: int, image_size: tuple[int, int], options: DetectorOptions) -> None:
        """Subclasses have these arguments and no others.

        Args:
          name: one of ``names.DETECTORS``.
          num_classes: classes to detect, background not counted.
          image_size: (height, width) in pixels of the canvas.
          options: of the class that belongs to the name.
        """
        super().__init__(name=name)
        self.num_classes = num_classes
        self.image_size = image_size
        self.options = options
        self.class_weights: NDArray[np.float32] | None = None
        """How much objects of each class count in the classification loss, float32 [num_classes]; None: all alike. Set
        before training; no part of the recipe."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable("detector")(cls)

    def weights_of(self, classes: tf.Tensor) -> tf.Tensor:
        """How much objects of 0-based classes count in the classification loss; 1 for what is below 0, background.

        Args:
          classes: int32 [...].

        Returns:
          float32 [...].
        """
        if self.class_weights is None:
            return tf.ones_like(classes, tf.float32)
        return tf.gather(tf.constant([1.0, *self.class_weights], tf.float32), tf.maximum(classes, -1) + 1)

    @property
    def recipe(self) -> dict[str, Any]:
        """The arguments of ``registry.build_detector`` that make this detector again, ready for JSON."""
        return {
            "name": self.name,
            "num_classes": self.num_classes,
            "image_size": list(self.image_size),
            **self.options.model_dump(mode="json"),
        }

    def get_config(self) -> dict[str, Any]:
        """The recipe, so that ``.keras`` files hold it."""
        return self.recipe

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Self:
        """A fresh detector, with built variables, from a recipe of this class.

        Raises:
          ValueError: an unknown option, a class count below 1, or an image size that the architecture refuses.
        """
        del custom_objects  # a detector's layers are its own
        options = dict(config)
        name, num_classes, size = options.pop("name"), options.pop("num_classes"), options.pop("image_size", None)
        if num_classes < 1:
            raise ValueError(f"{name}: num_classes must be at least 1, found {num_classes}")
        return cls(
            name=name,
            num_classes=num_classes,
            # Lists come from JSON.
            image_size=(int(size[0]), int(size[1])) if size else cls.default_image_size(name),
            options=options_of(name, options),
        )

    def duplicate(self) -> Self:
        """Another detector of the same recipe, with the same weights and the same classes counting more or less."""
        other = type(self).from_config(self.recipe)
        other.set_weights(self.get_weights())
        other.class_weights = self.class_weights
        return other

    @classmethod
    @abc.abstractmethod
    def default_image_size(cls, name: str) -> tuple[int, int]:
        """(height, width) in pixels that the detector of this name was published with."""

    @property
    @abc.abstractmethod
    def resizing(self) -> Resizing:
        """How ``resize`` brings images to the canvas."""

    @property
    def keeps_aspect_ratio(self) -> bool:
        """Whether ``resize`` scales the longer side to the (square) canvas and pads, instead of stretching."""
        return self.resizing.min_dimension_pixels is not None

    @abc.abstractmethod
    def anchor_levels(self, options: DetectorOptions) -> list[AnchorLevel]:
        """The anchors that options make on this canvas, finest level first, not clipped; none without anchors.

        Args:
          options: of the detector's own class; only their ``anchors`` count.
        """

    @abc.abstractmethod
    def use_anchors(self, options: DetectorOptions) -> None:
        """Changes the anchors to those of options, which become the detector's. Before anything is traced.

        How many anchors a location has, and with it the shape of every variable, stays.

        Args:
          options: those of the detector, with other ``anchors``.
        """

    def resize(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Brings one image to the canvas, without scaling its values (this is what the input pipeline maps).

        Args:
          image: uint8 or float32 [h, w, 3], RGB, 0..255.

        Returns:
          float32 [H, W, 3] in 0..255 and the valid share, float32 [2] (height, width).
        """
        return resize_to_canvas(image, self.resizing)

    @abc.abstractmethod
    def normalize(self, images: tf.Tensor) -> tf.Tensor:
        """Scales values as the backbone expects: float32 [B, H, W, 3] in 0..255 -> float32 [B, H, W, 3]."""

    def preprocess(self, images: tf.Tensor) -> Preprocessed:
        """uint8 or float32 [B, h, w, 3] in 0..255 of equal size -> the model's input frame."""
        return preprocess(self, images)

    @abc.abstractmethod
    def features(self, images: tf.Tensor, training: bool) -> Features:
        """What the backbone makes of images.

        Of a backbone in two halves it is the first, which sees the image; the second reads crops and belongs to the
        heads.

        Args:
          images: float32 [B, H, W, 3], normalised.
          training: whether batch normalisation that is not frozen uses (and learns from) the batch, and dropout drops.

        Returns:
          Feature maps by level, in the precision that is computed in.
        """

    @abc.abstractmethod
    def head_losses(
        self, features: Features, truth: GroundTruth, teaching: Teaching | None = None
    ) -> dict[str, tf.Tensor]:
        """Necks and heads in training mode, target assignment and losses.

        Args:
          features: of ``features``.
          truth: ground truth in the canvas frame.
          teaching: predictions of a teacher that this detector ``lines_up_with``, to hold on to.

        Returns:
          Scalar float32 loss parts by name (``classification``, ``localization``, ...), already weighted; their sum
          (plus the layers' own regularisation losses in ``self.losses``) is what is minimised. With ``teaching`` one is
          called ``distillation``; its weight is 1.
        """

    @abc.abstractmethod
    def head_predictions(
        self, features: Features, valid_height_width: tf.Tensor, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """Raw predictions of necks and heads, by the names that the original gives them.

        Args:
          features: of ``features``.
          valid_height_width: float32 [B, 2], the share of the canvas that is image.
          training: as there.
        """

    @abc.abstractmethod
    def lines_up_with(self, other: Detector) -> bool:
        """Whether raw predictions of both mean the same, place by place: the same canvas, anchors and box coding.

        Their classes may differ.
        """

    @property
    def reads_valid_share(self) -> bool:
        """Whether predictions depend on which share of the canvas is image; else it matters to ``postprocess`` only."""
        return False

    @abc.abstractmethod
    def scored_boxes(self, predictions: dict[str, tf.Tensor]) -> ScoredBoxes:
        """``head_predictions`` -> all boxes with the scores of all classes."""

    @property
    def suppression(self) -> Suppression:
        """What becomes of ``scored_boxes``."""
        most = self.options.max_detections
        return Suppression(self.options.score_threshold, self.options.iou_threshold, most, most)

    def postprocess(self, predictions: dict[str, tf.Tensor], valid_height_width: tf.Tensor) -> Detections:
        """``head_predictions`` -> detections in the frame of the original image (float32 [B, 2] as there)."""
        boxes_yxyx_normalized, scores = self.scored_boxes(predictions)
        suppression = self.suppression
        detections = postprocess.batch_non_max_suppression(
            boxes_yxyx_normalized,
            scores,
            score_threshold=suppression.score_threshold,
            iou_threshold=suppression.iou_threshold,
            max_per_class=suppression.max_per_class,
            max_total=suppression.max_total,
            window_yxyx=postprocess.canvas_window(valid_height_width),
        )
        return postprocess.to_original_frame(detections, valid_height_width)

    def describe_proposals(
        self, features: Features, valid_height_width: tf.Tensor, training: bool
    ) -> DescribedProposals | None:
        """The best regions that a detector of two stages proposes, described; None where there is one stage.

        Args:
          features: of ``features``.
          valid_height_width: float32 [B, 2], the share of the canvas that is image.
          training: as there.
        """
        del features, valid_height_width, training
        return None

    def training_losses(
        self, images: tf.Tensor, truth: GroundTruth, teaching: Teaching | None = None
    ) -> dict[str, tf.Tensor]:
        """``head_losses`` of the ``features`` of images (float32 [B, H, W, 3], normalised) in training mode."""
        return self.head_losses(self.features(images, training=True), truth, teaching)

    def detect(self, preprocessed: Preprocessed) -> Detections:
        """Detections in the frame of the original images: what evaluation, export and serving run."""
        predictions = self.head_predictions(
            self.features(preprocessed.images, training=False), preprocessed.valid_height_width
        )
        return self.postprocess(predictions, preprocessed.valid_height_width)

    def call(self, images: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """``head_predictions`` of images that fill the canvas: float32 [B, H, W, 3], normalised."""
        whole_canvas = tf.ones((tf.shape(images)[0], 2))  # [B, 2]
        return self.head_predictions(self.features(images, training), whole_canvas, training)

    @staticmethod
    def in_float32(outputs: Any) -> Any:
        """Raw outputs as float32, which boxes, scores and losses need whatever precision the network computes in.

        The one place where mixed precision ends: every detector passes all that leaves its network through it.
        """
        return tf.nest.map_structure(lambda output: tf.cast(output, tf.float32), outputs)

    @property
    @abc.abstractmethod
    def backbone_layers(self) -> list[keras.layers.Layer]:
        """The feature extractor's layers from input to output, for freezing (all of them, or up to a depth)."""

    @property
    @abc.abstractmethod
    def prediction_layers(self) -> list[keras.layers.Layer]:
        """The last layers, which make boxes and class logits of what all the others have found."""

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

    def contradicted_options(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """What ``model.options`` has to say for a zoo checkpoint to fit, where the checkpoint's shapes alone tell.

        Args:
          shapes: of the checkpoint's variables, by zoo key.

        Returns:
          A sentence for the user; empty when nothing is contradicted.
        """
        del shapes
        return ""

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
