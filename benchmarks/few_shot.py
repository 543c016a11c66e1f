"""Few-shot detection against plain fine-tuning on the same shots: AP50 of novel and of base classes over many draws.

    python -m benchmarks.few_shot [signs] [vehicles] [--shots 1 2 3 5 10] [--draws 10] [--minutes 60]

The base phase runs once for each data set and class head and is shared by all draws; novel objects are ignored in it. A
draw is so many objects of every class. On it are trained, with the same batches and steps,

- `few_shot`, the strategy: the novel classes' weights in a class head by cosines;
- `fine_tune`, plain: all of a detector with a linear head, which learnt the base classes on the same images.

Every finished training is a line in build/benchmarks/few_shot/results.jsonl; what is there is not trained again, so
that a run can be stopped at any time (with `--minutes` it stops by itself) and gone on with. The table tells what is
there so far, with 95 % intervals over draws (Student's t). Each method has the learning rate that was best for it on
other draws: those from 100 on are in no table (`--draws-from 100 --draws 2 --rates few_shot=0.003 fine_tune=0.0003`).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from demo import coco_folder
from demo.scenes import render_scene
from demo.signs import SIGN_VARIANTS
from pipeline.tensorflow_environment import prepare_tensorflow

if TYPE_CHECKING:
    from components.detector.detector import Detector
    from components.trainer.input.annotated_records import AnnotatedRecords
    from components.trainer.strategies.strategy import Phase

REPOSITORY: Final = pathlib.Path(__file__).parents[1]
SHARED: Final = pathlib.Path(os.environ.get("SHARED_DIR", REPOSITORY.parent / "shared"))
FOLDER: Final = REPOSITORY / "build" / "benchmarks" / "few_shot"
RESULTS: Final = FOLDER / "results.jsonl"
SHOTS: Final = (1, 2, 3, 5, 10)
RATES: Final = {"few_shot": 1e-2, "fine_tune": 1e-3}
"""Peak of Adam's learning rate while it trains on shots, by method."""
HEADS: Final = {"few_shot": "cosine", "fine_tune": "linear"}
STEPS: Final = 150
"""On the shots."""
BATCH: Final = 8
_BASE_BATCH: Final = 16
_SCENES: Final = 600


@dataclasses.dataclass(frozen=True)
class Data:
    """A data set, and how its base classes are learnt.

    Attributes:
      classes: all of them.
      novel: those with few objects.
      options: of the detector.
      weights: that the base phase starts from.
      augmentation: changes of the settings' defaults.
      base_steps: of the base phase.
    """

    classes: tuple[str, ...]
    novel: tuple[str, ...]
    options: Mapping[str, Any]
    weights: pathlib.Path
    augmentation: Mapping[str, float]
    base_steps: int


_OPTIONS: Final = {"alpha": 0.35, "fpn_depth": 64, "batch_norm_momentum": 0.95}
DATA: Final = {
    "signs": Data(
        classes=SIGN_VARIANTS,
        novel=("stop", "priority_road", "pedestrian_crossing", "speed_limit_80", "mandatory_direction_left"),
        options={**_OPTIONS, "anchor_scale": 2.0},
        weights=REPOSITORY / "demo" / "mobilenet_v2_035_fpnlite.weights.h5",
        # A mirrored arrow is another sign.
        augmentation={"horizontal_flip": 0.0, "crop": 0.0, "zoom_out": 0.0},
        base_steps=600,
    ),
    "vehicles": Data(
        classes=("ambulance", "bus", "car", "motorcycle", "truck"),
        novel=("ambulance",),
        options=_OPTIONS,
        weights=SHARED / "weights" / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5",
        augmentation={},
        base_steps=800,
    ),
}
SIDE_PIXELS: Final = 192
_VEHICLES: Final = SHARED / "data" / "vehicles" / "source_openimages"
_EVALUATED_SHARE: Final = 0.45
"""Of the vehicles' images: by the publisher's division eight ambulances are left to evaluate on."""


def render_sign_scene(split: str, index: int, seed: int) -> coco_folder.AnnotatedImage:
    """A street scene with signs of fifteen classes."""
    return render_scene(split, index, seed, SIGN_VARIANTS)


