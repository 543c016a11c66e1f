"""What the ``model`` and ``train`` sections of the config hold.

Imports neither TensorFlow nor TFX: a mistake in the config is found before anything heavy is loaded.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import pydantic

from components.detector.names import KERAS_HUB_DETECTORS, check_detector_name
from components.detector.options import AnyOptions, options_of
from components.detector.tiling_settings import TilingSettings
from components.path_settings import KERAS_HUB, Source
from components.settings import Settings
from components.trainer.augmentation_settings import AugmentationSettings

Share = Annotated[float, pydantic.Field(ge=0.0, le=1.0)]
Precision = Literal["float32", "mixed_float16", "mixed_bfloat16"]


class ModelSettings(Settings):
    """Which detector is built and what it starts from."""

    detector: str = "ssd_mobilenet_v2_fpnlite"
    """Name of the detector, one of those in components/detector/names.py."""
    image_size: tuple[pydantic.PositiveInt, pydantic.PositiveInt] | None = None
    """Height and width in pixels of the canvas the detector sees. None: the detector's own size (320 x 320 for
    ssd_mobilenet_v2_fpnlite)."""
    pretrained: Source | None = "imagenet"
    """What the weights start from: `imagenet` (the backbone, through keras.applications, which downloads it), a path
    (zoo checkpoint folder or ckpt prefix, .weights.h5, .keras, keras.applications .h5, a pushed version),
    `kerashub:PRESET` (a name that KerasHub knows and downloads, or a folder of its `save_to_preset`; the `retinanet`s
    and `dfine`s start from these), or None to train from scratch. Relative paths are resolved against the current
    directory. In Cloud Storage (`gs://`) may lie what is no .keras and no keras.applications file."""
    pretrained_classes: Literal["new", "map"] = "new"
    """Class-specific weights of a pretrained detector: `new` starts them afresh, `map` keeps those of classes whose
    name both label maps hold."""
    anchors: Literal["auto", "data", "options"] = "auto"
    """Where anchors come from: `data`, chosen for the box sizes of the training images; `options`, those of
    `model.options`, which are the published ones where it does not say. `auto`: `options` where `model.options` says
    something about anchors, else those that the start weights' heads have learnt with (the last blessed model's, a zoo
    checkpoint's), else, from ImageNet weights or from scratch, `data`. The `dfine`s have no anchors."""
    tiling: TilingSettings | None = None
    """Cut large images into tiles, for small objects. None: each image is seen as a whole."""
    serving_batch_size: pydantic.PositiveInt = 8
    """Largest batch the exported model is warmed up with when a server loads it (the other is 1)."""
    options: AnyOptions = pydantic.Field(default={}, validate_default=True)
    """What the detector's architecture leaves open, such as `alpha: 0.35` of the SSDs; which keys there are depends on
    `model.detector`."""

    @pydantic.field_validator("detector")
    @classmethod
    def _known_detector(cls, name: str) -> str:
        check_detector_name(name)
        return name

    @pydantic.field_validator("options", mode="before")
    @classmethod
    def _of_the_detector(cls, options: Any, info: pydantic.ValidationInfo) -> Any:
        # A detector that does not exist is an error of its own.
        return options_of(info.data["detector"], options) if "detector" in info.data else {}

    @pydantic.model_validator(mode="after")
    def _weights_of_its_kind(self) -> ModelSettings:
        if self.detector in KERAS_HUB_DETECTORS and self.pretrained == "imagenet":
            raise ValueError(
                f"pretrained: keras.applications has no weights for the backbone of {self.detector}; set "
                "kerashub:PRESET (docs/transfer.md has the presets that fit), or null"
            )
        if self.detector not in KERAS_HUB_DETECTORS and (self.pretrained or "").startswith(KERAS_HUB):
            raise ValueError(
                f"pretrained: presets of KerasHub fit {', '.join(KERAS_HUB_DETECTORS)}, not {self.detector}"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _one_source_of_anchors(self) -> ModelSettings:
        if self.anchors == "data" and not self.options.has_anchors:
            raise ValueError(f"anchors: data chooses anchors, and {self.detector} has none; leave it out")
        if self.anchors == "data" and self.options.gives_anchors:
            given = [name for name in self.options.published_anchors if getattr(self.options, name) is not None]
            raise ValueError(f"anchors: data chooses what options gives ({', '.join(given)}); leave one of them out")
        return self


class OptimizerSettings(Settings):
    """The optimizer and its learning rate over time."""

    name: Literal["adam", "sgd"] | None = None
    """`sgd` has momentum. None: what suits the detector, `sgd` for Faster R-CNN, `adam` for the others. (Steps of Adam
    drive the ReLU6 of Faster R-CNN's proposal network into saturation, where it learns nothing any more.)"""
    learning_rate: pydantic.PositiveFloat | None = None
    """The peak, reached after the warm-up. None: for `adam` 0.001 at 8 images a batch, growing with the square root of
    the batch up to 0.004; for `sgd` 0.01 at 16 images a batch, growing with the batch; a fifth of it for the
    `dfine`s, which are transformers; half of it after a warm start from the last blessed model, whose weights large
    steps would lose."""
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    """What follows the warm-up: a half cosine down to `final_learning_rate_share`, a fall by `step_factor` at each of
    `step_boundaries`, or no change."""
    step_boundaries: tuple[Annotated[float, pydantic.Field(gt=0.0, lt=1.0)], ...] = (0.67, 0.89)
    """Where the learning rate falls, as rising shares of all steps (`step`)."""
    step_factor: Annotated[float, pydantic.Field(gt=0.0, lt=1.0)] = 0.1
    """What it is multiplied with there (`step`)."""
    warmup_share: Share = 0.05
    """Share of all steps over which the learning rate grows linearly from 0."""
    final_learning_rate_share: Share = 0.0
    """Learning rate at the last step as a share of the peak (cosine)."""
    momentum: Share = 0.9
    """Momentum of `sgd`, beta 1 of `adam`."""
    weight_decay: pydantic.NonNegativeFloat = 0.0
    """Decoupled weight decay on kernels (never on biases and normalisation); beside the detector's own L2 losses."""
    clip_norm: pydantic.PositiveFloat | None = 10.0
    """Gradients are scaled down to this global norm. None: never."""
    ema_momentum: Annotated[float, pydantic.Field(gt=0.0, lt=1.0)] | None = None
    """Average the weights over time with this momentum (say 0.999), evaluate and export the average. None: do not."""

    @pydantic.field_validator("step_boundaries")
    @classmethod
    def _rising(cls, boundaries: tuple[float, ...]) -> tuple[float, ...]:
        if list(boundaries) != sorted(set(boundaries)):
            raise ValueError(f"expected rising shares, found {', '.join(map(str, boundaries))}")
        return boundaries


class InputSettings(Settings):
    """How records become batches."""

    shuffle_memory_megabytes: pydantic.PositiveInt = 256
    """Memory for shuffling records (encoded images)."""
    replay_share: Share | None = None
    """Share of the images of a batch that is of earlier spans (``data.span_window``), however many each span has: what
    was known is not forgotten over what is new. 0.5 shows both alike. None: as often as there are images of each."""
    parallel_images: pydantic.PositiveInt | None = None
    """Images decoded at the same time. None: TensorFlow finds out."""


class SamplingSettings(Settings):
    """How often images are shown."""

    repeat_threshold: Share | None = None
    """Images with rare classes come several times an epoch (repeat-factor sampling): a class that a smaller share f of
    the images holds than this t makes its images come sqrt(t / f) times. 0.001 is LVIS's, with its 100000 images; some
    hundred images with a long tail take 0.05 to 0.2. None: every image once an epoch."""


class TrainConfig(Settings):
    """The training, as the config says it: what is `auto` is decided when the data and the start weights are known."""

    steps: pydantic.PositiveInt | Literal["auto"] = "auto"
    """Number of batches. `auto`: 30 epochs (90 from scratch), at least 600 steps and at most 1440000 images, which is
    12 epochs of COCO."""
    batch_size: pydantic.PositiveInt = 16
    """Images in a batch, of all devices and workers together: what one update learns from."""
    batch_parts: pydantic.PositiveInt = 1
    """Parts that each device computes one after the other before the one update (gradient accumulation): a batch needs
    the memory of a part. Steps, schedule and averages count updates. Batch normalisation and losses that are divided by
    the number of matched anchors see a part at a time, as they see a device's share."""
    devices: Literal["auto"] | tuple[str, ...] = "auto"
    """Devices of a machine that share every batch, such as `[GPU:0, GPU:1]`. `auto`: all GPUs, when there are more than
    one. Several machines: docs/transfer.md."""
    optimizer: OptimizerSettings = OptimizerSettings()
    """The optimizer and its learning rate over time."""
    augmentation: AugmentationSettings | None = AugmentationSettings()
    """Random changes to the training images. None: the images as they are."""
    class_weights: dict[str, pydantic.PositiveFloat] | Literal["balanced", "effective_number"] | None = None
    """How much classes count in the classification loss: factors by name (1 for the others); `balanced`, inverse to
    their numbers of boxes; `effective_number`, inverse but not for more than some thousand boxes (Cui et al. 2019).
    None: all alike."""
    sampling: SamplingSettings = SamplingSettings()
    """How often images are shown."""
    input: InputSettings = InputSettings()
    """How records become batches."""
    evaluate_every: pydantic.PositiveInt | None = None
    """Steps between evaluations on the `eval` split; the best model by AP is the one exported. None: ten evaluations
    over the training."""
    evaluate_images: pydantic.PositiveInt | None = None
    """Evaluate on at most this many images during training. None: all of the `eval` split."""
    early_stopping_patience: pydantic.PositiveInt | None = None
    """Stop after this many evaluations in a row without a better AP. None: never."""
    checkpoint_every_seconds: pydantic.NonNegativeFloat = 120.0
    """At most this much work is lost when the process is killed. 0: a checkpoint at every step."""
    progress_every_seconds: pydantic.PositiveFloat = 15.0
    """Time between progress lines in a log; a terminal shows one line that is kept up to date."""
    precision: Precision | Literal["auto"] = "float32"
    """What is computed in: the mixed ones keep variables in float32 and need hardware that is made for
    them (`mixed_bfloat16` a GPU of Ampere or later, or a CPU with AMX). `auto`: `float32` or `mixed_bfloat16`,
    whichever takes less time for ten steps on the machine that trains, which costs about a minute."""
    seed: Annotated[int, pydantic.Field(ge=0, lt=2**31)] = 0
    """Seed of initial weights, order and augmentation."""

    @pydantic.model_validator(mode="after")
    def _one_way_of_sampling(self) -> TrainConfig:
        if self.sampling.repeat_threshold is not None and self.input.replay_share is not None:
            raise ValueError(
                "sampling.repeat_threshold and input.replay_share both say how often an image is shown; leave one out"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _enough_images_to_mix(self) -> TrainConfig:
        needed = 1 if self.augmentation is None else self.augmentation.images_mixed
        if self.batch_size < needed:
            raise ValueError(
                f"augmentation makes one image of {needed} of its batch (mosaic, mixup), so batch_size must be at "
                f"least {needed}, found {self.batch_size}"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _batch_divides(self) -> TrainConfig:
        devices = 1 if self.devices == "auto" else len(self.devices)
        if devices == 0:
            raise ValueError("devices: expected `auto` or at least one device, found none")
        if self.batch_size % (devices * self.batch_parts):
            raise ValueError(
                f"batch_size: found {self.batch_size}, expected a multiple of {devices * self.batch_parts}: "
                f"{self.batch_parts} part(s) on {devices} device(s) (batch_parts, devices)"
            )
        return self


class TrainSettings(TrainConfig):
    """The training itself: nothing is `auto` any more."""

    steps: pydantic.PositiveInt = 1000
    """Number of batches."""
    precision: Precision = "float32"
    """What is computed in."""

    def with_images_alike(self) -> Self:
        """The same without what shows some images more often than others: every image once an epoch."""
        plain_input = self.input.model_copy(update={"replay_share": None})
        return self.model_copy(update={"input": plain_input, "sampling": SamplingSettings()})

    @property
    def evaluation_interval(self) -> int:
        """Steps between evaluations."""
        return self.evaluate_every or max(1, -(-self.steps // 10))
