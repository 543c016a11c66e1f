"""A detector whose boxes a classifier of described boxes looks at once more.

The detector says where something is, the classifier what it is. Of each box of the detector the score counts, whatever
class it has, as the probability that there is an object; the final score of a class is

    detector_score ** (1 - w) * classifier_probability ** w,    w = 0.5,

the geometric mean of the two. Suppression within each class follows.
"""

from __future__ import annotations

import os
from typing import Final

import keras
import tensorflow as tf

from components.detector.detector import Detector
from components.detector.heads import postprocess
from components.detector.heads.box_classifiers import BoxClassifier
from components.detector.heads.box_pooling import describe_boxes
from components.detector.structures import Detections, Preprocessed
from components.detector.targets import boxes as box_ops

CLASSIFIER_SHARE: Final = 0.5
"""w of the module's formula."""


class ReclassifiedDetector:
    """Detects as the module says, on the canvas of the detector that it was made of.

    That detector is also what is saved of it: a pushed version of it starts a training as one of that detector does,
    and its classifier is fitted anew or left out.

    Args:
      detector: finds the boxes; computes in float32.
      box_classifier: of vectors of ``describe_boxes``, with the detector's classes behind background.
    """

    def __init__(self, detector: Detector, box_classifier: BoxClassifier) -> None:
        self.detector = detector
        self.box_classifier = box_classifier
        self.image_size = detector.image_size
        self.options = detector.options
        self.recipe = detector.recipe
        self.classifier: str | None = box_classifier.name

    @property
    def weights(self) -> list[keras.Variable]:
        """Of the detector and of the classifier."""
        return [*self.detector.weights, *self.box_classifier.weights]

    def resize(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See ``Detector.resize``."""
        return self.detector.resize(image)

    def normalize(self, images: tf.Tensor) -> tf.Tensor:
        """See ``Detector.normalize``."""
        return self.detector.normalize(images)

    def preprocess(self, images: tf.Tensor) -> Preprocessed:
        """See ``Detector.preprocess``."""
        return self.detector.preprocess(images)

    def save_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Those of the detector that it was made of."""
        self.detector.save_weights(filepath)

    def detect(self, preprocessed: Preprocessed) -> Detections:
        """See ``Detector.detect``."""
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
        probabilities = tf.reshape(probabilities, (-1, rows, self.detector.num_classes + 1))[..., 1:]  # [B, N, classes]
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
