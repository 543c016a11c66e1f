"""A detector whose boxes a classifier of described boxes looks at once more.

The detector says where something is, the classifier what it is. Of each box of the detector the score counts, whatever
class it has, as the probability that there is an object; the final score of a class is

    detector_score ** (1 - w) * classifier_probability ** w,    w = 0.5,

the geometric mean of the two. Suppression within each class follows.
"""

from __future__ import annotations

import os
from typing import Any, Final

import keras
import tensorflow as tf

from components.detector.detector import Detector
from components.detector.heads import postprocess
from components.detector.heads.box_classifiers import BoxClassifier
from components.detector.heads.box_pooling import describe_boxes
from components.detector.options import DetectorOptions
from components.detector.structures import ClassRows, Detections, Features, GroundTruth, Preprocessed, Teaching
from components.detector.targets import boxes as box_ops
from components.detector.targets.anchors import AnchorLevel

CLASSIFIER_SHARE: Final = 0.5
"""w of the module's formula."""


class ReclassifiedDetector(Detector):
    """Detects as the module says; in all else it is the detector that it was made of.

    That is also what is saved of it: a pushed version of it starts a training as one of that detector does, and its
    classifier is fitted anew or left out.

    Args:
      detector: finds the boxes; computes in float32.
      box_classifier: of vectors of ``describe_boxes``, with the detector's classes behind background.
    """

    def __init__(self, detector: Detector, box_classifier: BoxClassifier) -> None:
        super().__init__(
            name=detector.name,
            num_classes=detector.num_classes,
            image_size=detector.image_size,
            options=detector.options,
        )
        # Whatever the training computes in.
        self.dtype_policy = keras.DTypePolicy("float32")
        self.detector = detector
        self.box_classifier = box_classifier
        self.classifier = box_classifier.name
        self.built = True

    def detect(self, preprocessed: Preprocessed) -> Detections:
        shares = preprocessed.valid_height_width
        features = self.detector.features(preprocessed.images, training=False)
        found = self.detector.postprocess(self.detector.head_predictions(features, shares), shares)
        window = postprocess.canvas_window(shares)  # [B, 4]
        on_canvas = box_ops.clip(
            found.boxes_yxyx_normalized * tf.tile(shares, (1, 2))[:, tf.newaxis], window[:, tf.newaxis]
        )  # [B, N, 4]
        vectors = describe_boxes(features, on_canvas)  # [B, N, D]
        rows = on_canvas.shape[1]
        probabilities = self.box_classifier(tf.reshape(vectors, (-1, vectors.shape[-1])))  # [B * N, 1 + classes]
        probabilities = tf.reshape(probabilities, (-1, rows, self.num_classes + 1))[..., 1:]  # [B, N, classes]
        scores = tf.pow(found.scores[..., tf.newaxis], 1.0 - CLASSIFIER_SHARE) * tf.pow(probabilities, CLASSIFIER_SHARE)
        # Padded rows have no area and are left out for that.
        detections = postprocess.batch_non_max_suppression(
            on_canvas[:, :, tf.newaxis],
            scores,
            score_threshold=self.options.score_threshold,
            iou_threshold=self.options.iou_threshold,
            max_per_class=rows,
            max_total=rows,
            window_yxyx=window,
        )
        return postprocess.to_original_frame(detections, shares)

    def save_weights(self, filepath: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Those of the detector that it was made of."""
        self.detector.save_weights(filepath, *args, **kwargs)

    @classmethod
    def default_image_size(cls, name: str) -> tuple[int, int]:
        raise TypeError(f"{cls.__name__} is made of a detector, not of {name}'s settings")

    @property
    def keeps_aspect_ratio(self) -> bool:
        return self.detector.keeps_aspect_ratio

    def anchor_levels(self, options: DetectorOptions) -> list[AnchorLevel]:
        return self.detector.anchor_levels(options)

    def use_anchors(self, options: DetectorOptions) -> None:
        self.detector.use_anchors(options)
        self.options = options

    def resize(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self.detector.resize(image)

    def normalize(self, images: tf.Tensor) -> tf.Tensor:
        return self.detector.normalize(images)

    def features(self, images: tf.Tensor, training: bool) -> Features:
        return self.detector.features(images, training)

    def head_losses(
        self, features: Features, truth: GroundTruth, teaching: Teaching | None = None
    ) -> dict[str, tf.Tensor]:
        return self.detector.head_losses(features, truth, teaching)

    def head_predictions(
        self, features: Features, valid_height_width: tf.Tensor, training: bool = False
    ) -> dict[str, tf.Tensor]:
        return self.detector.head_predictions(features, valid_height_width, training)

    def lines_up_with(self, other: Detector) -> bool:
        return self.detector.lines_up_with(other)

    def postprocess(self, predictions: dict[str, tf.Tensor], valid_height_width: tf.Tensor) -> Detections:
        return self.detector.postprocess(predictions, valid_height_width)

    @property
    def backbone_layers(self) -> list[keras.layers.Layer]:
        return self.detector.backbone_layers

    @property
    def prediction_layers(self) -> list[keras.layers.Layer]:
        return self.detector.prediction_layers

    def zoo_variables(self) -> dict[str, keras.Variable]:
        return self.detector.zoo_variables()

    def class_rows(self) -> dict[str, ClassRows]:
        return self.detector.class_rows()

    def load_imagenet_backbone(self, weights: str) -> list[keras.Variable]:
        return self.detector.load_imagenet_backbone(weights)
