"""``run_fn`` of the TFX Trainer: settings and artifacts in, a trained and exported detector out."""

from __future__ import annotations

import importlib
import posixpath
from collections.abc import Callable

import keras
import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.export.saved_model import export
from components.trainer.evaluation import Evaluation
from components.trainer.input.corrupt_images import CorruptImages
from components.trainer.input.input_pipeline import Parser, evaluation_batches, training_batches
from components.trainer.input.record_parser import record_parser
from components.trainer.input.record_stream import matching_files
from components.trainer.optimizer import make_optimizer
from components.trainer.settings import ModelSettings, TrainSettings, TransferSettings
from components.trainer.start_weights import load_start_weights
from components.trainer.state.checkpoint import CheckpointFolder, Progress, fingerprint
from components.trainer.state.checkpoint_claim import claimed_folder
from components.trainer.state.progress_log import ProgressLog
from components.trainer.training_loop import train
from components.transform.outputs import class_names
from schema.label_map import LabelMap


def run_fn(fn_args: FnArgs) -> None:
    """Trains and exports.

    ``fn_args.custom_config`` holds the sections ``model``, ``transfer`` and ``train`` as JSON text, and
    ``checkpoint_root``, the folder under which unfinished trainings keep their state.

    Raises:
      NonFiniteLossError, CorruptImagesError, NoRecordsError: the data or the settings do not allow to train.
      CheckpointError: the start weights do not fit the detector.
      TrainingInterrupted: the process was asked to end; the next execution goes on.
    """
    config = fn_args.custom_config
    model = ModelSettings.model_validate_json(config["model"])
    transfer = TransferSettings.model_validate_json(config["transfer"])
    settings = TrainSettings.model_validate_json(config["train"])
    label_map = class_names(fn_args.transform_graph_path)

    # Before the first layer is made. Never 0: beside a global seed of 0, tf.data takes no seed that is a tensor.
    keras.utils.set_random_seed(settings.seed + 1)
    keras.mixed_precision.set_dtype_policy(settings.precision)
    detector = build_detector(
        model.detector, num_classes=label_map.ids[-1], image_size=model.image_size, **model.options
    )
    importlib.import_module(f"components.trainer.strategies.{transfer.strategy}").apply(detector, transfer)
    optimizer = make_optimizer(settings, detector)

    warm_start = fn_args.base_model if transfer.warm_start_from_blessed else None
    inputs = [*matching_files(fn_args.train_files), *matching_files(fn_args.eval_files)]
    identity = fingerprint(
        {**config, "warm_start": warm_start or "", "transform": fn_args.transform_graph_path}, inputs
    )
    shared = posixpath.join(config["checkpoint_root"], identity)
    own = f"{shared}-{posixpath.basename(fn_args.model_run_dir.rstrip('/'))}"
    with claimed_folder(shared, own) as folder:
        checkpoints = CheckpointFolder(
            folder,
            [*detector.variables, *optimizer.variables],
            detector.variables,
        )
        progress = checkpoints.restore()
        if progress is None:
            start = load_start_weights(detector, label_map, model, warm_start)
            progress = Progress(start_weights=f"{start.summary}\n\n{start.listing}")
            print(start.summary, flush=True)
        else:
            print(f"going on at step {progress.step} from {checkpoints.folder}", flush=True)
        tf.io.gfile.makedirs(fn_args.model_run_dir)
        with tf.io.gfile.GFile(posixpath.join(fn_args.model_run_dir, "start_weights.txt"), "w") as file:
            file.write(progress.start_weights)

        log = ProgressLog(
            fn_args.model_run_dir,
            steps=settings.steps,
            batch_size=settings.batch_size,
            line_every_seconds=settings.progress_every_seconds,
            history=progress.history,
        )
        parse = record_parser(fn_args.transform_graph_path)
        make_batches, repair = _training_input(fn_args, parse, detector, settings, log)
        train(
            detector,
            optimizer,
            settings,
            make_batches=make_batches,
            repair=repair,
            evaluate=_evaluation(fn_args, parse, detector, settings, label_map, log),
            checkpoints=checkpoints,
            progress=progress,
            log=log,
        )
        log.close()
        export(fn_args.serving_model_dir, detector, label_map, serving_batch_size=model.serving_batch_size)
        checkpoints.remove()


def _training_input(
    fn_args: FnArgs, parse: Parser, detector: Detector, settings: TrainSettings, log: ProgressLog
) -> tuple[Callable[[int], tf.data.Dataset], Callable[[], bool]]:
    """Makes batches from a step on; and looks for damaged images, to leave them out."""
    corrupt = CorruptImages(fn_args.train_files, settings.input.max_corrupt_share, log.message)

    def make_batches(start_step: int) -> tf.data.Dataset:
        return training_batches(
            fn_args.train_files,
            parse,
            detector,
            settings,
            start_step=start_step,
            skip_source_ids=corrupt.source_ids,
        )

    return make_batches, corrupt.find


def _evaluation(
    fn_args: FnArgs, parse: Parser, detector: Detector, settings: TrainSettings, label_map: LabelMap, log: ProgressLog
) -> Callable[[], dict[str, float]]:
    """Metrics on the ``eval`` split, without images that turn out to be damaged."""
    corrupt = CorruptImages(fn_args.eval_files, settings.input.max_corrupt_share, log.message)
    evaluation = Evaluation(
        detector,
        lambda: evaluation_batches(
            fn_args.eval_files,
            parse,
            detector,
            settings.batch_size,
            max_images=settings.evaluate_images,
            skip_source_ids=corrupt.source_ids,
        ),
        label_map.name_by_index,
    )

    def evaluate() -> dict[str, float]:
        try:
            return evaluation()
        except tf.errors.InvalidArgumentError:
            if not corrupt.find():
                raise
            return evaluation()

    return evaluate
