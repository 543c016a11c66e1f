"""Adapting to a domain without its annotations: AP on the target, and how much of the gap is closed.

    python -m benchmarks.domain_adaptation                                  all of it: hours on two cores
    python -m benchmarks.domain_adaptation --only fog --methods source both --seeds 2 --steps 200

Two pairs of domains: `fog`, drawn street scenes in clear weather and in fog, and `vehicles`, web photos and road
cameras (from ``$SHARED_DIR``, default ``../shared``; bus, car and truck mean the same in both). The gap is what a model
that learns the target's annotations (`oracle`) has over one that only knows the source; both have the augmentation and
the averaged weights of those that adapt, and all of them the same steps. Models are judged on the target's annotated
splits, by which nothing is chosen: every training is evaluated at its end alone.

Every training has a process of its own; what it reached is appended to ``build/benchmarks/domain_adaptation/
results.jsonl``, and a training that stands there is not run again. A killed one goes on at its last checkpoint.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from demo import coco_folder
from demo.scenes import render_scene
from demo.signs import SIGN_CLASSES

if TYPE_CHECKING:
    from components.trainer.comparison.training import Training
    from pipeline.config import PipelineConfig
    from pipeline.prepared_records import PreparedRecords

REPOSITORY = pathlib.Path(__file__).parents[1]
SHARED = pathlib.Path(os.environ.get("SHARED_DIR", REPOSITORY.parent / "shared"))
FOLDER = REPOSITORY / "build" / "benchmarks" / "domain_adaptation"
RESULTS: Final = "results.jsonl"
_WEIGHTS = SHARED / "weights" / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
_VEHICLES = SHARED / "data" / "vehicles"

# As strong as what `mean_teacher` does to what its student sees.
_STRONG: Final = {"brightness": 0.2, "contrast": 0.4, "saturation": 0.4, "hue": 0.05, "blur": 0.5, "erase": 0.5}
SOURCE, ORACLE = "source", "oracle"
METHODS: Final[Mapping[str, Mapping[str, Any]]] = {
    SOURCE: {"strategy": "fine_tune"},
    "adversarial": {"strategy": "domain_adversarial"},
    "mean_teacher": {"strategy": "mean_teacher"},
    "both": {"strategy": "mean_teacher", "adversarial": {}},
    ORACLE: {"strategy": "fine_tune"},
}
"""The section `transfer` by method."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A pair of domains.

    Attributes:
      name: of the case.
      title: for the table.
      steps: of every training.
      data: the section `data`: the source, with the target.
      oracle_data: the section `data` of the oracle.
      model: the section `model`.
      train: the section `train`.
    """

    name: str
    title: str
    steps: int
    data: Mapping[str, Any]
    oracle_data: Mapping[str, Any]
    model: Mapping[str, Any]
    train: Mapping[str, Any]

    def config(self, *, of_oracle: bool) -> PipelineConfig:
        """The pipeline whose records are learnt from."""
        from pipeline.config import PipelineConfig

        return PipelineConfig.model_validate(
            {
                "name": f"{self.name}-oracle" if of_oracle else self.name,
                "root": str(FOLDER / "pipelines"),
                "data": self.oracle_data if of_oracle else self.data,
                "model": self.model,
                "train": self.train,
                "eval": {} if of_oracle else {"split": "target_eval"},
            }
        )


def render_clear(split: str, index: int, seed: int) -> coco_folder.AnnotatedImage:
    """A street scene in clear weather."""
    return render_scene(split, index, seed, weather="clear")


def render_fog(split: str, index: int, seed: int) -> coco_folder.AnnotatedImage:
    """The same scene in fog."""
    return render_scene(split, index, seed, weather="fog")


def fog() -> Case:
    """Drawn scenes. The oracle learns the source's own scenes, in fog: weather is all that differs."""
    folder, counts = FOLDER / "scenes", {"train": 500, "eval": 120}
    for name, render, seed in (("clear", render_clear, 0), ("paired_fog", render_fog, 0), ("fog", render_fog, 1)):
        coco_folder.write(folder / name, SIGN_CLASSES, counts, render, seed)
    given = {"format": "coco", "split": {"source": "given"}}
    return Case(
        name="fog",
        title="street scenes, clear to fog",
        steps=400,
        data={**given, "path": str(folder / "clear"), "target": {**given, "path": str(folder / "fog")}},
        oracle_data={**given, "path": str(folder / "paired_fog")},
        model={
            "image_size": [192, 192],
            "pretrained": str(REPOSITORY / "demo" / "mobilenet_v2_035_fpnlite.weights.h5"),
            "options": {"alpha": 0.35, "fpn_depth": 64, "anchor_scale": 2.0},
        },
        train={
            "batch_size": 16,
            "optimizer": {"name": "adam", "learning_rate": 4e-3},
            "augmentation": {"horizontal_flip": 0.0, "crop": 0.0, "zoom_out": 0.0},
        },
    )


