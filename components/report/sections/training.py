"""How the training went: losses and metrics over the steps."""

from __future__ import annotations

import dataclasses
import json
import math
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import tensorflow as tf

from components.report.charts import LineChart, Point, line_chart
from components.report.section import Run, Section, read_text, reading, text_lines
from components.trainer.training_plan import PLAN_FILE, TrainingPlan

HISTORY_FILE: Final = "training_history.jsonl"
_METRICS: Final = ("AP", "AP50")

Series = Mapping[str, Sequence[Point]]


@dataclasses.dataclass(frozen=True)
class Training(Section):
    """Curves of the training.

    Attributes:
      losses: (step, value) by part of the loss.
      metrics: (step, value) by metric, on the split that the checkpoint is chosen on.
      plan: lines on what was decided before the first step.
      measures: (step, value) in 0..1 by what else was measured, such as how well the domains can be told apart.
    """

    title = "Training"
    template = "training.html"

    losses: Series
    metrics: Series
    plan: Sequence[str] = ()
    measures: Series = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Reads the artifact ``model_run``; a Trainer that has no history yet has nothing to show."""
        path = run.file("model_run", HISTORY_FILE)
        if path is None:
            return None
        lines = text_lines(read_text(path))
        with reading(path):
            history = [json.loads(line) for line in lines]
            losses, metrics = _of_steps(history, "losses"), _metrics(history)
            measures = _of_steps(history, "measures")
        plan_path = posixpath.join(posixpath.dirname(path), PLAN_FILE)
        if not tf.io.gfile.exists(plan_path):  # the run is of an earlier version
            return cls(losses, metrics, measures=measures)
        text = read_text(plan_path)
        with reading(plan_path):
            return cls(losses, metrics, tuple(TrainingPlan.from_json(text).lines()), measures)

    @property
    def loss_chart(self) -> LineChart | None:
        """Losses start high for a moment; the scale is that of the rest."""
        values = sorted(value for points in self.losses.values() for _, value in points if math.isfinite(value))
        top = values[int(0.99 * (len(values) - 1))] if values else 1.0
        return line_chart(self.losses, y_max=top or 1.0)

    @property
    def metric_chart(self) -> LineChart | None:
        """The metrics, from 0 to 1."""
        return line_chart(self.metrics, y_max=1.0)

    @property
    def measure_chart(self) -> LineChart | None:
        """The measures, from 0 to 1: a domain accuracy of 0.5 says that the domains look alike."""
        return line_chart(self.measures, y_max=1.0)


def _of_steps(history: Sequence[Mapping[str, Any]], key: str) -> dict[str, list[Point]]:
    """What the entries of steps hold under ``losses`` or ``measures``."""
    series: dict[str, list[Point]] = {}
    for entry in history:
        for name, value in entry.get(key, {}).items():
            series.setdefault(name, []).append((entry["step"], float(value)))
    return series


def _metrics(history: Sequence[Mapping[str, Any]]) -> dict[str, list[Point]]:
    found = {
        name: [(entry["step"], float(entry[name])) for entry in history if entry.get(name) is not None]
        for name in _METRICS
    }
    return {name: points for name, points in found.items() if points}
