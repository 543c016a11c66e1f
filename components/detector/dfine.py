"""D-FINE (Peng et al. 2024), a detection transformer on HGNetV2, from KerasHub's layers.

There are no anchors: the encoder picks places that look like objects, and the decoder makes a box of each, in several
steps, side by side as a distribution over distances. In training every object is matched with one of them (``targets.
set_matching``). KerasHub's presets fit layer by layer; targets and losses are ours, for KerasHub's cannot train: they
match across images, and count padding as objects.
"""

from __future__ import annotations

import functools
from typing import Final

import keras
import keras_hub
import tensorflow as tf

from components.detector.detector import Detector
from components.detector.heads.dfine_network import Decoded, DFineLayers, parts_of, settings_of
from components.detector.layers.in_float import in_float
from components.detector.options import DetectorOptions, DFineOptions
from components.detector.structures import ClassRows, Features, GroundTruth, ScoredBoxes, Teaching
from components.detector.targets import boxes as box_ops
from components.detector.targets.anchors import AnchorLevel
from components.detector.targets.denoising import DenoisingQueries, denoising_queries
from components.detector.targets.dfine_losses import Assignment, SetPredictions, set_losses
from components.detector.targets.set_matching import agreed_assignment, assign_objects, matching_costs
from schema.device_model import Resizing

_SIDES_MULTIPLE_OF: Final = 32
_SMALLEST_SIDE: Final = 64
_IGNORED_IOU: Final = 0.5
"""What overlaps an object that is not to be learnt by this is no background, either."""