def vehicles() -> Case:
    """Web photos and road cameras. The oracle learns the cameras' training images; a tenth of them judge its end."""
    labels = FOLDER / "vehicles.txt"
    labels.parent.mkdir(parents=True, exist_ok=True)
    labels.write_text("bus\ncar\ntruck\n")
    # What only one of the domains has (ambulance, motorcycle, bike) is left out.
    common = {"format": "yolo", "label_map": str(labels), "max_dropped_boxes": 1.0}
    target = str(_VEHICLES / "target_trafficcam")
    return Case(
        name="vehicles",
        title="vehicles, web photos to road cameras",
        steps=800,
        data={**common, "path": str(_VEHICLES / "source_openimages"), "target": {"format": "yolo", "path": target}},
        oracle_data={
            **common,
            "path": target,
            "annotations": "train/images",
            "split": {"source": "hash", "ratios": {"train": 0.9, "eval": 0.1}},
        },
        model={
            "image_size": [224, 224],
            "pretrained": str(_WEIGHTS),
            "options": {"alpha": 0.35, "fpn_depth": 64, "anchor_scale": 2.0},
        },
        train={"batch_size": 16, "optimizer": {"name": "adam", "learning_rate": 2e-3}},
    )


CASES: Final = {"fog": fog, "vehicles": vehicles}


@dataclasses.dataclass(frozen=True)
class Key:
    """What identifies a training."""

    case: str
    method: str
    seed: int
    steps: int


def read_results(path: pathlib.Path) -> dict[Key, dict[str, float]]:
    """Figures of every training that was finished."""
    if not path.exists():
        return {}
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    names = [field.name for field in dataclasses.fields(Key)]
    return {Key(**{name: entry[name] for name in names}): entry["figures"] for entry in entries}


