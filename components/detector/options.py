"""The options of each detector as typed settings: names, types, defaults and documentation, written once.

Imports neither TensorFlow nor Keras: a config is checked with it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, get_args

import pydantic
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic_core import InitErrorDetails

from components.detector.names import DFINE, DINOV3, EFFICIENTDET, RETINANET
from components.settings import Settings

Share = Annotated[float, pydantic.Field(ge=0.0, le=1.0)]


AspectRatios = tuple[PositiveFloat, PositiveFloat, PositiveFloat]


class DetectorOptions(Settings):
    """What every detector takes."""

    published_anchors: ClassVar[Mapping[str, Any]] = {}
    """The options that say what anchors there are, with what the published configurations have. None in one of these
    options is not given. Empty where a detector has no anchors."""

    batch_norm_momentum: Share | None = None
    """Of every moving statistic. None: what suits the number of steps, 1 - 20 / steps within 0.9 and 0.99. (The
    published detectors have 0.99 and more, which suits tens of thousands of steps; after a few hundred, statistics that
    move so slowly are still those of the start.)"""
    score_threshold: Share = 1e-8
    """Detections score above it."""
    iou_threshold: Share = 0.6
    """Of non-maximum suppression: a box that overlaps a better one of its class by more is left out."""
    max_detections: PositiveInt = 100
    """For each image, and for each class."""
    class_head: Literal["linear", "cosine"] = "linear"
    """How the last layer scores classes: `linear`, as published, or by the `cosine` between what it reads and each
    class's weights, on which `transfer.strategy: few_shot` stands. Both have the same variables; of weights that were
    trained with the other kind, `cosine` takes over the directions, `linear` nothing."""
    cosine_scale: PositiveFloat = 20.0
    """What `class_head: cosine` multiplies cosines with (20 in Wang et al. 2020). Logits stay within this distance of
    the class's bias."""

    @property
    def has_anchors(self) -> bool:
        """Whether the detector has any."""
        return bool(self.published_anchors)

    @property
    def gives_anchors(self) -> bool:
        """Whether an option says what anchors there are."""
        return any(getattr(self, name) is not None for name in self.published_anchors)

    @property
    def anchors(self) -> dict[str, Any]:
        """The options that say what anchors there are, with the published values where they are not given."""
        given = {name: getattr(self, name) for name in self.published_anchors}
        return {
            name: published if given[name] is None else given[name]
            for name, published in self.published_anchors.items()
        }

    @property
    def may_be_cosine(self) -> bool:
        """Whether the detector can score classes by cosines."""
        return "cosine" in get_args(type(self).model_fields["class_head"].annotation)

    @property
    def class_scale(self) -> float | None:
        """The factor of a class head by cosines; None for a linear one."""
        return self.cosine_scale if self.class_head == "cosine" else None

    @property
    def statistics_momentum(self) -> float:
        """``batch_norm_momentum``, or what suits some 700 steps where nobody has said how many there will be."""
        return 0.97 if self.batch_norm_momentum is None else self.batch_norm_momentum


class SsdOptions(DetectorOptions):
    """What the SSDs on MobileNetV2 share."""

    alpha: PositiveFloat = 1.0
    """MobileNetV2's width multiplier."""
    l2: NonNegativeFloat = 4e-5
    """Weight decay, as the factor on half the sum of squares (the published configurations' convention)."""
    class_prior_bias: float = -4.6
    """What the class biases start from; -4.6 is a probability of 0.01."""
    focal_alpha: Share = 0.25
    """Weight of objects in the focal loss; background weighs the rest to 1."""
    focal_gamma: NonNegativeFloat = 2.0
    """Exponent of the focal loss: the larger, the less easy anchors count."""


