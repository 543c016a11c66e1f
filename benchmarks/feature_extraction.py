"""Training on kept features against fine-tuning: images/s side by side, and a whole training on 25 images.

    python -m benchmarks.feature_extraction [--rounds 3] [--steps 3] [--images 25] [CASE ...]

Speed: steps of the strategies' own phases, from their own batches, in one process and in turns, so that a busy machine
slows both; the ratio by core time is that of the processor's time alone. Before it the first pass, which makes the
features.

25 images: the Trainer's ``run_fn`` on a subset of the blood cells (``$SHARED_DIR``, default ``../shared``) from
ImageNet weights, from records to the export, imports not counted. AP is that of the export on the split ``eval``. The
features that the first training makes are there for the others.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.input_pipeline import generated_jpegs, record
from components.detector.registry import build_detector
from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.input.record_parser import parse_clean_records
from components.trainer.optimizer import make_optimizer
from components.trainer.settings import TrainSettings
from components.trainer.strategies.settings.feature_extraction import FeatureExtractionSettings
from components.trainer.strategies.settings.fine_tune import FineTuneSettings
from components.trainer.strategies.settings.strategy import StrategySettings
from components.trainer.strategies.strategy import TrainingInputs, build_strategy
from components.trainer.train_step import TrainStep
from schema.label_map import LabelMap

SHARED = pathlib.Path(os.environ.get("SHARED_DIR", pathlib.Path(__file__).parents[2] / "shared"))
WEIGHTS = SHARED / "weights" / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
BLOOD_CELLS = SHARED / "data" / "bccd_voc" / "BCCD"
CONFIG = pathlib.Path("pipeline/configs/blood_cells_voc.yaml")
FOLDER = pathlib.Path("build/benchmarks/feature_extraction")
DETECTORS = {"ssd_mobilenet_v2": 300, "ssd_mobilenet_v2_fpnlite": 320, "efficientdet_d0": 512}
"""Side of the canvas in pixels."""
IMAGES = 64
BATCH = 8
WAYS: dict[str, dict[str, Any]] = {
    "fine_tune": {"strategy": "fine_tune"},
    "feature_extraction": {"strategy": "feature_extraction"},
    **{name: {"strategy": "feature_extraction", "classifier": name} for name in ("logistic", "svm", "mlp", "knn")},
}
STEPS = 200


@dataclasses.dataclass
class Steps:
    """A strategy's first phase, step by step."""

    run: TrainStep
    batches: Iterator[Any]

    @classmethod
    def of(cls, strategy: StrategySettings, name: str, records: AnnotatedRecords, folder: pathlib.Path) -> Steps:
        """Everything that a first step makes is made."""
        side, settings = DETECTORS[name], TrainSettings(batch_size=BATCH)
        keras.utils.set_random_seed(1)
        detector = build_detector(name, num_classes=3, image_size=(side, side))
        built = build_strategy(strategy)
        built.prepare(detector)
        inputs = TrainingInputs(settings, LabelMap.of_names("abc"), records, str(folder))
        phase = next(iter(built.phases(detector, inputs)))
        optimizer = make_optimizer(phase.optimizer, phase.variables, steps=phase.steps, default_name="adam")
        dataset = phase.make_batches(0)
        steps = cls(TrainStep(phase.losses, phase.variables, optimizer, dataset.element_spec), iter(dataset))
        steps.take(1)
        return steps

    def take(self, count: int) -> tuple[float, float]:
        """Takes steps; images a second, and a second of a core."""
        start, cores = time.perf_counter(), time.process_time()
        for _ in range(count):
            self.run(next(self.batches))
        self.run.mean_losses()  # waits for the last
        images = count * BATCH
        return images / (time.perf_counter() - start), images / (time.process_time() - cores)


def speed_row(name: str, records: AnnotatedRecords, folder: pathlib.Path, rounds: int, steps: int) -> str:
    """The table's line for a detector."""
    fine_tune = Steps.of(FineTuneSettings(), name, records, folder / "none")
    start = time.perf_counter()
    kept = Steps.of(FeatureExtractionSettings(copies=1), name, records, folder / name)
    first_pass = 2 * IMAGES / (time.perf_counter() - start)
    measured = np.array([(fine_tune.take(steps), kept.take(4 * steps)) for _ in range(rounds)])  # [rounds, 2, 2]
    ratios = np.median(measured[:, 1] / measured[:, 0], axis=0)
    speeds = np.median(measured[..., 0], axis=0)
    return (
        f"| {name} | {DETECTORS[name]} px, {BATCH} | {speeds[0]:.1f} | {first_pass:.1f} | {speeds[1]:.1f} "
        f"| {ratios[0]:.1f} | {ratios[1]:.1f} |"
    )