def write_records(name: str) -> dict[str, AnnotatedRecords]:
    """The splits `train` and `eval` as records; a second call finds them."""
    import tensorflow as tf

    from components.example_gen.formats import make_format
    from components.example_gen.records import make_record
    from components.example_gen.settings import DataSettings
    from components.example_gen.splits import hash_fraction
    from components.findings import Finding
    from components.trainer.input.annotated_records import AnnotatedRecords
    from components.trainer.input.record_parser import parse_clean_records
    from schema.label_map import LabelMap

    folder = FOLDER / name
    paths = {split: folder / f"{split}.gz" for split in ("train", "eval")}
    if not all(path.exists() for path in paths.values()):
        root, form = (folder / "scenes", "coco") if name == "signs" else (_VEHICLES, "yolo")
        if name == "signs":
            counts = {"train": _SCENES * 2 // 3, "eval": _SCENES // 3}
            coco_folder.write(root, SIGN_VARIANTS, counts, render_sign_scene, seed=0)
        settings = DataSettings(format=form, path=str(root))
        reader, label_map = make_format(settings), LabelMap.of_names(DATA[name].classes)
        listed = [item for source in reader.sources(str(root)) for item in reader.items(source)]
        items = sorted((item for item in listed if not isinstance(item, Finding)), key=lambda item: item.key)
        by_split: dict[str, list[Any]] = {"train": [], "eval": []}
        for item in items:
            is_evaluated = hash_fraction(item.name, "few_shot") < _EVALUATED_SHARE
            by_split[(item.split or "") if name == "signs" else ("train", "eval")[is_evaluated]].append(item)
        for split, path in paths.items():
            with tf.io.TFRecordWriter(f"{path}.partial", "GZIP") as writer:
                for loaded in reader.load(by_split[split]):
                    if not isinstance(loaded, Finding):
                        loaded = dataclasses.replace(loaded, item=dataclasses.replace(loaded.item, metadata={}))
                        writer.write(make_record(loaded, settings.bad_input, label_map, {}).serialized)
            pathlib.Path(f"{path}.partial").rename(path)
    return {split: AnnotatedRecords([str(path)], parse_clean_records) for split, path in paths.items()}


class Bench:
    """One data set and one method: a detector that is set back to its base weights for every draw.

    Its graphs are traced once for all draws, which would otherwise be most of the time.
    """

    def __init__(self, name: str, method: str) -> None:
        import keras

        from components.detector.registry import build_detector
        from components.trainer.evaluation import Evaluation
        from components.trainer.input.input_pipeline import evaluation_batches
        from components.trainer.settings import TrainSettings
        from schema.label_map import LabelMap

        self.name, self.method, self.data = name, method, DATA[name]
        self.label_map = LabelMap.of_names(self.data.classes)
        self.records = write_records(name)
        keras.utils.set_random_seed(1)
        self.detector: Detector = build_detector(
            "ssd_mobilenet_v2_fpnlite",
            num_classes=len(self.data.classes),
            image_size=(SIDE_PIXELS, SIDE_PIXELS),
            class_head=HEADS[method],
            **self.data.options,
        )
        self.settings = TrainSettings.model_validate(
            {"steps": STEPS, "batch_size": BATCH, "augmentation": dict(self.data.augmentation)}
        )
        self.evaluate = Evaluation(
            self.detector,
            lambda: evaluation_batches(
                self.records["eval"].patterns, self.records["eval"].parse, self.detector, _BASE_BATCH
            ),
            self.label_map.name_by_index,
        )
        self._run: Callable[[Phase], None] | None = None
        self._base_weights: list[Any] | None = None

    def groups(self) -> dict[str, float]:
        """AP50 of novel and base classes with the weights as they are."""
        from components.trainer.state.progress_log import mean_metric

        metrics = self.evaluate()
        base = [name for name in self.data.classes if name not in self.data.novel]
        return {
            f"{group}_{metric}": mean_metric(metric, metrics, names)
            for group, names in (("novel", self.data.novel), ("base", base))
            for metric in ("AP", "AP50")
        }

    def _learn_base(self) -> None:
        """The base phase, or its weights from the last time."""
        from components.detector.weights import zoo
        from components.trainer.input.shots import ignoring_classes
        from components.trainer.settings import OptimizerSettings
        from components.trainer.strategies.strategy import Phase
        from components.trainer.strategies.supervised import detection_losses

        file = FOLDER / self.name / f"base-{HEADS[self.method]}-{self.data.base_steps}.weights.h5"
        if file.exists():
            self.detector.load_weights(file)
            return
        zoo.restore(self.detector, str(self.data.weights))
        novel = [self.data.classes.index(name) for name in self.data.novel]
        records = ignoring_classes(self.records["train"], novel)
        optimizer = OptimizerSettings(learning_rate=4e-3, name="adam")
        settings = self.settings.model_copy(update={"batch_size": _BASE_BATCH, "steps": self.data.base_steps})
        make_batches = lambda step: records.training_batches(self.detector, settings, step)  # noqa: E731
        phase = Phase(
            "base",
            self.data.base_steps,
            optimizer,
            make_batches,
            detection_losses(self.detector),
            self.detector.trainable_variables,
        )
        self._runner(phase)(phase)
        _say(f"{self.name}, {HEADS[self.method]} head, base phase: {self.groups()}")
        partial = file.with_name(f".{file.name}")
        self.detector.save_weights(partial)
        partial.rename(file)

    def _runner(self, like: Phase) -> Callable[[Phase], None]:
        """Runs phases that differ in their batches alone."""
        from components.trainer.optimizer import make_optimizer
        from components.trainer.train_step import TrainStep

        optimizer = make_optimizer(
            like.optimizer,
            like.variables,
            steps=like.steps,
            default_name="adam",
            rate_factors=like.learning_rate_factors,
        )
        fresh = [variable.numpy() for variable in optimizer.variables]
        made: list[TrainStep] = []

        def run(phase: Phase) -> None:
            for variable, value in zip(optimizer.variables, fresh, strict=True):
                variable.assign(value)
            batches = phase.make_batches(0)
            if not made:
                made.append(TrainStep(like.losses, like.variables, optimizer, batches.element_spec))
            started = time.monotonic()
            for number, batch in enumerate(batches.take(phase.steps), start=1):
                made[0](batch)
                if number % 100 == 0:
                    _say(f"  step {number}, {time.monotonic() - started:.0f} s: {made[0].mean_losses()}")

        return run

    def train(self, shots: int, draw: int, rate: float) -> dict[str, Any]:
        """Base weights, shots, evaluation."""
        from components.trainer.input.shots import draw_shots
        from components.trainer.strategies.few_shot import FewShot
        from components.trainer.strategies.fine_tune import FineTune
        from components.trainer.strategies.settings.few_shot import FewShotSettings
        from components.trainer.strategies.settings.fine_tune import FineTuneSettings
        from components.trainer.strategies.strategy import Strategy, TrainingInputs

        if self._base_weights is None:
            self._learn_base()
            self._base_weights, self.before = self.detector.get_weights(), self.groups()
        self.detector.set_weights(self._base_weights)
        folder = str(FOLDER / self.name / f"shots-{shots}-{draw}")
        optimizer = self.settings.optimizer.model_copy(update={"learning_rate": rate, "name": "adam"})
        settings = self.settings.model_copy(update={"optimizer": optimizer, "seed": draw})
        strategy: Strategy
        if self.method == "few_shot":
            transfer = FewShotSettings(
                strategy="few_shot",
                novel_classes=list(self.data.novel),
                shots=shots,
                draw=draw,
                base_share=0.0,
                learning_rate=rate,
            )
            strategy, records = FewShot(transfer), self.records["train"]
        else:
            strategy = FineTune(FineTuneSettings())
            records = draw_shots(self.records["train"], self.label_map, shots, draw, folder)
        started = time.monotonic()
        strategy.prepare(self.detector)
        (phase,) = strategy.phases(self.detector, TrainingInputs(settings, self.label_map, records, folder))
        self._run = self._run or self._runner(phase)
        self._run(phase)
        seconds = time.monotonic() - started
        before = {f"{name}_before": value for name, value in self.before.items()}
        return {"data": self.name, "method": self.method, "shots": shots, "draw": draw, "rate": rate,
                **self.groups(), **before, "seconds": round(seconds, 1)}  # fmt: skip


def read_results() -> list[dict[str, Any]]:
    """The trainings that are over."""
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def run(
    names: Sequence[str], shots: Sequence[int], draws: Iterable[int], rates: Mapping[str, float], until: float
) -> None:
    """Trains what is missing, draw by draw, until a time (of ``time.monotonic``)."""
    done = {(line["data"], line["method"], line["shots"], line["draw"], line["rate"]) for line in read_results()}
    benches: dict[tuple[str, str], Bench] = {}
    for draw in draws:
        for name in names:
            for count in shots:
                for method, rate in rates.items():
                    if (name, method, count, draw, rate) in done:
                        continue
                    if time.monotonic() > until:
                        return
                    if (name, method) not in benches:
                        benches[name, method] = Bench(name, method)
                    line = benches[name, method].train(count, draw, rate)
                    _say(json.dumps(line))
                    with RESULTS.open("a") as file:
                        file.write(json.dumps(line) + "\n")


def table(lines: Sequence[Mapping[str, Any]], rates: Mapping[str, float]) -> str:
    """Markdown: a row for each data set and number of shots."""
    rows = [
        "| data, shots | draws | novel AP50, `few_shot` | novel AP50, `fine_tune` | difference "
        "| base AP50 before | after `few_shot` | before (linear head) | after `fine_tune` |",
        "|---|---:|---|---|---|---:|---|---:|---|",
    ]
    for name in DATA:
        for shots in SHOTS:
            of = {
                method: {
                    line["draw"]: line
                    for line in lines
                    if (line["data"], line["shots"], line["method"], line["rate"]) == (name, shots, method, rate)
                    and line["draw"] < 100
                }
                for method, rate in rates.items()
            }
            draws = sorted(of["few_shot"].keys() & of["fine_tune"].keys())
            if not draws:
                continue
            values = {
                (method, key): [of[method][draw][key] for draw in draws]
                for method in rates
                for key in ("novel_AP50", "base_AP50", "base_AP50_before")
            }
            ours, theirs = (values[method, "novel_AP50"] for method in ("few_shot", "fine_tune"))
            gains = [a - b for a, b in zip(ours, theirs, strict=True)]
            rows.append(
                f"| {name}, {shots} | {len(draws)} | {interval(ours)} | {interval(theirs)} | {interval(gains)} "
                f"| {values['few_shot', 'base_AP50_before'][0]:.3f} | {interval(values['few_shot', 'base_AP50'])} "
                f"| {values['fine_tune', 'base_AP50_before'][0]:.3f} | {interval(values['fine_tune', 'base_AP50'])} |"
            )
    return "\n".join(rows)


def interval(values: Sequence[float]) -> str:
    """Mean and half of its 95 % confidence interval."""
    import numpy as np
    from scipy import stats

    if len(values) < 2:
        return f"{values[0]:.3f}"
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.3f} ± {half:.3f}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _rate(text: str) -> tuple[str, float]:
    method, _, rate = text.partition("=")
    if method not in RATES:
        raise argparse.ArgumentTypeError(
            f"found {text!r}; expected METHOD=RATE, METHOD being one of {', '.join(RATES)}"
        )
    return method, float(rate)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.few_shot", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="CASE", help=f"which data (default: all): {', '.join(DATA)}")
    parser.add_argument("--shots", type=int, nargs="+", default=list(SHOTS), choices=SHOTS)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--draws-from", type=int, default=0, help="first draw; those from 100 on are in no table")
    parser.add_argument("--rates", type=_rate, nargs="+", default=list(RATES.items()), metavar="METHOD=RATE")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no training after so many")
    options = parser.parse_args(argv)
    names = options.names or list(DATA)
    if unknown := set(names) - DATA.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(DATA)}")
    until = time.monotonic() + 60 * options.minutes
    prepare_tensorflow()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names:
        (FOLDER / name).mkdir(exist_ok=True)
    draws = range(options.draws_from, options.draws_from + options.draws)
    run(names, options.shots, draws, dict(options.rates), until)
    print(f"Canvas {SIDE_PIXELS} px, {STEPS} steps of {BATCH} images on the shots; mean over draws ± 95 % interval.\n")
    print(table(read_results(), RATES))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