class SsdMobileNetV2Options(SsdOptions):
    """Of ``ssd_mobilenet_v2``."""

    published_anchors = {"anchor_scales": (0.2, 0.95), "anchor_aspect_ratios": (1.0, 2.0, 0.5, 3.0, 0.3333)}

    focal_alpha: Share = 0.75
    """Weight of objects in the focal loss; background weighs the rest to 1."""
    anchor_scales: tuple[PositiveFloat, PositiveFloat] | None = None
    """Side of the square anchors of the finest and of the coarsest level, as shares of the canvas' shorter side; those
    between are evenly spaced, and the finest level has one of half its side. None: what `model.anchors` says (the
    published ones are 0.2 and 0.95)."""
    anchor_aspect_ratios: tuple[PositiveFloat, PositiveFloat, PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    """Width / height of a location's anchors. None: what `model.anchors` says (1, 2, 1/2, 3 and 1/3 are published)."""

    @pydantic.model_validator(mode="after")
    def _from_fine_to_coarse(self) -> SsdMobileNetV2Options:
        if self.anchor_scales is not None and self.anchor_scales[0] >= self.anchor_scales[1]:
            raise ValueError(
                f"anchor_scales must grow from the finest to the coarsest level, found {self.anchor_scales}"
            )
        return self


class SsdMobileNetV2FpnliteOptions(SsdOptions):
    """Of ``ssd_mobilenet_v2_fpnlite``."""

    published_anchors = {"anchor_scale": 4.0, "anchor_aspect_ratios": (1.0, 2.0, 0.5)}

    fpn_depth: PositiveInt = 128
    """Channels of the pyramid and the heads."""
    num_head_layers: PositiveInt = 4
    """Convolutions of the heads' shared tower."""
    anchor_scale: PositiveFloat | None = None
    """Side of a level's smallest square anchor in strides: 4, the published one, makes 32, 64, ... 512 pixels, 2 suits
    data with many objects of less than 16. None: what `model.anchors` says."""
    anchor_aspect_ratios: AspectRatios | None = None
    """Width / height of a location's anchors. None: what `model.anchors` says (1, 2 and 1/2 are published)."""


class EfficientDetOptions(DetectorOptions):
    """Of ``efficientdet_d0`` to ``efficientdet_d7``."""

    published_anchors = {"anchor_scale": 4.0, "anchor_aspect_ratios": (1.0, 2.0, 0.5)}

    iou_threshold: Share = 0.5
    """Of non-maximum suppression: a box that overlaps a better one of its class by more is left out."""
    bifpn_iterations: PositiveInt | None = None
    """Passes of the pyramid. None: the published number."""
    bifpn_filters: PositiveInt | None = None
    """Channels of the pyramid and the towers. None: the published number."""
    head_layers: PositiveInt | None = None
    """Layers of the towers. None: the published number."""
    drop_connect_rate: Annotated[float, pydantic.Field(ge=0.0, lt=1.0)] = 0.2
    """Stochastic depth: how often the last block's residual is dropped in training; earlier blocks' less often."""
    box_scale_factors: tuple[PositiveFloat, PositiveFloat, PositiveFloat, PositiveFloat] = (10.0, 10.0, 5.0, 5.0)
    """Of the box coder (y, x, height, width). Zoo checkpoints with others are converted."""
    anchor_scale: PositiveFloat | None = None
    """Side of a level's smallest square anchor in strides: 4, the published one, makes 32, 64, ... 512 pixels, 2 suits
    data with many objects of less than 16. None: what `model.anchors` says."""
    anchor_aspect_ratios: AspectRatios | None = None
    """Width / height of a location's anchors. None: what `model.anchors` says (1, 2 and 1/2 are published)."""


class FasterRcnnOptions(DetectorOptions):
    """What the Faster R-CNNs share; defaults are those on ResNet."""

    published_anchors = {"smallest_anchor_pixels": 64.0, "anchor_aspect_ratios": (0.5, 1.0, 2.0)}

    score_threshold: Share = 0.0
    """Detections score above it."""
    max_detections: PositiveInt = 300
    """For each image."""
    max_detections_per_class: PositiveInt = 100
    """For each image and class."""
    width: PositiveFloat = 1.0
    """Multiplies the backbone's channels."""
    proposal_depth: PositiveInt = 512
    """Channels of the proposal network's first convolution."""
    seed: NonNegativeInt | None = None
    """Makes the sampling of anchors and proposals repeatable."""
    keep_aspect_ratio: bool | None = None
    """Scale the longer side to the canvas and pad, or stretch to the canvas. None: as published, which is to stretch
    at 1024 x 1024 only."""
    smallest_anchor_pixels: PositiveFloat | None = None
    """Side of the smallest square anchor; the others are 2, 4 and 8 times as large. Objects of less than about half of
    it are hardly proposed. None: what `model.anchors` says (64 is published)."""
    anchor_aspect_ratios: AspectRatios | None = None
    """Width / height of a location's anchors. None: what `model.anchors` says (1/2, 1 and 2 are published)."""
    crop_size: PositiveInt = 14
    """Side of the grid on which a region is sampled."""
    pool_size: PositiveInt = 2
    """Window and stride of the pooling of that grid."""
    share_box_across_classes: bool = True
    """One refined box a proposal, or one for each class."""
    max_proposals: PositiveInt = 300
    """Regions of an image that are classified."""
    proposal_iou_threshold: Share = 0.7
    """Of the suppression among proposals."""
    proposals_per_step: PositiveInt = 64
    """Proposals of each image that the second stage is trained on, at most `max_proposals`."""

    @pydantic.model_validator(mode="after")
    def _enough_proposals(self) -> FasterRcnnOptions:
        if self.proposals_per_step > self.max_proposals:
            raise ValueError(
                f"proposals_per_step ({self.proposals_per_step}) must not exceed max_proposals ({self.max_proposals})"
            )
        return self


class FasterRcnnResnetOptions(FasterRcnnOptions):
    """Of ``faster_rcnn_resnet50``, ``faster_rcnn_resnet101`` and ``faster_rcnn_resnet152``."""

    blocks: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] | None = None
    """Residual blocks of conv2 to conv5. None: the published numbers."""