def training_rows(images: int, ways: list[str]) -> Iterator[str]:
    """Lines of the table of trainings."""
    import tfx.v1 as tfx
    from tfx.components.trainer.fn_args_utils import FnArgs
    from tfx.orchestration.pipeline import RunOptions

    from components.evaluator.exported_model import metrics_of_export
    from components.trainer.comparison.subsets import write_subsets
    from components.trainer.input.record_stream import ordered_records
    from components.trainer.run import run_fn
    from pipeline.config import load_config
    from pipeline.graph import create_pipeline, trainer_config

    overrides = [f"root={FOLDER}", f"data.path={BLOOD_CELLS}", f"model.pretrained={WEIGHTS}"]
    overrides += [f"train.steps={STEPS}", f"train.evaluate_every={STEPS}"]
    config = load_config(CONFIG, overrides)
    config.metadata_path.parent.mkdir(parents=True, exist_ok=True)
    tfx.orchestration.LocalDagRunner().run(create_pipeline(config), run_options=RunOptions(to_nodes=["Transform"]))
    examples, transform = (
        max((config.pipeline_root / path).iterdir(), key=lambda folder: int(folder.name))
        for path in ("ObjectDetectionExampleGen/examples", "Transform/transform_graph")
    )
    subset = write_subsets([str(examples / "Split-train" / "*")], [images], 1, FOLDER / "subsets")[0, images]
    shutil.rmtree(config.pipeline_root / "features", ignore_errors=True)
    for way in ways:
        assignments = [f"transfer.{key}={value}" for key, value in WAYS[way].items()]
        folder = FOLDER / way
        shutil.rmtree(folder, ignore_errors=True)
        keras.backend.clear_session()
        start, cores = time.perf_counter(), time.process_time()
        run_fn(
            FnArgs(
                train_files=[f"{subset}/Split-train/*"],
                eval_files=[str(examples / "Split-eval" / "*")],
                transform_graph_path=str(transform),
                model_run_dir=str(folder / "run"),
                serving_model_dir=str(folder / "model"),
                custom_config=trainer_config(load_config(CONFIG, [*overrides, *assignments])),
            )
        )
        seconds, core_seconds = time.perf_counter() - start, time.process_time() - cores
        records = ordered_records([str(examples / "Split-eval" / "*")]).as_numpy_iterator()
        metrics = metrics_of_export(str(folder / "model"), records, BATCH)
        history = [json.loads(line) for line in (folder / "run" / "training_history.jsonl").read_text().splitlines()]
        speeds = [entry["images_per_second"] for entry in history if entry.get("images_per_second")]
        speed = f"{statistics.median(speeds):.1f}"
        yield f"| {way} | {seconds:.0f} | {core_seconds:.0f} | {speed} | {metrics['AP']:.3f} | {metrics['AP50']:.3f} |"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.feature_extraction", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--rounds", type=int, default=3, help="of fine-tuning and kept features in turns")
    parser.add_argument("--steps", type=int, default=3, help="of fine-tuning in a round")
    parser.add_argument("--images", type=int, default=25, help="of the whole trainings")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"(default: all) {', '.join([*DETECTORS, *WAYS])}")
    options = parser.parse_args(argv)
    if unknown := set(options.cases) - {*DETECTORS, *WAYS}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join([*DETECTORS, *WAYS])}")
    detectors, ways = ([name for name in names if name in (options.cases or names)] for names in (DETECTORS, WAYS))
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as name:
        path, random = f"{name}/train.gz", np.random.default_rng(0)
        with tf.io.TFRecordWriter(path, "GZIP") as writer:
            for number, encoded in enumerate(generated_jpegs(IMAGES, 480, 640)):
                writer.write(record(encoded, number, random))
        records = AnnotatedRecords([path], parse_clean_records)
        speeds = [
            speed_row(detector, records, pathlib.Path(name), options.rounds, options.steps) for detector in detectors
        ]
        trainings = list(training_rows(options.images, ways)) if ways else []
    if speeds:
        print(
            "| detector | canvas, batch | fine_tune, images/s | first pass with all that it compiles | kept features, "
            "images/s | ratio | ratio by core time |"
        )
        print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
        print("\n".join(speeds))
    if trainings:
        print(f"\n{options.images} images of blood cells, ssd_mobilenet_v2_fpnlite, {STEPS} steps of {BATCH}:\n")
        print("| transfer | seconds | core seconds | images/s of the steps | AP | AP50 |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        print("\n".join(trainings))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