class DFine(Detector):
    """See the module, and ``DFineOptions``. Images are stretched to the canvas.

    Raises:
      ValueError: an image size whose sides are no multiples of 32 from 64 on.
    """

    options: DFineOptions

    learning_rate_share = 0.2
    """0.0002 at 8 images a batch: from the published 0.0008 at 128 (`dfine_nano`), 0.0002 at 32 (`dfine_small`)."""

    def __init__(self, *, name: str, num_classes: int, image_size: tuple[int, int], options: DFineOptions) -> None:
        if any(side < _SMALLEST_SIDE or side % _SIDES_MULTIPLE_OF for side in image_size):
            raise ValueError(
                f"{name}: image_size must be multiples of {_SIDES_MULTIPLE_OF} from {_SMALLEST_SIDE} on, found "
                f"{image_size}"
            )
        super().__init__(name=name, num_classes=num_classes, image_size=image_size, options=options)
        layers = DFineLayers(name, num_classes, image_size, options)
        images = keras.Input((*image_size, 3), name="images")
        stages = layers.backbone.outputs
        backbone = keras.Model(layers.backbone.inputs, dict(zip(layers.levels, stages, strict=True)), name="backbone")
        features = backbone(images)
        decoded = layers.decode([features[level] for level in layers.levels], training=False)
        self.network = keras.Model(
            images, {"pred_logits": decoded.logits[:, -1], "pred_boxes": decoded.boxes_cxcywh[:, -1]}, name="network"
        )
        for layer in self.network._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = options.statistics_momentum
        self.denoising_classes: keras.layers.Dense | None = None
        if options.denoising_queries:
            # Of one-hot vectors: an embedding's gradient would be sparse, which no other variable's is.
            self.denoising_classes = keras.layers.Dense(
                layers.hidden_dim, use_bias=False, name="denoising_classes", dtype="float32"
            )
            self.denoising_classes.build((None, num_classes))
        self.denoising_seed = keras.random.SeedGenerator(options.seed)
        # The same layers once more. Keras must not take these for parts of the detector: it would save the layers
        # under other paths.
        self._run_backbone = functools.partial(keras.Model(images, features))
        self._layers_of_network = functools.partial(lambda: layers)
        self.built = True

    @classmethod
    def default_image_size(cls, name: str) -> tuple[int, int]:
        return (640, 640)

    @property
    def resizing(self) -> Resizing:
        return Resizing(*self.image_size, None, None, half_pixel_centers=True)

    def anchor_levels(self, options: DetectorOptions) -> list[AnchorLevel]:
        return []

    def use_anchors(self, options: DetectorOptions) -> None:
        assert isinstance(options, DFineOptions)
        self.options = options

    def normalize(self, images: tf.Tensor) -> tf.Tensor:
        return images / 255.0  # [B, H, W, 3]

    def features(self, images: tf.Tensor, training: bool) -> Features:
        features: Features = self._run_backbone(images, training=training)
        return features

    def head_predictions(
        self, features: Features, valid_height_width: tf.Tensor, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """``pred_logits`` float32 [B, Q, C] and ``pred_boxes`` float32 [B, Q, 4] (cxcywh, 0..1 of the canvas)."""
        del valid_height_width
        # Places, distances and what is read there: quantised, they would find nothing.
        with in_float():
            decoded = self._decode(features, training)
        return {"pred_logits": decoded.logits[:, -1], "pred_boxes": decoded.boxes_cxcywh[:, -1]}

    def lines_up_with(self, other: Detector) -> bool:
        """Never: the encoder picks other places in every image, and each detector's encoder its own."""
        del other
        return False

    def head_losses(
        self, features: Features, truth: GroundTruth, teaching: Teaching | None = None
    ) -> dict[str, tf.Tensor]:
        """See the base class; ``teaching`` is never given, for no predictions line up.

        Parts are ``classification``, ``localization``, ``fine_grained`` (the distributions) and ``self_distillation``
        (the decoder's earlier layers learn from its last).
        """
        del teaching
        # One row that is no object lets M be 0.
        truth = GroundTruth(
            tf.pad(truth.boxes_yxyx_normalized, [[0, 0], [0, 1], [0, 0]]),
            tf.pad(truth.classes, [[0, 0], [0, 1]], constant_values=-1),
            tf.pad(truth.weights, [[0, 0], [0, 1]]),
            truth.valid_height_width,
        )
        copies: DenoisingQueries | None = None
        if self.denoising_classes is not None:
            seed = tf.cast(tf.convert_to_tensor(self.denoising_seed.next()), tf.int32)
            copies = denoising_queries(truth, self.num_classes, self.options.denoising_queries, seed)
        decoded = self._decode(features, training=True, copies=copies)
        num_copies = 0 if copies is None else 2 * self.options.denoising_queries
        parts = self._set_losses(
            self._found_by_queries(decoded, num_copies), truth, self._match(decoded, num_copies, truth)
        )
        if copies is not None:
            restored = SetPredictions(
                decoded.logits[:, :, :num_copies],
                decoded.boxes_cxcywh[:, :, :num_copies],
                decoded.corners[:, :, :num_copies],
                decoded.references_cxcywh[:, :num_copies],
            )
            layers = restored.logits.shape[1]
            assignment = Assignment(
                tf.tile(copies.objects[:, tf.newaxis], (1, layers, 1)),
                copies.objects,
                tf.tile(tf.cast(copies.is_real, tf.float32)[:, tf.newaxis], (1, layers, 1)),
            )
            of_copies = self._set_losses(restored, truth, assignment)
            parts = {name: value + of_copies[name] for name, value in parts.items()}
        return parts

    def _decode(self, features: Features, training: bool, copies: DenoisingQueries | None = None) -> Decoded:
        layers = self._layers_of_network()
        given = None
        if copies is not None:
            assert self.denoising_classes is not None
            contents = self.denoising_classes(tf.one_hot(copies.classes, self.num_classes))  # [B, 2D, hidden_dim]
            given = (contents, copies.boxes_cxcywh, copies.attention_mask(layers.num_queries))
        decoded = layers.decode([features[level] for level in layers.levels], training, given)
        return Decoded(*self.in_float32(tuple(decoded)))

    @staticmethod
    def _found_by_queries(decoded: Decoded, num_copies: int) -> SetPredictions:
        """What the decoder's layers, and last the encoder, predict for the queries that the encoder finds."""
        return SetPredictions(
            tf.concat([decoded.logits[:, :, num_copies:], decoded.encoder_logits[:, tf.newaxis]], axis=1),
            tf.concat([decoded.boxes_cxcywh[:, :, num_copies:], decoded.encoder_boxes_cxcywh[:, tf.newaxis]], axis=1),
            decoded.corners[:, :, num_copies:],
            decoded.references_cxcywh[:, num_copies:],
        )

    def _match(self, decoded: Decoded, num_copies: int, truth: GroundTruth) -> Assignment:
        """Scores of each layer learn by its own matches, boxes of all by what most of them agree on."""
        predicted = self._found_by_queries(decoded, num_copies)
        costs = matching_costs(
            predicted.logits,
            predicted.boxes_cxcywh,
            truth.classes,
            box_ops.yxyx_to_cxcywh(truth.boxes_yxyx_normalized),
        )  # [B, S, Q, M]
        assigned = assign_objects(costs, truth.weights)  # [B, S, Q]
        # Padding has no area and overlaps nothing.
        ignored = truth.boxes_yxyx_normalized * tf.cast(truth.weights <= 0.0, tf.float32)[..., tf.newaxis]  # [B, M, 4]
        overlaps = box_ops.pairwise_iou(
            box_ops.cxcywh_to_yxyx(predicted.boxes_cxcywh), ignored[:, tf.newaxis]
        )  # [B, S, Q, M]
        is_background = tf.reduce_max(overlaps, axis=-1) < _IGNORED_IOU  # [B, S, Q]
        return Assignment(
            for_scores=assigned,
            for_boxes=agreed_assignment(assigned, tf.shape(truth.classes)[1]),
            score_weights=tf.cast(is_background | (assigned >= 0), tf.float32),
        )

    def _set_losses(
        self, predicted: SetPredictions, truth: GroundTruth, assignment: Assignment
    ) -> dict[str, tf.Tensor]:
        distances, reg_scale = self._layers_of_network().places
        return set_losses(
            predicted,
            truth,
            assignment,
            self.weights_of(truth.classes),
            tf.stop_gradient(distances),
            tf.stop_gradient(reg_scale),
        )

    def scored_boxes(self, predictions: dict[str, tf.Tensor]) -> ScoredBoxes:
        boxes = box_ops.cxcywh_to_yxyx(predictions["pred_boxes"])  # [B, Q, 4]
        return ScoredBoxes(boxes[:, :, tf.newaxis], tf.sigmoid(predictions["pred_logits"]))

    @property
    def backbone_layers(self) -> list[keras.layers.Layer]:
        embedder, encoder = _parts_of_backbone(self.network.get_layer("backbone"))
        return [embedder, *encoder.stages_list]

    @property
    def prediction_layers(self) -> list[keras.layers.Layer]:
        layers = self._layers_of_network()
        return [
            *layers.score_heads,
            layers.parts["encoder_boxes"],
            layers.decoder.pre_bbox_head,
            *layers.decoder.bbox_embed,
        ]

    def zoo_variables(self) -> dict[str, keras.Variable]:
        """The zoo has no such detector; keys are made of KerasHub's names.

        The denoising's class vectors are not among them: they serve training alone, published presets have none, and
        every training begins them afresh.
        """
        return self._named(self._own_parts())

    def _own_parts(self) -> dict[str, keras.layers.Layer]:
        embedder, encoder = _parts_of_backbone(self.network.get_layer("backbone"))
        return {"backbone_stem": embedder, "backbone_stages": encoder, **self._layers_of_network().parts}

    @staticmethod
    def _named(parts: dict[str, keras.layers.Layer]) -> dict[str, keras.Variable]:
        return {
            f"{part}/{variable.path.partition(layer.name + '/')[2]}": variable
            for part, layer in parts.items()
            for variable in layer.variables
        }

    def class_rows(self) -> dict[str, ClassRows]:
        of_scores = {id(variable) for layer in self._layers_of_network().score_heads for variable in layer.variables}
        return {key: ClassRows(1, 0, 1) for key, variable in self.zoo_variables().items() if id(variable) in of_scores}

    def load_imagenet_backbone(self, weights: str) -> list[keras.Variable]:
        raise ValueError(
            f"{weights}: {self.name} has a backbone of KerasHub's, which no network of keras.applications is; start "
            "from model.pretrained: kerashub:PRESET"
        )

    @property
    def preset_scale_and_offset(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """What ``normalize`` multiplies with and then adds, by channel, as KerasHub's image converters say it."""
        return (1.0 / 255.0,) * 3, (0.0,) * 3

    @staticmethod
    def preset_classes(model: keras.Model) -> int | None:
        """How many classes a model of KerasHub's tells apart; None for a backbone alone."""
        if isinstance(model, keras_hub.models.DFineObjectDetector):
            model = model.backbone
        return model.num_labels if isinstance(model, keras_hub.models.DFineBackbone) else None

    def preset_variables(self, model: keras.Model) -> dict[str, keras.Variable]:
        """Variables of a model of KerasHub's by the keys of ``zoo_variables``.

        Layers of a backbone have its name in theirs, so it is the order of variables that says which is which.

        Args:
          model: a ``DFineObjectDetector``, the ``DFineBackbone`` or the ``HGNetV2Backbone`` in it.

        Raises:
          ValueError: another model, or what makes these variables mean something else.
        """
        if isinstance(model, keras_hub.models.DFineObjectDetector):
            model = model.backbone
        theirs: dict[str, keras.layers.Layer] = {}
        backbone = model
        if isinstance(model, keras_hub.models.DFineBackbone):
            expected, found = self._layers_of_network().settings, settings_of(model)
            if found != expected:
                other = {name: value for name, value in found.items() if value != expected[name]}
                raise ValueError(
                    f"its {', '.join(f'{name} is {value}' for name, value in other.items())}; expected "
                    f"{', '.join(f'{name} {expected[name]}' for name in other)}"
                )
            theirs, backbone = parts_of(model), model.backbone
        if not isinstance(backbone, keras_hub.models.HGNetV2Backbone):
            raise ValueError(f"{type(model).__name__} of KerasHub, expected DFineObjectDetector or its backbone")
        embedder, encoder = _parts_of_backbone(backbone)
        theirs = {"backbone_stem": embedder, "backbone_stages": encoder, **theirs}
        variables: dict[str, keras.Variable] = {}
        ours = self._own_parts()
        for part, layer in theirs.items():
            keys = self._named({part: ours[part]}) if part in ours else {}
            if len(keys) != len(layer.variables):
                raise ValueError(f"its {part} has {len(layer.variables)} variables, expected {len(keys)}")
            variables.update(zip(keys, layer.variables, strict=True))
        return variables


def _parts_of_backbone(model: keras.Model) -> list[keras.layers.Layer]:
    """The stem and the stages of an HGNetV2."""
    return [layer for layer in model.layers if layer.weights]
