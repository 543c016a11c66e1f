"""The demo from the shipped checkpoint and from scratch: AP at equal steps.

    python -m benchmarks.transfer [--seeds 3] [--steps 240]

Runs the demo's own graph (pipeline/configs/demo.yaml) up to the Transform once, then the Trainer's ``run_fn`` for every
seed and start, with the demo's settings. A seed decides weights, order and augmentation; the data stay the same.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import sys
from collections.abc import Sequence

import keras
import numpy as np
from tfx.components.trainer.fn_args_utils import FnArgs

from components.trainer.run import run_fn
from components.trainer.state.progress_log import HISTORY_FILE
from demo.scenes import write_scenes
from pipeline.config import PipelineConfig, load_config
from pipeline.graph import trainer_config
from pipeline.prepared_records import prepare_records

FOLDER = pathlib.Path("build/benchmarks/transfer")
CONFIG = pathlib.Path("pipeline/configs/demo.yaml")
POINTS = 4
"""Evaluations of each training."""


def demo_config(steps: int, seed: int, from_checkpoint: bool) -> PipelineConfig:
    """The demo's config with a training of its own."""
    overrides = [
        f"root={FOLDER}",
        f"data.path={FOLDER / 'scenes'}",
        f"train.steps={steps}",
        f"train.evaluate_every={steps // POINTS}",
        f"train.seed={seed}",
    ]
    return load_config(CONFIG, overrides if from_checkpoint else [*overrides, "model.pretrained=null"])


def prepare(config: PipelineConfig, images: int) -> FnArgs:
    """Data, records and transform graph; a second call finds them cached."""
    write_scenes(FOLDER / "scenes", images, seed=0)
    training = prepare_records(config).training(config)
    return FnArgs(
        train_files=list(training.train_files),
        eval_files=list(training.eval_files),
        transform_graph_path=training.transform_graph,
    )


def average_precisions(config: PipelineConfig, inputs: FnArgs, name: str) -> dict[int, tuple[float, float]]:
    """Trains and returns (AP, AP50) on the eval split by step."""
    folder = FOLDER / name
    inputs.custom_config = trainer_config(config)
    inputs.model_run_dir = str(folder / "run")
    inputs.serving_model_dir = str(folder / "model")
    keras.backend.clear_session()
    run_fn(inputs)
    entries = [json.loads(line) for line in (folder / "run" / HISTORY_FILE).read_text().splitlines()]
    return {entry["step"]: (entry["AP"], entry["AP50"]) for entry in entries if "AP" in entry}


def _cell(runs: Sequence[dict[int, tuple[float, float]]], step: int, metric: int) -> str:
    values = [run[step][metric] for run in runs]
    return f"{np.mean(values):.3f} ({', '.join(f'{value:.3f}' for value in values)})"


def main() -> None:
    parser = argparse.ArgumentParser(description="the demo from the shipped checkpoint and from scratch")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=240, help="(default: %(default)s, the demo's take longer)")
    parser.add_argument("--images", type=int, default=700)
    options = parser.parse_args()
    steps = options.steps
    runs: dict[bool, list[dict[int, tuple[float, float]]]] = {True: [], False: []}
    # The table alone goes to standard output, the trainings' progress does not.
    with contextlib.redirect_stdout(sys.stderr):
        inputs = prepare(demo_config(steps, 0, True), options.images)
        for seed in range(options.seeds):
            for from_checkpoint, results in runs.items():
                name = f"{'checkpoint' if from_checkpoint else 'scratch'}-{seed}"
                results.append(average_precisions(demo_config(steps, seed, from_checkpoint), inputs, name))
    print(f"Mean over {options.seeds} seeds (each seed), {options.images} images, eval split.\n")
    print("| steps | AP from the checkpoint | AP from scratch | AP50 from the checkpoint | AP50 from scratch |")
    print("| ---: | --- | --- | --- | --- |")
    for step in sorted(runs[True][0]):
        cells = [_cell(runs[start], step, metric) for metric in (0, 1) for start in (True, False)]
        print(f"| {step} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
