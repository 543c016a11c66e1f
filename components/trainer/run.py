"""``run_fn`` of the TFX Trainer: settings and artifacts in, a trained and exported detector out."""

from __future__ import annotations

import functools
import pathlib
import posixpath
import time
from contextlib import nullcontext
from typing import Final

import numpy as np
import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from components.atomic_files import write_atomically
from components.detector.detector import Detector, FinishedDetector
from components.detector.registry import as_float32
from components.detector.tiled_detector import tiled
from components.evaluator.coco import coco_metrics
from components.evaluator.operating_point_settings import OperatingPointSettings
from components.export.saved_model import export
from components.trainer.chief import told_workers
from components.trainer.comparison.auto import CHOICE_FILE, asked_to_choose, choose_strategy
from components.trainer.comparison.training import Training
from components.trainer.config_overrides import with_overrides
from components.trainer.evaluation import Evaluation
from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.input.input_pipeline import Parser, evaluation_batches
from components.trainer.input.record_parser import record_parser
from components.trainer.input.record_stream import matching_files
from components.trainer.operating_points import OPERATING_POINT, choose_operating_points, described
from components.trainer.preparation import PreparedTraining, prepare_training
from components.trainer.replicas import check_divides, cluster_place, make_replicas
from components.trainer.settings import TrainConfig
from components.trainer.software import SOFTWARE_FILE, Software
from components.trainer.start_weights import load_start_weights
from components.trainer.state.checkpoint import CheckpointFolder, Progress
from components.trainer.state.checkpoint_claim import claimed_folder
from components.trainer.state.fingerprint import fingerprint
from components.trainer.state.progress_log import ProgressLog
from components.trainer.strategies.strategy import TrainingInputs
from components.trainer.training_loop import train
from components.trainer.training_plan import PLAN_FILE, START_WEIGHTS_FILE, TrainingPlan
from components.trainer.tuning.settings import overrides_of
from components.user_error import UserError

_EVALUATION_SPLIT: Final = "eval"


