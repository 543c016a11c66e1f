"""What a training says about itself: a progress line, TensorBoard scalars and ``training_history.jsonl``."""

from __future__ import annotations

import datetime
import json
import math
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import tensorflow as tf

from components.evaluator.coco import COCO_METRICS, class_metric

HISTORY_FILE = "training_history.jsonl"
"""In the model run's folder. Two kinds of lines: ``{"step": 20, "phase": "fine_tune", "losses": {"total": 1.2, ...},
"learning_rate": 1e-3, "images_per_second": 30.1}``, with ``"measures": {"domain_accuracy": 0.6}`` where the phase has
such, and ``{"step": 100, "phase": "fine_tune", "AP": 0.41, ...}``, with ``"groups": {"base": {"AP": 0.5, "AP50": 0.7},
...}`` where the phase parts the classes."""
_TERMINAL_INTERVAL_SECONDS = 0.5
_GROUP_METRICS: Final = ("AP", "AP50")
"""What is told of groups of classes."""


class ProgressLog:
    """Keeps the time and writes what happens.

    Args:
      folder: of the model run; TensorBoard reads it.
      steps: of the whole training.
      batch_size: images in a step.
      line_every_seconds: between lines in a log; a terminal has one line that is kept up to date.
      history: entries of the training so far, when it is resumed; new ones are appended to it.
    """

    def __init__(
        self, folder: str, *, steps: int, batch_size: int, line_every_seconds: float, history: list[dict[str, Any]]
    ) -> None:
        self._steps = steps
        self._batch_size = batch_size
        self._terminal = sys.stdout.isatty()
        self._line_interval = _TERMINAL_INTERVAL_SECONDS if self._terminal else line_every_seconds
        self._history = history
        self._writer = tf.summary.create_file_writer(folder)
        self._history_path = f"{folder}/{HISTORY_FILE}"
        tf.io.gfile.makedirs(folder)
        self._write_history()
        self._phase = ""
        self._images_per_second = 0.0
        self._last_line = 0.0
        self._evaluation_seconds = 0.0
        self._evaluations_left = 0
        self._measured_from: tuple[int, float] | None = None

    def begin_phase(self, name: str, steps: int, variables: int) -> None:
        """What follows belongs to this phase, in which so many variables learn."""
        self._phase = name
        self._measured_from = None
        self.message(f"{name}: {steps} steps, {variables} variables learn")

    def start_clock(self, step: int) -> None:
        """Speed is measured from here: after the first step (which compiles) and after every evaluation."""
        self._measured_from = (step, time.monotonic())

    def losses(
        self, step: int, means: Mapping[str, float], learning_rate: float, measures: Collection[str] = ()
    ) -> None:
        """Mean losses over the steps since the last call, and what is no loss but among them: the measures."""
        losses = {name: value for name, value in means.items() if name not in measures}
        measured = {name: value for name, value in means.items() if name in measures}
        if self._measured_from is not None and step > self._measured_from[0]:
            start_step, start = self._measured_from
            self._images_per_second = (step - start_step) * self._batch_size / max(time.monotonic() - start, 1e-9)
            self.start_clock(step)
        entry = {
            "step": step,
            "phase": self._phase,
            "losses": {name: round(value, 6) for name, value in losses.items()},
            **({"measures": {name: round(value, 6) for name, value in measured.items()}} if measured else {}),
            "learning_rate": learning_rate,
            "images_per_second": round(self._images_per_second, 2),
        }
        self._append(entry)
        with self._writer.as_default(step=step):
            for name, value in losses.items():
                tf.summary.scalar(f"loss/{name}", value)
            for name, value in measured.items():
                tf.summary.scalar(f"measure/{name}", value)
            tf.summary.scalar("learning_rate", learning_rate)
            tf.summary.scalar("images_per_second", self._images_per_second)
        if time.monotonic() - self._last_line >= self._line_interval or step == self._steps:
            self._last_line = time.monotonic()
            self._show(self._line(step, losses, measured), keep=not self._terminal)

    def evaluation(
        self,
        step: int,
        metrics: Mapping[str, float],
        seconds: float,
        evaluations_left: int,
        class_groups: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        """Metrics of an evaluation that took ``seconds``; of groups of classes (names by the group's) their means."""
        self._evaluation_seconds, self._evaluations_left = seconds, evaluations_left
        overall = {name: metrics[name] for name in COCO_METRICS}
        groups = {
            group: {name: mean_metric(name, metrics, names) for name in _GROUP_METRICS}
            for group, names in class_groups.items()
        }
        self._append(
            {"step": step, "phase": self._phase}
            | {name: _number(value) for name, value in overall.items()}
            | ({"groups": {g: {k: _number(v) for k, v in of_group.items()} for g, of_group in groups.items()}}
               if groups else {})
        )  # fmt: skip
        with self._writer.as_default(step=step):
            for name, value in metrics.items():
                tf.summary.scalar(f"eval/{name}", value)
            for group, of_group in groups.items():
                for name, value in of_group.items():
                    tf.summary.scalar(f"eval/{name} of {group} classes", value)
        self._writer.flush()
        parts = "".join(
            f"; {group} classes AP {of_group['AP']:.4f}, AP50 {of_group['AP50']:.4f}"
            for group, of_group in groups.items()
        )
        self.message(
            f"step {step}/{self._steps}: AP {overall['AP']:.4f}, AP50 {overall['AP50']:.4f}, "
            f"AR100 {overall['AR100']:.4f} on the eval split{parts} ({seconds:.1f} s)"
        )

    def message(self, text: str) -> None:
        """A line that stays."""
        self._show(text, keep=True)

    def close(self) -> None:
        """Flushes TensorBoard."""
        self._writer.close()

    def _line(self, step: int, losses: Mapping[str, float], measured: Mapping[str, float]) -> str:
        parts = ", ".join(f"{name} {value:.4f}" for name, value in losses.items() if name != "total")
        beside = "".join(f", {name} {value:.3f}" for name, value in measured.items())
        seconds = (self._steps - step) * self._batch_size / self._images_per_second if self._images_per_second else 0.0
        left = datetime.timedelta(seconds=round(seconds + self._evaluations_left * self._evaluation_seconds))
        return (
            f"step {step}/{self._steps}: loss {losses.get('total', 0.0):.4f} ({parts}){beside}, "
            f"{self._images_per_second:.1f} images/s, {left} left"
        )

    def _show(self, text: str, keep: bool) -> None:
        # A terminal's line is written over: carriage return, then clear to the end.
        start = "\r\x1b[K" if self._terminal else ""
        print(f"{start}{text}", end="\n" if keep else "", flush=True)

    def _append(self, entry: dict[str, Any]) -> None:
        self._history.append(entry)
        with tf.io.gfile.GFile(self._history_path, "a") as file:
            file.write(json.dumps(entry) + "\n")

    def _write_history(self) -> None:
        with tf.io.gfile.GFile(self._history_path, "w") as file:
            file.write("".join(json.dumps(entry) + "\n" for entry in self._history))


def mean_metric(metric: str, metrics: Mapping[str, float], class_names: Sequence[str]) -> float:
    """Mean of a metric over classes that have an object to find; NaN when none has."""
    values = [metrics[class_metric(metric, name)] for name in class_names]
    found = [value for value in values if not math.isnan(value)]
    return sum(found) / len(found) if found else math.nan


def _number(value: float) -> float | None:
    """JSON has no NaN; a metric with nothing to find behind it is null."""
    return None if math.isnan(value) else round(value, 6)


def evaluations_left(step: int, steps: int, interval: int) -> int:
    """How many evaluations follow a step: one every ``interval`` steps and one after the last."""
    if step >= steps:
        return 0
    return (steps - 1) // interval - step // interval + 1
