"""What is decided before a training begins: files, classes, steps, anchors, the detector and how it is adapted."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras
import pydantic
from tfx.components.trainer.fn_args_utils import FnArgs

from components.detector.detector import Detector
from components.detector.registry import build_detector, detector_class
from components.split_names import UNLABELLED
from components.trainer.anchor_choice import choose_anchors
from components.trainer.class_weights import class_weights
from components.trainer.precision_choice import choose_precision
from components.trainer.replicas import ONE_DEVICE, Replicas
from components.trainer.settings import ModelSettings, TrainConfig, TrainSettings
from components.trainer.strategies.keeping.blessed_teacher import with_classes_of
from components.trainer.strategies.settings.keep import KeepingSettings
from components.trainer.strategies.settings.transfer import TransferSettings
from components.trainer.strategies.strategy import Strategy, build_strategy
from components.trainer.training_plan import ChosenPrecision, TrainingPlan
from components.trainer.training_profile import training_profile
from components.trainer.training_rules import automatic_batch_norm_momentum, planned_settings
from components.transform.outputs import class_names
from components.user_error import UserError
from schema.label_map import LabelMap


@dataclass(frozen=True)
class PreparedTraining:
    """A training that has not begun.

    Attributes:
      model: the section of that name.
      settings: of the training, nothing in them left open.
      plan: what became of what was left open.
      label_map: the classes that the detector has.
      detector: freshly built, its weights at random, prepared by the strategy.
      strategy: how it is adapted.
      blessed_model: SavedModel folder of the last blessed model, where one is to be started from.
      train_files: globs of the annotated records.
      target_files: globs of the images of ``data.target``.
    """

    model: ModelSettings
    settings: TrainSettings
    plan: TrainingPlan
    label_map: LabelMap
    detector: Detector
    strategy: Strategy
    blessed_model: str | None
    train_files: list[str]
    target_files: list[str]


def prepare_training(fn_args: FnArgs, config: Mapping[str, str], replicas: Replicas = ONE_DEVICE) -> PreparedTraining:
    """Decides what the config leaves open by the training images, and builds the detector.

    Also sets the seed and the precision of everything that follows in this process.

    Args:
      fn_args: where records, transform graph and the last blessed model are.
      config: the sections ``model``, ``transfer`` and ``train`` as JSON text.
      replicas: the devices and workers that share every batch.

    Raises:
      UserError: `train.precision: auto` with several workers.
    """
    model = ModelSettings.model_validate_json(config["model"])
    transfer: TransferSettings = pydantic.TypeAdapter(TransferSettings).validate_json(config["transfer"])
    label_map = class_names(fn_args.transform_graph_path)
    blessed_model = fn_args.base_model if transfer.warm_start_from_blessed else None
    if blessed_model is not None and isinstance(transfer, KeepingSettings) and transfer.keep is not None:
        label_map = with_classes_of(label_map, blessed_model)
    target_files = [pattern for pattern in fn_args.train_files if _split_of(pattern) == UNLABELLED]
    train_files = [pattern for pattern in fn_args.train_files if pattern not in target_files]

    def build(batch_norm_momentum: float) -> Detector:
        return build_detector(
            model.detector,
            num_classes=label_map.ids[-1],
            image_size=model.image_size,
            **{**dict(model.options), "batch_norm_momentum": batch_norm_momentum},
        )

    profile = training_profile(train_files)
    architecture = detector_class(model.detector)
    train = TrainConfig.model_validate_json(config["train"])
    precision = measured_precision(train, build, replicas)
    settings = planned_settings(
        train,
        images=profile.images,
        from_scratch=model.pretrained is None and not blessed_model,
        warm_start=bool(blessed_model),
        default_optimizer=architecture.default_optimizer,
        learning_rate_share=architecture.learning_rate_share,
        precision=precision.name,
    )
    momentum = model.options.batch_norm_momentum
    if momentum is None:
        momentum = automatic_batch_norm_momentum(settings.steps)

    # Before the first layer is made. Never 0: beside a global seed of 0, tf.data takes no seed that is a tensor.
    keras.utils.set_random_seed(settings.seed + 1)
    keras.mixed_precision.set_dtype_policy(settings.precision)
    detector = build(momentum)
    anchors = choose_anchors(detector, model, profile, blessed_model)
    if settings.class_weights is not None:
        detector.class_weights = class_weights(settings.class_weights, profile.class_counts, label_map)
    strategy = build_strategy(transfer)
    strategy.prepare(detector)
    return PreparedTraining(
        model,
        settings,
        TrainingPlan.of(settings, precision, momentum, profile.images, anchors),
        label_map,
        detector,
        strategy,
        blessed_model,
        train_files,
        target_files,
    )


def measured_precision(train: TrainConfig, build: Callable[[float], Detector], replicas: Replicas) -> ChosenPrecision:
    """What is computed in: what the config says, or what is faster on this machine.

    Args:
      train: the section of the config.
      build: a detector by its momentum of batch normalisation, in the global dtype policy.
      replicas: the devices and workers that share every batch.

    Raises:
      UserError: several workers, each of which could find something else.
    """
    if train.precision != "auto":
        return ChosenPrecision(train.precision)
    if replicas.workers > 1:
        raise UserError(
            f"train.precision: auto measures the machine it runs on, and {replicas.workers} workers could each choose "
            "another; name a precision (docs/transfer.md)"
        )
    print("train.precision: auto: ten steps in each precision ...", flush=True)
    # The momentum of a statistic costs no time.
    return choose_precision(lambda: build(0.99), train.batch_size // (replicas.count * train.batch_parts))


def _split_of(pattern: str) -> str:
    """The split whose record files a pattern matches: ``<examples>/Split-train/*`` -> ``train``."""
    return posixpath.basename(posixpath.dirname(pattern)).removeprefix("Split-")