class _Records:
    """Records of a case, made when the first training needs them."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._prepared: dict[bool, PreparedRecords] = {}

    def training(self, key: Key) -> Training:
        """What the process of a training is told."""
        from components.split_names import JUDGED_TARGET_SPLITS, UNLABELLED
        from components.trainer.comparison.training import Training
        from components.trainer.config_overrides import with_overrides
        from components.trainer.strategies.adaptation.averaged_copy import automatic_momentum
        from pipeline.graph import trainer_config

        of_oracle, section = key.method == ORACLE, METHODS[key.method]
        learnt, judged = self._of(of_oracle), self._of(False)
        config = self._case.config(of_oracle=of_oracle)
        averaging = {
            "train.augmentation": {**config.train.model_dump()["augmentation"], **_STRONG},
            "train.optimizer.ema_momentum": automatic_momentum(key.steps),
        }
        return Training(
            with_overrides(
                trainer_config(config),
                {
                    "train.steps": key.steps,
                    "train.evaluate_every": key.steps,
                    "train.seed": key.seed,
                    "transfer": dict(section),
                    # The student's are changed by its own strategy, and its average is the teacher.
                    **({} if section["strategy"] == "mean_teacher" else averaging),
                },
            ),
            learnt.files("train") + (() if section["strategy"] == "fine_tune" else learnt.files(UNLABELLED)),
            learnt.files("eval"),
            tuple(
                pattern
                for split in sorted(JUDGED_TARGET_SPLITS & judged.images.keys())
                for pattern in judged.files(split)
            ),
            str(learnt.transform_graph),
        )

    def _of(self, of_oracle: bool) -> PreparedRecords:
        if of_oracle not in self._prepared:
            from pipeline.prepared_records import prepare_records

            self._prepared[of_oracle] = prepare_records(self._case.config(of_oracle=of_oracle))
        return self._prepared[of_oracle]


def run(case: Case, keys: Sequence[Key], results: pathlib.Path) -> None:
    """Runs the trainings that are not among the results, one after the other, and appends what they reached."""
    from components.trainer.comparison.training_process import run_training

    records = _Records(case)
    for number, key in enumerate(keys, start=1):
        if key in read_results(results):
            continue
        outcome = run_training(records.training(key), FOLDER / "trainings")
        if outcome.error:
            raise RuntimeError(f"{key}: {outcome.error}")
        figures = {
            **{name: outcome.metrics[name] for name in ("AP", "AP50")},
            "seconds": outcome.process_seconds,
            "images_per_second": outcome.images_per_second,
        }
        with results.open("a") as file:
            file.write(json.dumps({**dataclasses.asdict(key), "figures": figures}) + "\n")
        print(f"[{number}/{len(keys)}] {key}: {figures}", file=sys.stderr, flush=True)


def gap_closed(adapted: Sequence[float], source: Sequence[float], oracle: Sequence[float]) -> list[float]:
    """(adapted - source) / (oracle - source) for every seed, over the mean gap of all seeds.

    A gap of one pair of trainings alone may be next to nothing by chance.
    """
    gap = (sum(oracle) - sum(source)) / len(source)
    return [(ours - theirs) / gap for ours, theirs in zip(adapted, source, strict=True)]


def table(case: Case, methods: Sequence[str], seeds: int, steps: int, found: Mapping[Key, Mapping[str, float]]) -> str:
    """Rows of the methods of one case."""
    from components.trainer.comparison.intervals import estimate

    def values(method: str, figure: str) -> list[float]:
        return [found[Key(case.name, method, seed, steps)][figure] for seed in range(seeds)]

    rows = []
    for method in methods:
        cells = [str(estimate(values(method, figure))) for figure in ("AP50", "AP")]
        for figure in ("AP50", "AP"):
            if {SOURCE, ORACLE} <= set(methods) and method not in (SOURCE, ORACLE):
                ends = (values(end, figure) for end in (SOURCE, ORACLE))
                cells.append(str(estimate(gap_closed(values(method, figure), *ends))))
            else:
                cells.append("")
        cells.append(f"{estimate(values(method, 'seconds')).mean:.0f}")
        rows.append(f"| {case.title}: {method} | {steps} | {seeds} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.domain_adaptation", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES), help="which domains (all)")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS), help="which (all)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each method (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="of each training (default: those of the domains, 400 and 800)")
    options = parser.parse_args(argv)
    if "vehicles" in options.only and not _VEHICLES.exists():
        parser.error(f"{_VEHICLES} is not there; set SHARED_DIR to the folder with data/ and weights/")
    from pipeline.tensorflow_environment import prepare_tensorflow

    prepare_tensorflow()
    FOLDER.mkdir(parents=True, exist_ok=True)
    results, rows = FOLDER / RESULTS, []
    for name in options.only:
        case = CASES[name]()
        steps = options.steps or case.steps
        # Seed by seed, so that a stop leaves whole comparisons.
        keys = [Key(name, method, seed, steps) for seed in range(options.seeds) for method in options.methods]
        with contextlib.redirect_stdout(sys.stderr):
            run(case, keys, results)
        rows.append(table(case, options.methods, options.seeds, steps, read_results(results)))
    print("Mean and 95 % interval over the seeds, on the target's annotated images.\n")
    print("| domains: method | steps | seeds | AP50 | AP | share of the gap in AP50 | in AP | seconds a training |")
    print("|---|---:|---:|---|---|---|---|---:|")
    print("\n".join(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
