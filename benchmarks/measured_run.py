"""One run of the whole pipeline in a process of its own, and what came of it; several benchmarks are made of these."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import yaml

from benchmarks.real_data import REPOSITORY
from pipeline.config import load_config


def measured_run(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Runs the pipeline as a user would; what it prints goes to stderr. One that was stopped goes on where it was.

    Args:
      tree: the config, with ``name`` and ``root``, the folder that the config's file is put into, too.

    Returns:
      AP and AP50 of the evaluation, the Trainer's minutes, the training in steps x images, and its anchors.
    """
    folder = pathlib.Path(tree["root"])
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{tree['name']}.yaml"
    file.write_text(yaml.safe_dump(dict(tree), sort_keys=False))
    config = load_config(file)
    command = [sys.executable, "-m", "pipeline", "run", f"--config={file}"]
    subprocess.run(command, cwd=REPOSITORY, stdout=sys.stderr, check=True)
    # Behind the run: reading ML Metadata imports TensorFlow.
    from ml_metadata.proto import metadata_store_pb2

    from components.evaluator.evaluation import read_evaluation
    from components.report.run_record import read_run
    from components.trainer.training_plan import PLAN_FILE, TrainingPlan

    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(config.metadata_path)
    record = read_run(connection, config.name)
    evaluation, model_run = record.uri("evaluation"), record.uri("model_run")
    if evaluation is None or model_run is None:
        raise RuntimeError(f"{config.name}: the run in {config.metadata_path} did not get to its evaluation")
    metrics = read_evaluation(evaluation).overall.metrics
    plan = TrainingPlan.from_json(pathlib.Path(model_run, PLAN_FILE).read_text())
    return {
        "AP": metrics["AP"],
        "AP50": metrics["AP50"],
        "minutes": next(node.seconds for node in record.nodes if node.node == "Trainer") / 60,
        "training": f"{plan.steps} x {plan.batch_size}",
        "anchors": plan.anchors.described(),
    }


def kept_rows(file: pathlib.Path) -> list[dict[str, Any]]:
    """What was measured before: JSON, a row a line."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def keep_row(file: pathlib.Path, row: Mapping[str, Any]) -> None:
    """Appends a row."""
    with file.open("a") as lines:
        lines.write(json.dumps(dict(row)) + "\n")