class FasterRcnnInceptionOptions(FasterRcnnOptions):
    """Of ``faster_rcnn_inception_resnet_v2``."""

    max_detections: PositiveInt = 100
    """For each image."""
    blocks: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    """Residual blocks block35, block17 and block8. None: the published numbers."""
    keep_aspect_ratio: bool | None = False
    """Scale the longer side to the canvas and pad, or stretch to the canvas."""
    crop_size: PositiveInt = 17
    """Side of the grid on which a region is sampled."""
    pool_size: PositiveInt = 1
    """Window and stride of the pooling of that grid."""
    share_box_across_classes: bool = False
    """One refined box a proposal, or one for each class."""


class RetinaNetOptions(DetectorOptions):
    """What the RetinaNets share. The defaults are those of KerasHub's presets."""

    published_anchors = {"anchor_scale": 4.0, "anchor_aspect_ratios": (2.0, 1.0, 0.5)}

    iou_threshold: Share = 0.5
    """Of non-maximum suppression: a box that overlaps a better one of its class by more is left out."""
    class_head: Literal["linear"] = "linear"
    """How the last layer scores classes; that of this detector knows no cosines."""
    head_layers: PositiveInt = 4
    """Convolutions of the towers, which the pyramid's levels share."""
    focal_alpha: Share = 0.25
    """Weight of objects in the focal loss; background weighs the rest to 1."""
    focal_gamma: NonNegativeFloat = 2.0
    """Exponent of the focal loss: the larger, the less easy anchors count."""
    anchor_scale: PositiveFloat | None = None
    """Side of a level's smallest square anchor in strides: 4, the published one, makes 32, 64, ... 512 pixels, 2 suits
    data with many objects of less than 16. None: what `model.anchors` says."""
    anchor_aspect_ratios: AspectRatios | None = None
    """Width / height of a location's anchors. None: what `model.anchors` says (2, 1 and 1/2 are published)."""


class RetinaNetResnetOptions(RetinaNetOptions):
    """Of ``retinanet_resnet50_fpn`` and ``retinanet_resnet50_fpn_v2``."""

    blocks: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (3, 4, 6, 3)
    """Residual blocks of the backbone's stages."""
    stage_filters: tuple[Literal[64], PositiveInt, PositiveInt, PositiveInt] = (64, 128, 256, 512)
    """Channels within the blocks of each stage, a quarter of what leaves it; KerasHub has 64 in the first."""


class RetinaNetDinoV3Options(RetinaNetOptions):
    """Of ``retinanet_dinov3_vit_small``."""

    num_layers: PositiveInt = 12
    """Of the transformer."""
    hidden_dim: PositiveInt = 384
    """Channels of the transformer; its hidden layers have four times as many."""
    num_heads: PositiveInt = 6
    """Of attention; `hidden_dim` must be a multiple of four times as many."""

    @pydantic.model_validator(mode="after")
    def _heads_divide_channels(self) -> RetinaNetDinoV3Options:
        if self.hidden_dim % (4 * self.num_heads):
            raise ValueError(f"hidden_dim ({self.hidden_dim}) must be a multiple of 4 * num_heads ({self.num_heads})")
        return self


