"""What every single-shot detector shares: targets, losses and post-processing around a network of raw predictions."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.detector.detector import Detector
from components.detector.options import DetectorOptions
from components.detector.structures import ClassRows, Features, GroundTruth, ScoredBoxes, Teaching
from components.detector.targets import boxes as box_ops
from components.detector.targets import losses, matching
from components.detector.targets.anchors import normalized_anchors
from components.detector.targets.distillation import is_free, single_shot_distillation


class SingleShotDetector(Detector):
    """Anchors, focal loss and smooth L1, sigmoid scores, per-class suppression.

    A subclass makes a functional graph. Args besides those of :class:`Detector`:
      images: the graph's input, [B, H, W, 3].
      features: the feature maps that the backbone ends with, by level.
      predictions: ``box_encodings`` [B, N, 4] and ``class_predictions_with_background``, logits [B, N, K], K being the
        number of classes plus one with ``has_background``.
      level_sizes: (rows, columns) of the levels that have anchors, finest first.
      has_background: whether class logits start with a background column (which is never a target).
      focal_alpha: see :func:`losses.sigmoid_focal`.
      focal_gamma: likewise.
      scale_factors: of the box coder.
    """

    _zoo_layer_names: dict[str, str]
    """Names of the layers that are not the backbone's, by the key of their variables in a zoo checkpoint."""

    matched_iou = 0.5
    unmatched_iou = 0.5
    """An anchor below it learns background; one between it and ``matched_iou`` learns nothing."""

    def __init__(
        self,
        *,
        name: str,
        num_classes: int,
        image_size: tuple[int, int],
        options: DetectorOptions,
        images: keras.KerasTensor,
        features: dict[str, keras.KerasTensor],
        predictions: dict[str, keras.KerasTensor],
        level_sizes: Sequence[tuple[int, int]],
        has_background: bool,
        focal_alpha: float,
        focal_gamma: float,
        scale_factors: box_ops.ScaleFactors = box_ops.ZOO_SCALE_FACTORS,
    ) -> None:
        super().__init__(name=name, num_classes=num_classes, image_size=image_size, options=options)
        self.has_background = has_background
        self.focal_alpha = focal_alpha
        self.focal_gamma = focal_gamma
        self.scale_factors = scale_factors
        self.network = keras.Model(images, predictions, name="network")
        # The same layers once more, in two parts. Keras must not take these for parts of the detector: it would save
        # the layers under other paths.
        self._run_backbone = functools.partial(keras.Model(images, features))
        self._run_heads = functools.partial(keras.Model(list(features.values()), predictions))
        self._levels = tuple(features)
        self.level_sizes = tuple(level_sizes)
        self.anchors_yxyx_normalized: NDArray[np.float32]
        """float32 [N, 4], 0..1 of the canvas."""
        self.use_anchors(options)
        self.built = True

    def use_anchors(self, options: DetectorOptions) -> None:
        self.options = options
        self.anchors_yxyx_normalized = normalized_anchors(self.anchor_levels(options), self.image_size)

    def features(self, images: tf.Tensor, training: bool) -> Features:
        features: Features = self._run_backbone(images, training=training)
        return features

    def head_predictions(
        self, features: Features, valid_height_width: tf.Tensor, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """``box_encodings`` float32 [B, N, 4] and ``class_predictions_with_background`` float32 [B, N, K]."""
        del valid_height_width
        levels = [features[level] for level in self._levels]
        predictions: dict[str, tf.Tensor] = self.in_float32(self._run_heads(levels, training=training))
        return predictions

    def assign_targets(self, truth: GroundTruth) -> matching.Targets:
        """Matches anchors to ground truth: targets of [B, N]."""
        anchors = tf.constant(self.anchors_yxyx_normalized)  # [N, 4]
        similarity = box_ops.pairwise_iou(truth.boxes_yxyx_normalized, anchors)  # [B, M, N]
        matches = matching.argmax_match(
            similarity,
            truth.weights,
            matched_threshold=self.matched_iou,
            unmatched_threshold=self.unmatched_iou,
            force_match=True,
        )  # [B, N]
        return matching.gather_targets(matches, truth.boxes_yxyx_normalized, truth.classes, truth.weights)

    def lines_up_with(self, other: Detector) -> bool:
        return (
            type(other) is type(self)
            and other.image_size == self.image_size
            and np.array_equal(other.anchors_yxyx_normalized, self.anchors_yxyx_normalized)
            and other.scale_factors == self.scale_factors
        )

    def head_losses(
        self, features: Features, truth: GroundTruth, teaching: Teaching | None = None
    ) -> dict[str, tf.Tensor]:
        predictions = self.head_predictions(features, truth.valid_height_width, training=True)
        targets = self.assign_targets(truth)
        logits = predictions["class_predictions_with_background"]  # [B, N, K]
        columns = targets.classes + int(self.has_background)  # [B, N]; unmatched anchors are set apart next
        columns = tf.where(targets.classes < 0, -1, columns)  # one_hot of -1 is a row of zeros
        class_losses = losses.sigmoid_focal(
            logits, tf.one_hot(columns, logits.shape[-1]), alpha=self.focal_alpha, gamma=self.focal_gamma
        )  # [B, N, K]
        weights = targets.class_weights * self.weights_of(targets.classes)  # [B, N]
        class_loss = tf.einsum("bnk,bn->", class_losses, weights)
        encoded = box_ops.encode(targets.boxes_yxyx, self.anchors_yxyx_normalized, self.scale_factors)  # [B, N, 4]
        box_losses = losses.smooth_l1(predictions["box_encodings"], encoded)  # [B, N]
        # Unmatched anchors have weight 0 but a target of log(0 + epsilon): finite, so the product is 0.
        box_loss = tf.reduce_sum(box_losses * targets.box_weights) / 4.0  # normalize_loc_loss_by_codesize
        matched = tf.maximum(tf.reduce_sum(targets.box_weights), 1.0)  # normalize_loss_by_num_matches
        parts = {
            "classification": class_loss / matched,
            "localization": box_loss / matched,
        }
        if teaching is not None:
            background = int(self.has_background)
            parts["distillation"] = single_shot_distillation(
                predictions["box_encodings"],
                teaching.of_student(logits, background)[..., background:],
                teaching.predictions["box_encodings"],
                teaching.of_teacher(teaching.predictions["class_predictions_with_background"], background)[
                    ..., background:
                ],
                is_free(teaching.annotated, tf.constant(self.anchors_yxyx_normalized)),
            )
        return parts

    def scored_boxes(self, predictions: dict[str, tf.Tensor]) -> ScoredBoxes:
        boxes = box_ops.decode(
            predictions["box_encodings"], self.anchors_yxyx_normalized, self.scale_factors
        )  # [B, N, 4]
        scores = tf.sigmoid(predictions["class_predictions_with_background"])  # [B, N, K]
        return ScoredBoxes(boxes[:, :, tf.newaxis], scores[..., int(self.has_background) :])

    @property
    def prediction_layers(self) -> list[keras.layers.Layer]:
        return [
            self.network.get_layer(name)
            for key, name in self._zoo_layer_names.items()
            if "/_class_predictor_layers/" in key or "/_box_encoder_layers/" in key
        ]

    def class_rows(self) -> dict[str, ClassRows]:
        background = int(self.has_background)
        return {
            key: ClassRows(variable.shape[-1] // (self.num_classes + background), background, 1)
            for key, variable in self.zoo_variables().items()
            if "/_class_predictor_layers/" in key and not key.endswith("/depthwise_kernel")
        }