def run_fn(fn_args: FnArgs) -> None:
    """Trains and exports, in the best way of transfer where `transfer.strategy` leaves it open.

    With ``TF_CONFIG`` it trains together with ``components.trainer.worker``s.
    ``fn_args.custom_config`` holds the sections ``model``, ``transfer`` and ``train`` as JSON text, and
    ``checkpoint_root``, the folder under which unfinished trainings keep their state. ``features_root``, where there is
    one, is the folder of what a frozen backbone made of the images, which trainings share. ``operating_point``, where
    there is one, says as JSON text how the score thresholds are chosen that the export carries; it has none without.
    Among ``fn_args.train_files`` may be the images of ``data.target``, the split ``target``.

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
    devices = TrainConfig.model_validate_json(config["train"])
    # Before anything is computed: TensorFlow learns of other workers at the start of a process or not at all.
    replicas = make_replicas(devices.devices)
    check_divides(replicas, devices.batch_size, devices.batch_parts)
    training = prepare_training(fn_args, config, replicas)
    detector, settings = training.detector, training.settings

    identity = _identity(fn_args, config, training.blessed_model)
    shared = posixpath.join(config["checkpoint_root"], identity)
    own = f"{shared}-{posixpath.basename(fn_args.model_run_dir.rstrip('/'))}"
    # The chief holds the folder that all of them read.
    claim = claimed_folder(shared, own) if replicas.is_chief else nullcontext(shared)
    with claim as folder:
        if workers > 1 and folder != shared:
            raise UserError(f"another process trains the same in {shared}: end it, or wait for it")
        checkpoints = CheckpointFolder(folder, detector.variables, read_only=not replicas.is_chief)
        progress = _begun_or_resumed(training, checkpoints)
        replicas.check_same("settings or data", float(int(identity[:8], 16)))
        replicas.check_same("steps done", progress.step)
        replicas.check_same("weights", float(sum(np.abs(variable.numpy()).sum() for variable in detector.variables)))
        _tell(fn_args.model_run_dir, training.plan, progress)

        log = ProgressLog(
            fn_args.model_run_dir,
            steps=settings.steps,
            batch_size=settings.batch_size,
            line_every_seconds=settings.progress_every_seconds,
            history=progress.history,
        )
        parse = record_parser(fn_args.transform_graph_path)
        records = functools.partial(
            AnnotatedRecords, parse=parse, tiling=training.model.tiling, share=(worker, workers)
        )
        inputs = TrainingInputs(
            settings,
            training.label_map,
            records(training.train_files),
            # A further worker's is its own, as are features that it keeps.
            folder if replicas.is_chief else posixpath.join(fn_args.model_run_dir, "kept"),
            blessed_model=training.blessed_model,
            target_records=records(training.target_files) if training.target_files else None,
            features_root=config.get("features_root") if replicas.is_chief else None,
        )
        train(
            detector,
            training.strategy.phases(detector, inputs),
            settings,
            evaluate=_evaluation(fn_args, parse, training, detector),
            checkpoints=checkpoints,
            progress=progress,
            log=log,
            replicas=replicas,
        )
        if not replicas.is_chief:
            log.close()
            return
        _finish(fn_args, config, parse, training, log, progress.step)
        checkpoints.remove()


def _finish(
    fn_args: FnArgs, config: dict[str, str], parse: Parser, training: PreparedTraining, log: ProgressLog, step: int
) -> None:
    """Exports what the strategy makes of the trained detector, with its score thresholds where they are asked for."""
    finished = training.strategy.finish(training.detector)
    is_another, rule = finished is not training.detector, config.get(OPERATING_POINT)
    # What is measured is what serves: thresholds are scores.
    exported = as_float32(finished) if isinstance(finished, Detector) else finished
    points = None
    if is_another or rule is not None:
        start_seconds = time.monotonic()
        results = _evaluation(fn_args, parse, training, exported, is_whole=True).results()
        if is_another:
            metrics = coco_metrics(results, training.label_map.name_by_index)
            log.message("the detector as it is exported:")
            log.evaluation(step, metrics, time.monotonic() - start_seconds, 0)
        if rule is not None:
            settings = OperatingPointSettings.model_validate_json(rule)
            points = choose_operating_points(results, training.label_map, settings, _EVALUATION_SPLIT)
            for line in described(points):
                log.message(line)
    log.close()
    export(
        fn_args.serving_model_dir,
        exported,
        training.label_map,
        serving_batch_size=training.model.serving_batch_size,
        tiling=training.model.tiling,
        operating_points=points,
    )


def _identity(fn_args: FnArgs, config: dict[str, str], blessed_model: str | None) -> str:
    """Of this training: the same for another attempt at it, and for no other training."""
    files = [*matching_files(fn_args.train_files), *matching_files(fn_args.eval_files)]
    return fingerprint({**config, "warm_start": blessed_model or "", "transform": fn_args.transform_graph_path}, files)


def _begun_or_resumed(training: PreparedTraining, checkpoints: CheckpointFolder) -> Progress:
    """The detector gets the weights of the last checkpoint, or those that the training starts from."""
    progress = checkpoints.restore()
    if progress is not None:
        print(f"going on at step {progress.step} from {checkpoints.folder}", flush=True)
        return progress
    start = load_start_weights(training.detector, training.label_map, training.model, training.blessed_model)
    print(start.summary, flush=True)
    training.strategy.check_start(start.fresh)
    return Progress(start_weights=f"{start.summary}\n\n{start.listing}")


def _tell(folder: str, plan: TrainingPlan, progress: Progress) -> None:
    """What the training starts from, and what it was decided to do, in the log and beside its history; and on what."""
    print("\n".join(plan.lines()), flush=True)
    tf.io.gfile.makedirs(folder)
    for name, text in (
        (START_WEIGHTS_FILE, progress.start_weights),
        (PLAN_FILE, plan.to_json()),
        (SOFTWARE_FILE, Software.of_this_process().to_json()),
    ):
        with tf.io.gfile.GFile(posixpath.join(folder, name), "w") as file:
            file.write(text)


def _evaluation(
    fn_args: FnArgs, parse: Parser, training: PreparedTraining, detector: FinishedDetector, *, is_whole: bool = False
) -> Evaluation:
    """Metrics on the ``eval`` split, or as much of it as is looked at while training."""
    judged, settings = tiled(detector, training.model.tiling), training.settings
    max_images = None if is_whole else settings.evaluate_images

    def batches() -> tf.data.Dataset:
        return evaluation_batches(fn_args.eval_files, parse, judged, settings.batch_size, max_images=max_images)

    return Evaluation(judged, batches, training.label_map.name_by_index)