class DFineOptions(DetectorOptions):
    """Of ``dfine_nano`` to ``dfine_xlarge``."""

    iou_threshold: Share = 0.7
    """Of non-maximum suppression, and of merging tiles: a box that overlaps a better one of its class by more is left
    out. The published detector has no suppression, which is 1; after a short training some objects are found twice."""
    class_head: Literal["linear"] = "linear"
    """How the last layers score classes; those of this detector know no cosines."""
    width: PositiveFloat = 1.0
    """Multiplies the backbone's channels."""
    hidden_dim: Annotated[int, pydantic.Field(gt=0, multiple_of=8)] | None = None
    """Channels of encoder and decoder, whose attention has eight heads. None: the published number."""
    decoder_layers: PositiveInt | None = None
    """Of the decoder; each refines the boxes of the one before. None: the published number."""
    num_queries: PositiveInt = 300
    """Places of the encoder's maps that the decoder makes boxes of: an image has at most as many objects."""
    denoising_queries: NonNegativeInt = 100
    """Noisy copies of the objects of an image that the decoder learns to restore, and as many that it learns to tell
    from objects. In training only. 0: none."""
    seed: NonNegativeInt | None = None
    """Makes that noise repeatable."""


AnyOptions = (
    Annotated[SsdMobileNetV2Options, pydantic.Tag("ssd_mobilenet_v2")]
    | Annotated[SsdMobileNetV2FpnliteOptions, pydantic.Tag("ssd_mobilenet_v2_fpnlite")]
    | Annotated[EfficientDetOptions, pydantic.Tag("efficientdet_d0 to efficientdet_d7")]
    | Annotated[FasterRcnnResnetOptions, pydantic.Tag("faster_rcnn_resnet50, _resnet101 and _resnet152")]
    | Annotated[FasterRcnnInceptionOptions, pydantic.Tag("faster_rcnn_inception_resnet_v2")]
    | Annotated[RetinaNetResnetOptions, pydantic.Tag("retinanet_resnet50_fpn and _v2")]
    | Annotated[RetinaNetDinoV3Options, pydantic.Tag("retinanet_dinov3_vit_small")]
    | Annotated[DFineOptions, pydantic.Tag("dfine_nano to dfine_xlarge")]
)
"""Tagged with what the documentation of the config calls them."""

OPTIONS: Final[Mapping[str, type[DetectorOptions]]] = {
    "ssd_mobilenet_v2": SsdMobileNetV2Options,
    "ssd_mobilenet_v2_fpnlite": SsdMobileNetV2FpnliteOptions,
    **dict.fromkeys(EFFICIENTDET, EfficientDetOptions),
    **dict.fromkeys(
        ("faster_rcnn_resnet50", "faster_rcnn_resnet101", "faster_rcnn_resnet152"), FasterRcnnResnetOptions
    ),
    "faster_rcnn_inception_resnet_v2": FasterRcnnInceptionOptions,
    **dict.fromkeys(RETINANET, RetinaNetResnetOptions),
    **dict.fromkeys(DINOV3, RetinaNetDinoV3Options),
    **dict.fromkeys(DFINE, DFineOptions),
}
"""By the detector's name."""


def options_of(detector: str, values: Any) -> DetectorOptions:
    """The checked options of a detector.

    Args:
      detector: one of ``names.DETECTORS``.
      values: a mapping, or options.

    Raises:
      pydantic.ValidationError: (a ValueError) an unknown name, with the nearest and all of them, or a wrong value.
    """
    expected = OPTIONS[detector]
    if isinstance(values, DetectorOptions):
        values = values if isinstance(values, expected) else values.model_dump(exclude_unset=True)
    unknown = [name for name in values if name not in expected.model_fields] if isinstance(values, Mapping) else []
    if not unknown:
        return expected.model_validate(values)
    allowed = sorted(expected.model_fields)
    errors = []
    for name in unknown:
        near = difflib.get_close_matches(str(name), allowed, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        error = ValueError(f"{detector} has no option {name!r}{hint} (it has {', '.join(allowed)})")
        errors.append(InitErrorDetails(type="value_error", loc=(name,), input=values[name], ctx={"error": error}))
    raise pydantic.ValidationError.from_exception_data(expected.__name__, errors)
