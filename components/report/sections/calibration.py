"""Whether the scores mean what they say."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Final, Self

from components.evaluator.analysis.calibration import MIN_DETECTIONS, Calibration, calibration
from components.report.charts import COLOURS, Bar
from components.report.section import Run, Section, TextPair
from components.report.unit_chart import UnitChart, UnitLine, unit_chart
from components.report.worst_classes import worst_classes

_LEAST_SAID: Final = 0.1


@dataclasses.dataclass(frozen=True)
class CalibrationOfScores(Section):
    """The calibration of the model, and of the last blessed one.

    Attributes:
      candidate: the model's.
      baseline: the last blessed model's on the same images; None without one, or without a detection of it.
    """

    title = "Calibration"
    template = "calibration.html"

    candidate: Calibration
    baseline: Calibration | None

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Computes it from the matches; None where nothing was found."""
        images = run.matches
        if images is None:
            return None
        candidate = calibration(images, images.candidate)
        baseline = None if images.baseline is None else calibration(images, images.baseline)
        if math.isnan(candidate.error):
            return None
        return cls(candidate, None if baseline is None or math.isnan(baseline.error) else baseline)

    def lines(self) -> Sequence[TextPair]:
        """Says when scores cannot be taken for probabilities."""
        if self.candidate.error < _LEAST_SAID:
            return ()
        compared = f"; last blessed model {self.baseline.error:.2f}" if self.baseline else ""
        return ((self.title, f"scores are {self.leaning}, off by {self.candidate.error:.2f} on average{compared}"),)

    @property
    def leaning(self) -> str:
        """To which side the scores are off."""
        over = self.candidate.overconfidence
        if abs(over) < self.candidate.error / 2:
            return "too high here and too low there"
        return "too high" if over > 0 else "too low"

    @property
    def chart(self) -> UnitChart:
        """Share of true detections over the mean score of each bin."""
        models = [("this model", self.candidate, COLOURS[0])]
        if self.baseline:
            models.append(("last blessed model", self.baseline, COLOURS[1]))
        lines = [UnitLine("what the scores say", "currentColor", [(0, 0), (1, 1)], "faint")]
        for name, model, colour in models:
            points = [(bin_.mean_score, bin_.precision) for bin_ in model.bins if bin_.count]
            lines.append(UnitLine(name, colour, points, "solid" if model is self.candidate else "dashed", True))
        return unit_chart(lines, "score", "share of true detections")

    @property
    def min_detections(self) -> int:
        """Of a class that has a bar."""
        return MIN_DETECTIONS

    @property
    def class_bars(self) -> Sequence[Bar]:
        """Expected calibration error of the classes that have one, the largest first."""
        names = list(self.candidate.of_classes)
        shown, _ = worst_classes(list(self.candidate.of_classes.values()))
        bars = []
        for place in shown:
            error = self.candidate.of_classes[names[place]]
            before = self.baseline.of_classes.get(names[place]) if self.baseline else None
            bars.append(Bar(names[place], error, f"{error:.3f}" + ("" if before is None else f" ({before:.3f})")))
        return bars

    @property
    def not_shown(self) -> int:
        """Classes with an error that is smaller than those shown."""
        return len(self.candidate.of_classes) - len(self.class_bars)
