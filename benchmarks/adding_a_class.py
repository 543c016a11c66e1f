"""A class is added to a trained detector: what the old classes lose, by way of keeping them.

    python -m benchmarks.adding_a_class [CASE ...] [--seeds 1] [--ways WAY ...]

A detector learns the old classes from the first half of the training images (span 1), in which the new class is not
annotated. It goes on from there with those images of the second half (span 2) that show the new class, in which nothing
else is annotated. AP is that of the `eval` split, with all classes annotated.

Cases: `scenes`, the demo's generated street scenes from the shipped checkpoint, and `blood_cells`, BCCD from ImageNet
weights (both from `$SHARED_DIR`, default `../shared`). What is done is appended to results.jsonl under
build/benchmarks/adding_a_class; started again, the benchmark goes on where it was, in the middle of a training, too.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pipeline.tensorflow_environment import prepare_tensorflow

REPOSITORY: Final = pathlib.Path(__file__).parents[1]
SHARED: Final = pathlib.Path(os.environ.get("SHARED_DIR", REPOSITORY.parent / "shared"))
FOLDER: Final = REPOSITORY / "build" / "benchmarks" / "adding_a_class"
_BATCH_IMAGES: Final = 8


@dataclasses.dataclass(frozen=True)
class Case:
    """A data set and what is learnt of it when.

    Attributes:
      new_class: which is added.
      data: the section `data` of a config.
      side_pixels: of the canvas.
      pretrained: weights that the first training starts from.
      options: of the detector.
      augmentation: the section of the config.
      base_steps: of the first training.
      added_steps: of the second.
    """

    new_class: str
    data: Mapping[str, Any]
    side_pixels: int
    pretrained: pathlib.Path
    options: Mapping[str, Any]
    augmentation: Mapping[str, Any]
    base_steps: int
    added_steps: int


CASES: Final = {
    "scenes": Case(
        new_class="mandatory_direction",
        data={"format": "coco", "path": str(FOLDER / "scenes"), "split": {"source": "given"}},
        side_pixels=192,
        pretrained=REPOSITORY / "demo" / "mobilenet_v2_035_fpnlite.weights.h5",
        options={"alpha": 0.35, "fpn_depth": 64, "anchor_scale": 2.0, "batch_norm_momentum": 0.95},
        augmentation={"horizontal_flip": 0.0, "crop": 0.0, "zoom_out": 0.0},
        base_steps=600,
        added_steps=300,
    ),
    "blood_cells": Case(
        new_class="Platelets",
        data={"format": "pascal_voc", "path": str(SHARED / "data" / "bccd_voc" / "BCCD")},
        side_pixels=224,
        pretrained=SHARED / "weights" / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5",
        options={"alpha": 0.35, "fpn_depth": 64, "anchor_scale": 3.0, "batch_norm_momentum": 0.95},
        augmentation={"vertical_flip": 0.5},
        base_steps=700,
        added_steps=300,
    ),
}
_NOTHING: Final = {"distillation_weight": 0.0, "learn_from_score": None, "ignore_from_score": None}


@dataclasses.dataclass(frozen=True)
class Way:
    """How the second training goes about it: `transfer.keep` (None: not at all), `train.input.replay_share`."""

    title: str
    keep: Mapping[str, Any] | None = None
    replay_share: float | None = None
    spans: tuple[int, ...] = (2,)
    all_classes: bool = False


WAYS: Final = {
    "plain": Way("warm start alone"),
    "ignore": Way("what the old model finds is left out", {**_NOTHING, "ignore_from_score": 0.2}),
    "learn": Way("what it finds is learnt", {**_NOTHING, "learn_from_score": 0.5, "ignore_from_score": 0.2}),
    "distil": Way("distillation alone", {**_NOTHING, "distillation_weight": 1.0}),
    "keep": Way("`transfer.keep`: learnt, and distillation", {}),
    "replay": Way("replay alone, half of a batch", None, 0.5, (1, 2)),
    "keep_replay": Way("`transfer.keep` and replay", {}, 0.5, (1, 2)),
    "joint": Way("upper bound: all classes annotated in both halves", None, None, (1, 2), all_classes=True),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adding_a_class", description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"which ones (default: all): {', '.join(CASES)}")
    parser.add_argument("--seeds", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="(default: all)")
    parser.add_argument("--share", type=float, default=1.0, help="of the steps, for a try (default: %(default)s)")
    arguments = parser.parse_args(argv)
    names = arguments.cases or list(CASES)
    if unknown := set(names) - CASES.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    prepare_tensorflow()
    results = FOLDER / ("results.jsonl" if arguments.share == 1.0 else f"results-{arguments.share:g}.jsonl")
    # The table alone goes to standard output, the trainings' progress does not.
    with contextlib.redirect_stdout(sys.stderr):
        for name in names:
            for seed in range(arguments.seeds):
                _measure(name, seed, arguments.ways, arguments.share, results)
    print("\n".join(_table(_read(results))))
    return 0


def _measure(name: str, seed: int, ways: Sequence[str], share: float, results: pathlib.Path) -> None:
    """Appends what is not there yet."""
    case = CASES[name]
    records = FOLDER / "records" / name
    if not (records / "classes.json").exists():
        _write_records(name, case, records)
    class_names: list[str] = json.loads((records / "classes.json").read_text())
    runs = FOLDER / f"runs-{share:g}" / f"{name}-{seed}"
    for way in ("base", *ways):
        if any((row["case"], row["seed"], row["way"]) == (name, seed, way) for row in _read(results)):
            continue
        print(f"== {name}, seed {seed}: {way}", file=sys.stderr, flush=True)
        start = time.monotonic()
        metrics = _train(case, records, class_names, runs, way, seed, share)
        old = [metrics[f"AP/{c}"] for c in class_names if c != case.new_class]
        row = {
            "case": name,
            "seed": seed,
            "way": way,
            "old": sum(old) / len(old),
            "new": metrics.get(f"AP/{case.new_class}"),
            "seconds": time.monotonic() - start,
        }
        with results.open("a") as file:
            file.write(json.dumps(row) + "\n")


def _read(results: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def _write_records(name: str, case: Case, folder: pathlib.Path) -> None:
    """Records of `eval`, and of both halves of `train` with the old classes, the new one, and all of them."""
    from components.example_gen.settings import DataSettings
    from demo.scenes import write_scenes
    from pipeline.doctor.survey import survey

    if name == "scenes":
        write_scenes(FOLDER / "scenes", 700, seed=0)
    surveyed = survey(DataSettings.model_validate(case.data))
    # The new class is last, as where it comes later.
    class_names = [*sorted(surveyed.classes.keys() - {case.new_class}), case.new_class]
    training = [picture for picture in surveyed.pictures if picture.split == "train"]
    halves = {picture.item.key: 1 + index % 2 for index, picture in enumerate(training)}
    written: dict[str, list[bytes]] = {split: [] for split in ("eval", "old-1", "new-2", "all-1", "all-2")}
    for picture, encoded in surveyed.load(surveyed.pictures):
        record = functools.partial(_record, picture, encoded, class_names)
        if picture.split == "eval":
            written["eval"].append(record(class_names, 0))
        if picture.split != "train":
            continue
        half = halves[picture.item.key]
        shows_new = any(checked.class_name == case.new_class for checked in picture.objects)
        if half == 1:
            written["old-1"].append(record(class_names[:-1], half))
            written["all-1"].append(record(class_names, half))
        elif shows_new:
            written["new-2"].append(record(class_names[-1:], half))
            written["all-2"].append(record(class_names, half))
    import tensorflow as tf

    for split, serialized in written.items():
        (folder / split).mkdir(parents=True, exist_ok=True)
        with tf.io.TFRecordWriter(str(folder / split / "data.gz"), "GZIP") as writer:
            for record_bytes in serialized:
                writer.write(record_bytes)
        print(f"{name}: {len(serialized)} images of {split}", file=sys.stderr)
    (folder / "classes.json").write_text(json.dumps(class_names))


def _record(picture: Any, encoded: bytes, class_names: Sequence[str], annotated: Sequence[str], span: int) -> bytes:
    """A record in which only some classes are annotated; ids are places in `class_names`."""
    import tensorflow as tf

    from components.example_gen.images import read_header
    from schema import features

    header = read_header(encoded)
    objects = [checked for checked in picture.objects if checked.class_name in annotated]
    sides = tuple(zip(*(checked.box_xyxy_normalized for checked in objects), strict=True))
    xmin, ymin, xmax, ymax = sides or ((),) * 4

    def ints(values: Iterable[int]) -> Any:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=list(values)))

    def floats(values: Iterable[float]) -> Any:
        return tf.train.Feature(float_list=tf.train.FloatList(value=list(values)))

    def text(value: bytes) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    record = {
        features.IMAGE_ENCODED: text(encoded),
        features.IMAGE_SOURCE_ID: text(picture.item.key.encode()),
        features.IMAGE_HEIGHT: ints([header.height_pixels]),
        features.IMAGE_WIDTH: ints([header.width_pixels]),
        features.OBJECT_XMIN: floats(xmin),
        features.OBJECT_YMIN: floats(ymin),
        features.OBJECT_XMAX: floats(xmax),
        features.OBJECT_YMAX: floats(ymax),
        features.OBJECT_CLASS_LABEL: ints(class_names.index(checked.class_name) + 1 for checked in objects),
        features.OBJECT_IS_CROWD: ints(0 for _ in objects),
        features.OBJECT_DIFFICULT: ints(0 for _ in objects),
        features.meta_key(features.SPAN_COLUMN): ints([span]),
    }
    return tf.train.Example(features=tf.train.Features(feature=record)).SerializeToString()


def _train(
    case: Case,
    records: pathlib.Path,
    class_names: list[str],
    runs: pathlib.Path,
    name: str,
    seed: int,
    share: float,
) -> dict[str, float]:
    """One training from its start, or from where it was stopped; the metrics of its last weights."""
    import keras

    from components.detector.registry import build_detector
    from components.detector.weights import zoo
    from components.export.saved_model import description
    from components.trainer.evaluation import Evaluation
    from components.trainer.input.annotated_records import AnnotatedRecords
    from components.trainer.input.input_pipeline import evaluation_batches
    from components.trainer.input.record_parser import parse_clean_records
    from components.trainer.settings import TrainSettings
    from components.trainer.state.checkpoint import CheckpointFolder, Progress
    from components.trainer.state.progress_log import ProgressLog
    from components.trainer.strategies.fine_tune import FineTune
    from components.trainer.strategies.settings.fine_tune import FineTuneSettings
    from components.trainer.strategies.strategy import TrainingInputs
    from components.trainer.training_loop import train
    from schema.exported_model import DESCRIPTION_FILE, WEIGHTS_FILE
    from schema.label_map import LabelMap

    is_base = name == "base"
    way = Way("", spans=(1,)) if is_base else WAYS[name]
    blessed = runs / "blessed"
    label_map = LabelMap.of_names(class_names[:-1] if is_base else class_names)
    steps = max(2, round(share * (case.base_steps if is_base else case.added_steps)))
    settings = TrainSettings.model_validate(
        {
            "steps": steps,
            "batch_size": _BATCH_IMAGES,
            "optimizer": {"name": "adam", "learning_rate": 2e-3 if is_base else 1e-3},
            "augmentation": case.augmentation,
            "input": {"replay_share": way.replay_share},
            # Not chosen by AP on what is measured: the last weights count.
            "evaluate_every": steps,
            "checkpoint_every_seconds": 60.0,
            "seed": seed,
        }
    )
    patterns = [
        str(records / f"{'all' if way.all_classes else ('old', 'new')[span - 1]}-{span}" / "*") for span in way.spans
    ]
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed + 1)
    side = case.side_pixels
    detector = build_detector(
        "ssd_mobilenet_v2_fpnlite", num_classes=len(label_map), image_size=(side, side), **case.options
    )
    strategy = FineTune(FineTuneSettings(warm_start_from_blessed=True, keep=way.keep))
    strategy.prepare(detector)
    folder = runs / name
    checkpoints = CheckpointFolder(str(folder / "state"), detector.variables)
    progress = checkpoints.restore()
    if progress is None:
        progress = Progress()
        start = str(case.pretrained if is_base else blessed)
        report = zoo.restore(detector, start, pretrained_classes="new" if is_base else "map", label_map=label_map)
        print(report, file=sys.stderr)

    measured: list[dict[str, float]] = []

    def evaluate() -> dict[str, float]:
        def batches() -> Any:
            return evaluation_batches([str(records / "eval" / "*")], parse_clean_records, detector, _BATCH_IMAGES)

        measured.append(Evaluation(detector, batches, class_names)())
        return measured[-1]

    log = ProgressLog(
        str(folder), steps=steps, batch_size=_BATCH_IMAGES, line_every_seconds=30.0, history=progress.history
    )
    inputs = TrainingInputs(
        settings,
        label_map,
        AnnotatedRecords(patterns, parse_clean_records),
        str(folder / "kept"),
        blessed_model=None if is_base else str(blessed),
    )
    train(
        detector,
        strategy.phases(detector, inputs),
        settings,
        evaluate=evaluate,
        checkpoints=checkpoints,
        progress=progress,
        log=log,
    )
    log.close()
    if is_base:
        shutil.rmtree(blessed, ignore_errors=True)
        (blessed / DESCRIPTION_FILE).parent.mkdir(parents=True)
        (blessed / DESCRIPTION_FILE).write_text(json.dumps(description(detector, label_map)))
        detector.save_weights(blessed / WEIGHTS_FILE)
    metrics = measured[-1] if measured else evaluate()
    checkpoints.remove()
    return metrics


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Means over seeds; AP in points (hundredths)."""
    lines = [
        "AP in hundredths, mean over seeds; the old classes' before: what the detector had that the training started "
        "from.\n",
        "| data, way | old classes before | after | lost | new class | seeds | minutes |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for case in CASES:
        before = {row["seed"]: row["old"] for row in rows if (row["case"], row["way"]) == (case, "base")}
        for name, way in WAYS.items():
            done = [row for row in rows if (row["case"], row["way"]) == (case, name) and row["seed"] in before]
            if not done:
                continue

            def mean(values: Iterable[float], count: int = len(done)) -> float:
                return sum(values) / count

            had, has = mean(100 * before[row["seed"]] for row in done), mean(100 * row["old"] for row in done)
            lines.append(
                f"| {case}: {way.title} | {had:.1f} | {has:.1f} | {had - has:.1f} "
                f"| {mean(100 * row['new'] for row in done):.1f} | {len(done)} "
                f"| {mean(row['seconds'] / 60 for row in done):.1f} |"
            )
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
