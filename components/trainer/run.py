"""``run_fn`` of the TFX Trainer: settings and artifacts in, a trained and exported detector out."""

from __future__ import annotations

import pathlib
import posixpath
import time
from contextlib import nullcontext

import keras
import numpy as np
import pydantic
import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from components.atomic_files import write_atomically
from components.detector.detector import ImageDetector
from components.detector.registry import build_detector, detector_class
from components.detector.tiled_detector import tiled
from components.export.saved_model import export
from components.split_names import UNLABELLED
from components.trainer.anchor_choice import choose_anchors
from components.trainer.chief import told_workers
from components.trainer.class_weights import class_weights
from components.trainer.comparison.auto import CHOICE_FILE, asked_to_choose, choose_strategy
from components.trainer.comparison.training import Training
from components.trainer.config_overrides import with_overrides
from components.trainer.evaluation import Evaluation
from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.input.input_pipeline import Parser, evaluation_batches
from components.trainer.input.record_parser import record_parser
from components.trainer.input.record_stream import matching_files
from components.trainer.replicas import check_divides, cluster_place, make_replicas
from components.trainer.settings import ModelSettings, TrainConfig, TrainSettings
from components.trainer.start_weights import load_start_weights
from components.trainer.state.checkpoint import CheckpointFolder, Progress
from components.trainer.state.checkpoint_claim import claimed_folder
from components.trainer.state.fingerprint import fingerprint
from components.trainer.state.progress_log import ProgressLog
from components.trainer.strategies.keeping.blessed_teacher import with_classes_of
from components.trainer.strategies.settings.keep import KeepingSettings
from components.trainer.strategies.settings.transfer import TransferSettings
from components.trainer.strategies.strategy import TrainingInputs, build_strategy
from components.trainer.training_loop import train
from components.trainer.training_plan import PLAN_FILE, TrainingPlan
from components.trainer.training_profile import training_profile
from components.trainer.training_rules import automatic_batch_norm_momentum, planned_settings
from components.trainer.tuning.settings import overrides_of
from components.transform.outputs import class_names
from components.user_error import UserError
from schema.label_map import LabelMap


def run_fn(fn_args: FnArgs) -> None:
    """Trains and exports, in the best way of transfer where `transfer.strategy` leaves it open.

    With ``TF_CONFIG`` it trains together with ``components.trainer.worker``s.
    ``fn_args.custom_config`` holds the sections ``model``, ``transfer`` and ``train`` as JSON text, and
    ``checkpoint_root``, the folder under which unfinished trainings keep their state. ``features_root``, where there is
    one, is the folder of what a frozen backbone made of the images, which trainings share. Among
    ``fn_args.train_files`` may be the images of ``data.target``, the split ``target``.

    Raises:
      NothingChosenError: `auto` was asked for, and no way of transfer could be tried.
      NonFiniteLossError, UnusableRecordError, NoRecordsError: the data or the settings do not allow to train.
      CheckpointError: the start weights do not fit the detector.
      TrainingInterrupted: the process was asked to end; the next execution goes on.
      WorkerGoneError: another worker does not answer any more, or trains something else.
    """
    config: dict[str, str] = fn_args.custom_config
    if fn_args.hyperparameters is not None:
        best = overrides_of(fn_args.hyperparameters["values"])
        print(f"the best of the search: {', '.join(f'{key} {value}' for key, value in best.items())}", flush=True)
        config = with_overrides(config, best)
    auto = asked_to_choose(config)
    if auto is None:
        _train_and_export(fn_args, config)
        return
    training = Training(
        config,
        tuple(fn_args.train_files),
        tuple(fn_args.eval_files),
        tuple(fn_args.eval_files),
        fn_args.transform_graph_path,
        fn_args.base_model,
    )
    shared = posixpath.join(config["checkpoint_root"], f"auto-{training.identity}")
    with claimed_folder(shared, f"{shared}-{posixpath.basename(fn_args.model_run_dir.rstrip('/'))}") as folder:
        chosen, summary = choose_strategy(auto, training, pathlib.Path(folder))
        tf.io.gfile.makedirs(fn_args.model_run_dir)
        write_atomically(posixpath.join(fn_args.model_run_dir, CHOICE_FILE), summary.json().encode())
        _train_and_export(fn_args, chosen)
        # Until now: a training that is killed finds what was tried.
        tf.io.gfile.rmtree(folder)


def _train_and_export(fn_args: FnArgs, config: dict[str, str]) -> None:
    """Trains and exports in one way, together with the other workers where there are some."""
    worker, workers = cluster_place()
    with told_workers(fn_args, config) if workers > 1 and worker == 0 else nullcontext():
        _train_together(fn_args, config, worker, workers)


