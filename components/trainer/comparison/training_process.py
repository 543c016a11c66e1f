"""A training in a process of its own: memory and seeds are clean, and one that dies is a row with its error.

Every training has a folder named after what decides about it. What is there when it is over is its result, so that a
comparison that was stopped takes up the results that there are; one that was killed goes on at its last checkpoint.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from components.trainer.comparison.training import Outcome, Training
from components.trainer.state.progress_log import HISTORY_FILE

PROGRAM: Final = ".".join(("components.trainer", "measured_training"))
"""What a process runs. Not as one text, which the digest of the Trainer's code would follow: the program judges, too,
and how is judged is no reason to train again, unless what is trained was chosen by it."""
TRAINING_FILE: Final = "training.json"
RESULT_FILE: Final = "result.json"
ERROR_FILE: Final = "error.txt"
RUN_FOLDER: Final = "run"
MODEL_FOLDER: Final = "model"
_LOG_FILE: Final = "log.txt"
_LOOK_EVERY_SECONDS: Final = 0.5
_SECONDS_TO_END: Final = 60.0

Evaluations = Sequence[dict[str, Any]]
"""Entries of the history with metrics, oldest first."""


def run_training(
    training: Training,
    folder: pathlib.Path,
    *,
    limit_seconds: float | None = None,
    stop_at: Callable[[Evaluations], str | None] | None = None,
) -> Outcome:
    """The outcome of a training: read where it is known, else found out.

    Args:
      training: what to do.
      folder: with the folders of all trainings.
      limit_seconds: the process is stopped after so many.
      stop_at: told the evaluations whenever there is a new one; a reason stops the training, whose last metrics are
        then its outcome. The reason is the outcome's ``error``.
    """
    known = known_outcome(training, folder)
    if known is not None:
        return known
    own = folder / training.identity
    result = own / RESULT_FILE
    own.mkdir(parents=True, exist_ok=True)
    (own / ERROR_FILE).unlink(missing_ok=True)
    training.write(own / TRAINING_FILE)
    started = time.monotonic()
    with (own / _LOG_FILE).open("ab") as log, _process(own, log) as process:
        reason = _wait(process, own / RUN_FOLDER / HISTORY_FILE, started, limit_seconds, stop_at)
    seconds = time.monotonic() - started
    if reason:
        outcome = _stopped(own, reason, seconds)
    elif not result.exists():
        return Outcome(process_seconds=seconds, error=_error(own, process.returncode))
    else:
        outcome = dataclasses.replace(Outcome.of(json.loads(result.read_text())), process_seconds=seconds)
    partial = own / f"{RESULT_FILE}.partial"
    partial.write_text(json.dumps(outcome.fields(), indent=1))
    partial.replace(result)
    # Gigabytes over a whole comparison, and nobody looks at them again.
    for name in (RUN_FOLDER, MODEL_FOLDER):
        shutil.rmtree(own / name, ignore_errors=True)
    return outcome


def known_outcome(training: Training, folder: pathlib.Path) -> Outcome | None:
    """The outcome of a training that is over; None when it is not, or has failed."""
    result = folder / training.identity / RESULT_FILE
    return Outcome.of(json.loads(result.read_text())) if result.exists() else None


def _process(own: pathlib.Path, log: Any) -> subprocess.Popen[bytes]:
    # Several processes may share a GPU: none takes all of its memory.
    environment = {**os.environ, "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    # It trains alone, whatever cluster of workers the training to come is part of.
    environment.pop("TF_CONFIG", None)
    # The packages of this process are found there as here.
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-m", PROGRAM, str(own)]
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)


def _wait(
    process: subprocess.Popen[bytes],
    history: pathlib.Path,
    started: float,
    limit_seconds: float | None,
    stop_at: Callable[[Evaluations], str | None] | None,
) -> str | None:
    """Waits for the end; why the process was ended before, None when it was not."""
    seen = 0
    try:
        while True:
            try:
                process.wait(_LOOK_EVERY_SECONDS)
            except subprocess.TimeoutExpired:
                pass
            else:
                return None
            reason = None
            if limit_seconds is not None and time.monotonic() - started > limit_seconds:
                reason = f"stopped after {limit_seconds:.0f} s: that is all there was for it"
            elif stop_at is not None:
                evaluations = read_evaluations(history)
                if len(evaluations) > seen:
                    seen, reason = len(evaluations), stop_at(evaluations)
            if reason:
                process.kill()
                process.wait()
                return reason
    except BaseException:
        # Asked to end, the training writes a checkpoint; the next attempt goes on from there.
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
        raise


def read_history(path: pathlib.Path) -> list[dict[str, Any]]:
    """The entries of a history that may be written at this moment."""
    try:
        lines = path.read_text().split("\n")
    except FileNotFoundError:
        return []
    # What follows the last line end is a line half written.
    return [json.loads(line) for line in lines[:-1] if line]


def read_evaluations(path: pathlib.Path) -> list[dict[str, Any]]:
    """Those with metrics."""
    return [entry for entry in read_history(path) if "AP" in entry]


def curve(evaluations: Evaluations) -> tuple[tuple[int, float], ...]:
    """Step and AP of each; an AP with nothing to find behind it is 0."""
    return tuple((entry["step"], entry["AP"] or 0.0) for entry in evaluations)


def _stopped(own: pathlib.Path, reason: str, seconds: float) -> Outcome:
    evaluations = read_evaluations(own / RUN_FOLDER / HISTORY_FILE)
    last = max(evaluations, key=lambda entry: entry["AP"] or 0.0, default={"step": 0})
    metrics = {name: value for name, value in last.items() if name not in ("step", "phase") and value is not None}
    return Outcome(
        metrics,
        seconds=seconds,
        process_seconds=seconds,
        steps=last["step"],
        evaluations=curve(evaluations),
        error=reason,
    )


def _error(own: pathlib.Path, status: int) -> str:
    """Why a process ended without a result."""
    if (own / ERROR_FILE).exists():
        return (own / ERROR_FILE).read_text().strip()
    if status < 0:
        name = signal.Signals(-status).name
        advice = " (the machine may have been out of memory)" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{advice}; its log is {own / _LOG_FILE}"
    return f"its process ended with status {status}; its log is {own / _LOG_FILE}"
