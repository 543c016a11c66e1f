"""A training as a program: ``python -m components.trainer.measured_training FOLDER``.

FOLDER holds ``training.json`` (``comparison.training``) and receives ``result.json`` with the COCO metrics of the
exported model on the judged records and what it cost, or ``error.txt``. Whoever starts it is
``comparison.training_process``.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import statistics
import sys
import threading
import time
import traceback
from typing import Final

import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from components.evaluator.exported_model import metrics_of_export
from components.trainer.comparison.training import Outcome, Training
from components.trainer.comparison.training_process import (
    ERROR_FILE,
    MODEL_FOLDER,
    RESULT_FILE,
    RUN_FOLDER,
    TRAINING_FILE,
    curve,
    read_history,
)
from components.trainer.input.record_stream import ordered_records
from components.trainer.operating_points import OPERATING_POINT
from components.trainer.run import run_fn
from components.trainer.settings import TrainConfig
from components.trainer.state.progress_log import HISTORY_FILE
from components.user_error import failure_reason

_LOOK_EVERY_SECONDS: Final = 2.0


def main(argv: list[str]) -> int:
    """Entry point. Exit status: 0 there is a result, 1 it failed."""
    (folder,) = map(pathlib.Path, argv)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        outcome = measure(Training.read(folder / TRAINING_FILE), folder)
    except Exception as error:
        traceback.print_exc()
        (folder / ERROR_FILE).write_text(failure_reason(error))
        return 1
    (folder / RESULT_FILE).write_text(json.dumps(outcome.fields()))
    return 0


def measure(training: Training, folder: pathlib.Path) -> Outcome:
    """Trains, exports and judges the export, which carries no score thresholds: no figure depends on them.

    Raises:
      Exception: what ``run_fn`` raises.
    """
    start = time.monotonic()
    model = str(folder / MODEL_FOLDER)
    run_fn(
        FnArgs(
            train_files=list(training.train_files),
            eval_files=list(training.eval_files),
            transform_graph_path=training.transform_graph,
            base_model=training.base_model,
            model_run_dir=str(folder / RUN_FOLDER),
            serving_model_dir=model,
            custom_config={key: value for key, value in training.config.items() if key != OPERATING_POINT},
        )
    )
    seconds = time.monotonic() - start
    history = read_history(folder / RUN_FOLDER / HISTORY_FILE)
    speeds = [entry["images_per_second"] for entry in history if entry.get("images_per_second")]
    batch_size = TrainConfig.model_validate_json(training.config["train"]).batch_size
    records = ordered_records(training.judged_files).as_numpy_iterator()
    memory = _peak_memory_megabytes(), _peak_device_megabytes()
    return Outcome(
        metrics_of_export(model, records, batch_size),
        seconds=seconds,
        images_per_second=statistics.median(speeds) if speeds else 0.0,
        peak_memory_megabytes=memory[0],
        peak_device_megabytes=memory[1],
        steps=max((entry["step"] for entry in history), default=0),
        evaluations=curve([entry for entry in history if "AP" in entry]),
    )


def _peak_memory_megabytes() -> float:
    # Not of `getrusage`: what that says of a new process includes the one that started it.
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _peak_device_megabytes() -> float:
    if not tf.config.list_physical_devices("GPU"):
        return 0.0
    return float(tf.config.experimental.get_memory_info("GPU:0")["peak"]) / 2**20


def _end_with_parent(parent: int) -> None:
    """A comparison that was killed leaves no training behind, which would hold its checkpoints against the next one."""
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