def _train_together(fn_args: FnArgs, config: dict[str, str], worker: int, workers: int) -> None:
    model = ModelSettings.model_validate_json(config["model"])
    transfer: TransferSettings = pydantic.TypeAdapter(TransferSettings).validate_json(config["transfer"])
    train_config = TrainConfig.model_validate_json(config["train"])
    # Before anything is computed: TensorFlow learns of other workers at the start of a process or not at all.
    replicas = make_replicas(train_config.devices)
    check_divides(replicas, train_config.batch_size, train_config.batch_parts)
    label_map = class_names(fn_args.transform_graph_path)
    warm_start = fn_args.base_model if transfer.warm_start_from_blessed else None
    if warm_start is not None and isinstance(transfer, KeepingSettings) and transfer.keep is not None:
        label_map = with_classes_of(label_map, warm_start)
    target_files = [pattern for pattern in fn_args.train_files if _split_of(pattern) == UNLABELLED]
    train_files = [pattern for pattern in fn_args.train_files if pattern not in target_files]
    profile = training_profile(train_files)
    settings = planned_settings(
        train_config,
        images=profile.images,
        from_scratch=model.pretrained is None and not warm_start,
        warm_start=bool(warm_start),
        default_optimizer=detector_class(model.detector).default_optimizer,
    )
    momentum = model.options.batch_norm_momentum
    if momentum is None:
        momentum = automatic_batch_norm_momentum(settings.steps)

    # Before the first layer is made. Never 0: beside a global seed of 0, tf.data takes no seed that is a tensor.
    keras.utils.set_random_seed(settings.seed + 1)
    keras.mixed_precision.set_dtype_policy(settings.precision)
    detector = build_detector(
        model.detector,
        num_classes=label_map.ids[-1],
        image_size=model.image_size,
        **{**dict(model.options), "batch_norm_momentum": momentum},
    )
    chosen_anchors = choose_anchors(detector, model, profile, warm_start)
    if settings.class_weights is not None:
        detector.class_weights = class_weights(settings.class_weights, profile.class_counts, label_map)
    strategy = build_strategy(transfer)
    strategy.prepare(detector)

    files = [*matching_files(fn_args.train_files), *matching_files(fn_args.eval_files)]
    identity = fingerprint({**config, "warm_start": warm_start or "", "transform": fn_args.transform_graph_path}, files)
    shared = posixpath.join(config["checkpoint_root"], identity)
    own = f"{shared}-{posixpath.basename(fn_args.model_run_dir.rstrip('/'))}"
    # The chief holds the folder that all of them read.
    claim = claimed_folder(shared, own) if replicas.is_chief else nullcontext(shared)
    with claim as folder:
        if workers > 1 and folder != shared:
            raise UserError(f"another process trains the same in {shared}: end it, or wait for it")
        checkpoints = CheckpointFolder(folder, detector.variables, read_only=not replicas.is_chief)
        progress = checkpoints.restore()
        if progress is None:
            start = load_start_weights(detector, label_map, model, warm_start)
            progress = Progress(start_weights=f"{start.summary}\n\n{start.listing}")
            print(start.summary, flush=True)
            strategy.check_start(start.fresh)
        else:
            print(f"going on at step {progress.step} from {checkpoints.folder}", flush=True)
        replicas.check_same("settings or data", float(int(identity[:8], 16)))
        replicas.check_same("steps done", progress.step)
        replicas.check_same("weights", float(sum(np.abs(variable.numpy()).sum() for variable in detector.variables)))
        tf.io.gfile.makedirs(fn_args.model_run_dir)
        with tf.io.gfile.GFile(posixpath.join(fn_args.model_run_dir, "start_weights.txt"), "w") as file:
            file.write(progress.start_weights)
        plan = TrainingPlan.of(settings, momentum, profile.images, chosen_anchors)
        print("\n".join(plan.lines()), flush=True)
        with tf.io.gfile.GFile(posixpath.join(fn_args.model_run_dir, PLAN_FILE), "w") as file:
            file.write(plan.to_json())

        log = ProgressLog(
            fn_args.model_run_dir,
            steps=settings.steps,
            batch_size=settings.batch_size,
            line_every_seconds=settings.progress_every_seconds,
            history=progress.history,
        )
        parse = record_parser(fn_args.transform_graph_path)

        share = (worker, workers)
        inputs = TrainingInputs(
            settings,
            label_map,
            AnnotatedRecords(train_files, parse, model.tiling, share),
            # A further worker's is its own, as are features that it keeps.
            folder if replicas.is_chief else posixpath.join(fn_args.model_run_dir, "kept"),
            blessed_model=warm_start,
            target_records=AnnotatedRecords(target_files, parse, model.tiling, share) if target_files else None,
            features_root=config.get("features_root") if replicas.is_chief else None,
        )
        train(
            detector,
            strategy.phases(detector, inputs),
            settings,
            evaluate=_evaluation(fn_args, parse, tiled(detector, model.tiling), settings, label_map),
            checkpoints=checkpoints,
            progress=progress,
            log=log,
            replicas=replicas,
        )
        if not replicas.is_chief:
            log.close()
            return
        finished = strategy.finish(detector)
        if finished is not detector:
            start_seconds = time.monotonic()
            metrics = _evaluation(fn_args, parse, tiled(finished, model.tiling), settings, label_map)()
            log.message("the detector as it is exported:")
            log.evaluation(progress.step, metrics, time.monotonic() - start_seconds, 0)
        log.close()
        export(
            fn_args.serving_model_dir,
            finished,
            label_map,
            serving_batch_size=model.serving_batch_size,
            tiling=model.tiling,
        )
        checkpoints.remove()


def _split_of(pattern: str) -> str:
    """The split whose record files a pattern matches: ``<examples>/Split-train/*`` -> ``train``."""
    return posixpath.basename(posixpath.dirname(pattern)).removeprefix("Split-")


def _evaluation(
    fn_args: FnArgs, parse: Parser, detector: ImageDetector, settings: TrainSettings, label_map: LabelMap
) -> Evaluation:
    """Metrics on the ``eval`` split."""

    def batches() -> tf.data.Dataset:
        return evaluation_batches(
            fn_args.eval_files, parse, detector, settings.batch_size, max_images=settings.evaluate_images
        )

    return Evaluation(detector, batches, label_map.name_by_index)
