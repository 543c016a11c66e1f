"""Faster R-CNN on ResNet v1 or Inception-ResNet v2, as ``faster_rcnn_*_coco17_tpu-8`` were published.

Two stages on one feature map of stride 16 (Ren et al. 2015): a network proposes regions, a second network classifies
and refines each. In inference every proposal is classified; in training a balanced sample of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.detector.backbones import inception_resnet_v2, resnet_v1
from components.detector.backbones.two_stage_backbone import TwoStageBackbone, layer_with_weights_keys
from components.detector.detector import Detector
from components.detector.heads import postprocess
from components.detector.heads.region_proposals import RegionProposalHead, anchor_level, clipped_anchors_pixels, propose
from components.detector.layers.cosine_similarity import CosineDense
from components.detector.layers.in_float import in_float
from components.detector.layers.roi_crop import crop_regions
from components.detector.options import (
    DetectorOptions,
    FasterRcnnInceptionOptions,
    FasterRcnnOptions,
    FasterRcnnResnetOptions,
)
from components.detector.structures import (
    ClassRows,
    DescribedProposals,
    Features,
    GroundTruth,
    Proposals,
    ScoredBoxes,
    Teaching,
)
from components.detector.targets import boxes as box_ops
from components.detector.targets.anchors import AnchorLevel
from components.detector.targets.distillation import (
    classifier_distillation,
    held_proposals,
    is_free,
    proposal_distillation,
)
from components.detector.targets.faster_rcnn_losses import (
    RPN_MATCHED_IOU,
    classifier_losses,
    rpn_losses,
    sample_proposals,
)
from schema.device_model import Resizing, Suppression

_SECOND_STAGE: Final = "model/_mask_rcnn_box_predictor"
_CLASS_HEAD_KEY: Final = f"{_SECOND_STAGE}/_class_prediction_head/_class_predictor_layers/1/kernel"
_BOX_HEAD_KEY: Final = f"{_SECOND_STAGE}/_box_prediction_head/_box_encoder_layers/1/kernel"
_LEVEL: Final = "level_4"
"""Of the feature map that regions are proposed on and cropped from."""
_STRETCHED_SIZE: Final = (1024, 1024)
"""The size whose published ResNet configurations stretch the image instead of keeping its aspect ratio."""


class FasterRcnn(Detector):
    """See the module, and ``FasterRcnnOptions``.

    Raises:
      ValueError: a canvas that is not square where images keep their aspect ratio.
    """

    options: FasterRcnnOptions
    matched_iou = RPN_MATCHED_IOU
    clips_anchors = True
    default_optimizer = "sgd"
    """As published: steps of Adam drive the proposal network's ReLU6 into saturation, and its gradient is then 0."""

    def __init__(self, *, name: str, num_classes: int, image_size: tuple[int, int], options: FasterRcnnOptions) -> None:
        super().__init__(name=name, num_classes=num_classes, image_size=image_size, options=options)
        self.keep_aspect_ratio = options.keep_aspect_ratio
        if self.keep_aspect_ratio is None:
            self.keep_aspect_ratio = image_size != _STRETCHED_SIZE
        if self.keep_aspect_ratio and image_size[0] != image_size[1]:
            raise ValueError(
                f"{name}: keep_aspect_ratio needs a square canvas, found {image_size[0]} x {image_size[1]}"
            )
        self.proposal_features, self.classifier_features = _backbone(name, image_size, options)
        _, rows, columns, _ = self.proposal_features.output_shape
        self._feature_size = (rows, columns)
        self._anchors_pixels: NDArray[np.float32]
        self.anchors_yxyx_normalized: NDArray[np.float32]
        """float32 [N, 4], 0..1 of the canvas."""
        self.use_anchors(options)
        self.region_proposal_head = RegionProposalHead(options.proposal_depth, name="region_proposal_head")
        self.region_proposal_head.build(self.proposal_features.output_shape)

        def dense(units: int, layer_name: str, cosine_scale: float | None = None) -> keras.layers.Dense:
            by_cosines = {} if cosine_scale is None else {"scale": cosine_scale}
            layer = (CosineDense if by_cosines else keras.layers.Dense)(
                units,
                **by_cosines,
                kernel_initializer=keras.initializers.VarianceScaling(1.0, "fan_avg", "uniform"),
                name=layer_name,
            )
            layer.build((None, self.classifier_features.output_shape[-1]))
            return layer

        self.box_head = dense(4 * (1 if options.share_box_across_classes else num_classes), "box_head")
        self.class_head = dense(num_classes + 1, "class_head", options.class_scale)
        self.sampling_seed = keras.random.SeedGenerator(options.seed)
        self.built = True

    @property
    def resizing(self) -> Resizing:
        # Where the aspect ratio is kept the canvas is square.
        side = self.image_size[0] if self.keep_aspect_ratio else None
        return Resizing(*self.image_size, side, side, half_pixel_centers=False)

    def anchor_levels(self, options: DetectorOptions) -> list[AnchorLevel]:
        chosen = options.anchors
        return [anchor_level(self._feature_size, chosen["smallest_anchor_pixels"], chosen["anchor_aspect_ratios"])]

    def use_anchors(self, options: DetectorOptions) -> None:
        assert isinstance(options, FasterRcnnOptions)
        self.options = options
        [level] = self.anchor_levels(options)
        self._anchors_pixels = clipped_anchors_pixels(level, self.image_size)
        unit = np.array([*self.image_size, *self.image_size], np.float32)
        self.anchors_yxyx_normalized = np.divide(self._anchors_pixels, unit).astype(np.float32)

    @classmethod
    def default_image_size(cls, name: str) -> tuple[int, int]:
        return (640, 640)

    def normalize(self, images: tf.Tensor) -> tf.Tensor:
        module = inception_resnet_v2 if _is_inception(self.name) else resnet_v1
        return module.normalize(images)  # [B, H, W, 3]

    def features(self, images: tf.Tensor, training: bool) -> Features:
        return {_LEVEL: self.proposal_features(images, training=training)}  # [B, h, w, C]

    def head_predictions(
        self, features: Features, valid_height_width: tf.Tensor, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """Both stages, the second on every proposal.

        Returns:
          ``rpn_box_encodings`` float32 [B, N, 4], ``rpn_objectness_predictions_with_background`` float32 [B, N, 2],
          ``proposal_boxes`` float32 [B, P, 4] (pixels of the canvas, yxyx), ``num_proposals`` int32 [B],
          ``refined_box_encodings`` float32 [B, P, Q, 4] and ``class_predictions_with_background`` float32
          [B, P, 1 + classes] (logits).
        """
        rpn_boxes, rpn_objectness, proposals = self._propose(features, valid_height_width)
        refined, class_logits = self._classify(features, proposals.boxes_yxyx_pixels, training)
        return {
            "rpn_box_encodings": rpn_boxes,
            "rpn_objectness_predictions_with_background": rpn_objectness,
            "proposal_boxes": proposals.boxes_yxyx_pixels,
            "num_proposals": proposals.counts,
            "refined_box_encodings": refined,
            "class_predictions_with_background": class_logits,
        }

    def lines_up_with(self, other: Detector) -> bool:
        return (
            isinstance(other, FasterRcnn)
            and (other.name, other.image_size) == (self.name, self.image_size)
            and np.array_equal(other.anchors_yxyx_normalized, self.anchors_yxyx_normalized)
            and other.keep_aspect_ratio == self.keep_aspect_ratio
            and other.options.share_box_across_classes == self.options.share_box_across_classes
        )

    def head_losses(
        self, features: Features, truth: GroundTruth, teaching: Teaching | None = None
    ) -> dict[str, tf.Tensor]:
        anchors = tf.constant(self._anchors_pixels)  # [N, 4]
        truth_pixels = truth.boxes_yxyx_normalized * self._canvas_pixels()  # [B, M, 4]
        rpn_boxes, rpn_objectness, proposals = self._propose(features, truth.valid_height_width)
        sampled = sample_proposals(
            proposals, truth_pixels, truth, sample_size=self.options.proposals_per_step, seed=self._next_seed()
        )
        weights = sampled.class_weights * self.weights_of(sampled.classes - 1)  # [B, S]
        sampled = sampled._replace(class_weights=weights)
        parts = rpn_losses(rpn_boxes, rpn_objectness, anchors, truth_pixels, truth, self._next_seed())
        if teaching is None:
            refined, class_logits = self._classify(features, sampled.boxes_yxyx_pixels, training=True)
            return parts | classifier_losses(refined, class_logits, sampled)
        held = held_proposals(teaching, self._canvas_pixels())
        # In one go: batch normalisation sees both.
        boxes = tf.concat([sampled.boxes_yxyx_pixels, held.boxes_yxyx_pixels], axis=1)  # [B, S + H, 4]
        refined, class_logits = self._classify(features, boxes, training=True)
        count = sampled.boxes_yxyx_pixels.shape[1]
        held_refined = refined[:, count:]  # [B, H, Q, 4]
        if held_refined.shape[2] > 1:
            held_refined = tf.gather(held_refined, [new for _, new in teaching.classes], axis=2)
        of_second = classifier_distillation(held_refined, teaching.of_student(class_logits[:, count:], 1), held)
        of_first = proposal_distillation(
            rpn_boxes,
            rpn_objectness,
            teaching.predictions["rpn_box_encodings"],
            teaching.predictions["rpn_objectness_predictions_with_background"],
            is_free(teaching.annotated, anchors, self._canvas_pixels()),
        )
        return (
            parts
            | classifier_losses(refined[:, :count], class_logits[:, :count], sampled)
            | {"distillation": of_first + of_second}
        )

    def describe_proposals(
        self, features: Features, valid_height_width: tf.Tensor, training: bool
    ) -> DescribedProposals:
        """The best ``proposals_per_step`` proposals: as many as the second stage is trained on."""
        _, _, proposals = self._propose(features, valid_height_width)
        count = min(self.options.proposals_per_step, self.options.max_proposals)
        boxes = proposals.boxes_yxyx_pixels[:, :count]  # [B, P, 4]
        descriptions = self._describe(features, boxes, training)  # [B * P, D]
        return DescribedProposals(
            tf.reshape(descriptions, (-1, count, descriptions.shape[-1])), proposals.is_real[:, :count]
        )

    def scored_boxes(self, predictions: dict[str, tf.Tensor]) -> ScoredBoxes:
        proposals = Proposals(predictions["proposal_boxes"], predictions["num_proposals"])
        boxes = box_ops.decode(
            predictions["refined_box_encodings"], proposals.boxes_yxyx_pixels[:, :, tf.newaxis]
        )  # [B, P, Q, 4]
        scores = tf.nn.softmax(predictions["class_predictions_with_background"])[..., 1:]  # [B, P, classes]
        # Padded proposals score 0 and so never pass the threshold.
        return ScoredBoxes(boxes / self._canvas_pixels(), tf.where(proposals.is_real[..., tf.newaxis], scores, 0.0))

    @property
    def reads_valid_share(self) -> bool:
        """Proposals end where the image does."""
        return self.keeps_aspect_ratio

    @property
    def suppression(self) -> Suppression:
        return dataclasses.replace(super().suppression, max_per_class=self.options.max_detections_per_class)

    @property
    def backbone_layers(self) -> list[keras.layers.Layer]:
        halves = (self.proposal_features, self.classifier_features)
        return [layer for half in halves for layer in half.layers if not isinstance(layer, keras.layers.InputLayer)]

    @property
    def prediction_layers(self) -> list[keras.layers.Layer]:
        """The second stage's; what the first proposes stays as it is."""
        return [self.box_head, self.class_head]

    def load_imagenet_backbone(self, weights: str) -> list[keras.Variable]:
        """Copies ImageNet weights of keras.applications into both halves of the backbone.

        Args:
          weights: ``"imagenet"`` (downloaded by Keras), or the path of a ``no_top`` file of keras.applications.

        Returns:
          The variables that were set.

        Raises:
          ValueError: the weights do not fit the backbone.
        """
        module = inception_resnet_v2 if _is_inception(self.name) else resnet_v1
        backbone = TwoStageBackbone(self.proposal_features, self.classifier_features)
        copied: list[keras.Variable] = module.copy_imagenet_weights(backbone, weights)
        return copied

    def zoo_variables(self) -> dict[str, keras.Variable]:
        rpn, second = "model/_first_stage_box_predictor", _SECOND_STAGE
        heads: dict[str, keras.layers.Layer] = {
            f"{rpn}_first_conv/layer_with_weights-0": self.region_proposal_head.shared,
            f"{rpn}/_prediction_heads/box_encodings/0/_box_encoder_layers/0": self.region_proposal_head.boxes,
            f"{rpn}/_prediction_heads/class_predictions_with_background/0/_class_predictor_layers/0": (
                self.region_proposal_head.objectness
            ),
            f"{second}/_box_prediction_head/_box_encoder_layers/1": self.box_head,
            f"{second}/_class_prediction_head/_class_predictor_layers/1": self.class_head,
        }
        return {
            **layer_with_weights_keys(self.proposal_features, "model/_feature_extractor_for_proposal_features"),
            **layer_with_weights_keys(self.classifier_features, "model/_feature_extractor_for_box_classifier_features"),
            **{f"{key}/{variable.name}": variable for key, layer in heads.items() for variable in layer.weights},
        }

    def class_rows(self) -> dict[str, ClassRows]:
        rows = {_CLASS_HEAD_KEY: ClassRows(1, 1, 1)}
        if not self.options.share_box_across_classes:
            rows[_BOX_HEAD_KEY] = ClassRows(1, 0, 4)
        return {
            f"{key.removesuffix('kernel')}{variable}": layout
            for key, layout in rows.items()
            for variable in ("kernel", "bias")
        }

    def contradicted_options(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """A checkpoint refines one box a proposal where this detector refines one for each class, or the reverse."""
        box_columns, class_columns = (shapes.get(key, (0,))[-1] for key in (_BOX_HEAD_KEY, _CLASS_HEAD_KEY))
        classes, shared = class_columns - 1, box_columns == 4
        if classes <= 1 or box_columns not in (4, 4 * classes) or shared == self.options.share_box_across_classes:
            return ""
        return (
            f"it refines {'one box for all' if shared else 'a box for each of its'} {classes} classes; set "
            f"model.options to {{share_box_across_classes: {str(shared).lower()}}}"
        )

    def _canvas_pixels(self) -> tf.Tensor:
        """float32 [4]: what turns normalised yxyx into pixels."""
        return tf.constant([*self.image_size, *self.image_size], tf.float32)

    def _next_seed(self) -> tf.Tensor:
        """int32 [2], different at every step."""
        return tf.cast(tf.convert_to_tensor(self.sampling_seed.next()), tf.int32)

    def _propose(self, features: Features, valid_height_width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, Proposals]:
        """The first stage: box encodings [B, N, 4], objectness logits [B, N, 2], proposals clipped to the images."""
        box_encodings, objectness_logits = self.in_float32(self.region_proposal_head(features[_LEVEL]))
        with in_float():
            proposals = propose(
                box_encodings,
                objectness_logits,
                tf.constant(self._anchors_pixels),
                postprocess.canvas_window(valid_height_width) * self._canvas_pixels(),
                max_proposals=self.options.max_proposals,
                iou_threshold=self.options.proposal_iou_threshold,
            )
        return box_encodings, objectness_logits, proposals

    def _classify(
        self, features: Features, boxes_yxyx_pixels: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The second stage: regions [B, P, 4] -> boxes [B, P, Q, 4], logits [B, P, K + 1]."""
        pooled = self._describe(features, boxes_yxyx_pixels, training)  # [B * P, D]
        boxes, logits = self.in_float32((self.box_head(pooled), self.class_head(pooled)))
        count = boxes_yxyx_pixels.shape[1]
        refined = tf.reshape(boxes, (-1, count, self.box_head.units // 4, 4))
        return refined, tf.reshape(logits, (-1, count, self.num_classes + 1))

    def _describe(self, features: Features, boxes_yxyx_pixels: tf.Tensor, training: bool) -> tf.Tensor:
        """What the second stage predicts from: regions [B, P, 4] -> float32 [B * P, D]."""
        crops = crop_regions(
            features[_LEVEL],
            boxes_yxyx_pixels / self._canvas_pixels(),
            crop_size=self.options.crop_size,
            pool_size=self.options.pool_size,
        )  # [B * P, s, s, C]
        described = self.in_float32(self.classifier_features(crops, training=training))  # [B * P, t, t, D]
        return tf.reduce_mean(described, axis=(1, 2))  # [B * P, D]


def _is_inception(name: str) -> bool:
    return name.startswith("faster_rcnn_inception_resnet_v2")


def _backbone(name: str, image_size: tuple[int, int], options: FasterRcnnOptions) -> TwoStageBackbone:
    crop_size = options.crop_size // options.pool_size
    if isinstance(options, FasterRcnnInceptionOptions):
        return inception_resnet_v2.inception_resnet_v2(
            image_size=image_size,
            crop_size=crop_size,
            repeats=inception_resnet_v2.Repeats(*options.blocks) if options.blocks else None,
            width=options.width,
            batch_norm_momentum=options.statistics_momentum,
        )
    assert isinstance(options, FasterRcnnResnetOptions)
    return resnet_v1.resnet_v1(
        options.blocks or resnet_v1.BLOCKS[int(name.removeprefix("faster_rcnn_resnet"))],
        image_size=image_size,
        crop_size=crop_size,
        width=round(64 * options.width),
        batch_norm_momentum=options.statistics_momentum,
    )
