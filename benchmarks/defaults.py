"""Five lines of YAML against hand-tuned settings: AP and AP50 of the whole pipeline on real data.

    python -m benchmarks.defaults                              every row (about four hours on two cores)
    python -m benchmarks.defaults blood_cells_voc --seeds 3    one data set, three seeds
    python -m benchmarks.defaults blood_cells_voc --steps 4    a smoke test: its rows are not kept

A row that was measured is kept in ``build/benchmarks/defaults/rows.jsonl`` and not measured again; a run that was
stopped goes on at its last checkpoint. The table has all rows that there are.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import yaml

from benchmarks.real_data import DATA, REPOSITORY, WEIGHTS
from pipeline.config import PipelineConfig, load_config

ROOT: Final = REPOSITORY / "build" / "benchmarks" / "defaults"
ROWS: Final = ROOT / "rows.jsonl"

FIVE_LINES: Final[dict[str, dict[str, Any]]] = {
    "blood_cells_voc": {"train": {"batch_size": 8}},
    "blood_cells_coco": {"train": {"batch_size": 8}},
    # The canvas is what a user can pay for; that a mirrored arrow is another sign, only the user knows.
    "traffic_signs_yolo": {
        "model": {"image_size": [480, 480]},
        "train": {"batch_size": 4, "augmentation": {"horizontal_flip": 0.0}},
    },
}
"""What stands in the lines ``model`` and ``train`` beside detector and weights."""

_ADAM: Final = {"name": "adam", "learning_rate": 1e-3}
HAND_TUNED: Final[dict[str, dict[str, Any]]] = {
    "blood_cells_voc": {
        "model": {"anchors": "options", "options": {"anchor_scale": 3.0, "batch_norm_momentum": 0.97}},
        "train": {"steps": 700, "batch_size": 8, "optimizer": _ADAM, "augmentation": {"vertical_flip": 0.5}},
    },
    "blood_cells_coco": {
        "model": {"anchors": "options", "options": {"batch_norm_momentum": 0.97}},
        "train": {"steps": 200, "batch_size": 8, "optimizer": _ADAM, "augmentation": {"vertical_flip": 0.5}},
    },
    "traffic_signs_yolo": {
        "model": {
            "image_size": [480, 480],
            "anchors": "options",
            "options": {"anchor_scale": 2.0, "batch_norm_momentum": 0.97},
        },
        "train": {"steps": 1000, "batch_size": 4, "optimizer": _ADAM, "augmentation": {"horizontal_flip": 0.0}},
    },
}
"""What was found by trying, before there were defaults that suit the data."""
SETTINGS: Final = {"five lines": FIVE_LINES, "hand-tuned": HAND_TUNED}


def _config(name: str, settings: str, seed: int, steps: int | None) -> tuple[pathlib.Path, PipelineConfig]:
    """Writes the config of a row and reads it as the pipeline would."""
    given = SETTINGS[settings][name]
    kind = f"{settings.replace(' ', '-')}-{seed}" + ("" if steps is None else "-smoke")
    tree = {
        "name": f"{name.replace('_', '-')}-{kind}",
        "root": str(ROOT),
        "data": {
            "format": load_config(REPOSITORY / "pipeline" / "configs" / f"{name}.yaml").data.format,
            "path": str(DATA[name]),
        },
        "model": {"detector": "ssd_mobilenet_v2_fpnlite", "pretrained": str(WEIGHTS), **given.get("model", {})},
        "train": {**given["train"], "seed": seed, **({} if steps is None else {"steps": steps})},
    }
    ROOT.mkdir(parents=True, exist_ok=True)
    file = ROOT / f"{tree['name']}.yaml"
    file.write_text(yaml.safe_dump(tree, sort_keys=False))
    return file, load_config(file)


def _measured(name: str, settings: str, seed: int, steps: int | None) -> dict[str, Any]:
    """Runs the pipeline in a process of its own and reads what came of it; what it prints goes to stderr."""
    file, config = _config(name, settings, seed, steps)
    command = [sys.executable, "-m", "pipeline", "run", f"--config={file}"]
    subprocess.run(command, cwd=REPOSITORY, stdout=sys.stderr, check=True)
    # Behind the run: reading ML Metadata imports TensorFlow.
    from ml_metadata.proto import metadata_store_pb2

    from components.evaluator.verdict import OVERALL, read_verdict
    from components.report.run_record import read_run
    from components.trainer.training_plan import PLAN_FILE, TrainingPlan

    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(config.metadata_path)
    record = read_run(connection, config.name)
    evaluation, model_run = record.uri("evaluation"), record.uri("model_run")
    if evaluation is None or model_run is None:
        raise RuntimeError(f"{name}: the run in {config.metadata_path} did not get to its evaluation")
    metrics = read_verdict(evaluation).metrics[OVERALL]
    plan = TrainingPlan.from_json(pathlib.Path(model_run, PLAN_FILE).read_text())
    return {
        "data": name,
        "settings": settings,
        "seed": seed,
        "AP": metrics["AP"],
        "AP50": metrics["AP50"],
        "minutes": next(node.seconds for node in record.nodes if node.node == "Trainer") / 60,
        "training": f"{plan.steps} x {plan.batch_size}",
        "anchors": plan.anchors.described(),
    }


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """A line for every data set and settings: means over the seeds."""
    lines = [
        "| data, settings | seeds | steps x batch | anchors | Trainer, min | AP | AP50 |",
        "|---|---:|---|---|---:|---:|---:|",
    ]
    for name in DATA:
        for settings in SETTINGS:
            of_line = [row for row in rows if (row["data"], row["settings"]) == (name, settings)]
            if of_line:
                means = {key: float(np.mean([row[key] for row in of_line])) for key in ("minutes", "AP", "AP50")}
                lines.append(
                    f"| {name}, {settings} | {len(of_line)} | {of_line[0]['training']} | {of_line[0]['anchors']} "
                    f"| {means['minutes']:.1f} | {means['AP']:.3f} | {means['AP50']:.3f} |"
                )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.defaults", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which data (default: all): {', '.join(DATA)}")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="of every training, to try the script; its rows are not kept")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.names) - DATA.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(DATA)}")
    if not WEIGHTS.exists():
        parser.error(f"{WEIGHTS} is not there; set SHARED_DIR to the folder with data/ and weights/")
    kept = arguments.steps is None
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()] if kept and ROWS.exists() else []
    known = {(row["data"], row["settings"], row["seed"]) for row in rows}
    for seed in range(arguments.seeds):
        for name in arguments.names or DATA:
            for settings in SETTINGS:
                if (name, settings, seed) in known:
                    continue
                row = _measured(name, settings, seed, arguments.steps)
                rows.append(row)
                if kept:
                    with ROWS.open("a") as file:
                        file.write(json.dumps(row) + "\n")
    print(_table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
