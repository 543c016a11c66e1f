"""From which score on a detection should be believed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final, Self

from components.evaluator.analysis.operating_point import (
    MIN_OBJECTS,
    Rule,
    Thresholds,
    operating_points,
    point_of,
    thresholds_of,
)
from components.evaluator.analysis.precision_recall import rankings, thinned, together
from components.report.charts import COLOURS
from components.report.section import Run, Section, TextPair
from components.report.unit_chart import UnitChart, UnitLine, unit_chart
from components.report.worst_classes import worst_classes
from schema.operating_points import OperatingPoint

RULES: Final = (
    ("best F1", Rule()),
    ("precision of at least 0.9", Rule("precision", 0.9)),
    ("recall of at least 0.9", Rule("recall", 0.9)),
)
_ALL: Final = "all classes together"
_MOST_POINTS: Final = 120


@dataclasses.dataclass(frozen=True)
class ThresholdRow:
    """One class.

    Attributes:
      name: of the class.
      objects: that there are to find.
      points: by rule, in the order of ``RULES``; those of all classes together where the class has too few objects.
    """

    name: str
    objects: int
    points: tuple[OperatingPoint, ...]


@dataclasses.dataclass(frozen=True)
class ScoreThresholds(Section):
    """Thresholds for the usual wishes.

    Attributes:
      together: the row of all classes together.
      classes: in the order of the class names.
      every: all thresholds there are, of all classes together.
    """

    title = "Thresholds"
    template = "thresholds.html"

    together: ThresholdRow
    classes: tuple[ThresholdRow, ...]
    every: Thresholds

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Computes them from the matches; None where there was nothing to find, or nothing was found."""
        images = run.matches
        if images is None:
            return None
        everything = together(rankings(images, images.candidate))
        points = tuple(point for _, rule in RULES if (point := point_of(everything, rule)) is not None)
        if not points:
            return None
        by_rule = [operating_points(images, rule) for _, rule in RULES]
        rows = tuple(
            ThresholdRow(name, by_rule[0][name].support, tuple(of_rule[name] for of_rule in by_rule))
            for name in images.class_names
            if by_rule[0][name].support
        )
        return cls(ThresholdRow(_ALL, everything.objects, points), rows, thresholds_of(everything))

    def lines(self) -> Sequence[TextPair]:
        """The one that most take."""
        best = self.together.points[0]
        figures = f"precision {best.precision:.2f}, recall {best.recall:.2f}"
        return ((self.title, f"F1 is highest, {best.f1:.2f}, from score {best.threshold:.2f} on ({figures})"),)

    @property
    def rules(self) -> Sequence[str]:
        """Heads of the columns."""
        return [name for name, _ in RULES]

    @property
    def min_objects(self) -> int:
        """Of a class that has a threshold of its own."""
        return MIN_OBJECTS

    @property
    def _shown(self) -> tuple[list[int], int]:
        return worst_classes([-row.points[0].f1 for row in self.classes])

    @property
    def rows(self) -> Sequence[ThresholdRow]:
        """All classes together, then the classes with the lowest F1."""
        return [self.together, *(self.classes[place] for place in self._shown[0])]

    @property
    def not_shown(self) -> int:
        """Classes with a higher F1."""
        return self._shown[1]

    @property
    def chart(self) -> UnitChart:
        """What each score would bring, all classes together."""
        scores = self.every.scores[::-1]
        measures = (
            ("precision", self.every.precisions),
            ("recall", self.every.recalls),
            ("F1", self.every.f1s),
        )
        return unit_chart(
            [
                UnitLine(name, colour, thinned(scores, values[::-1], _MOST_POINTS))
                for (name, values), colour in zip(measures, COLOURS, strict=False)
            ],
            "score from which on detections are believed",
            "all classes together",
        )
