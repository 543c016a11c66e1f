"""Precision against recall, at a loose and a strict IoU."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Final, Self

from components.evaluator.analysis.precision_recall import (
    AT_IOU_50,
    AT_IOU_75,
    PrecisionRecall,
    mean_interpolated,
    precision_recall,
    rankings,
    thinned,
)
from components.evaluator.coco_accumulation import RECALL_THRESHOLDS
from components.evaluator.matched_images import Detections, MatchedImages
from components.report.charts import COLOURS
from components.report.section import Run, Section
from components.report.unit_chart import UnitChart, UnitLine, unit_chart
from components.report.worst_classes import worst_classes

_AT: Final = (("0.50", AT_IOU_50, COLOURS[0]), ("0.75", AT_IOU_75, COLOURS[1]))
_MOST_POINTS: Final = 60

Curves = dict[str, tuple[PrecisionRecall, ...]]
"""Curves of the classes by IoU."""


@dataclasses.dataclass(frozen=True)
class ClassChart:
    """One class.

    Attributes:
      name: of the class.
      text: its AP50 and AP75, in brackets those of the last blessed model.
      chart: the curves.
    """

    name: str
    text: str
    chart: UnitChart


@dataclasses.dataclass(frozen=True)
class PrecisionRecallCurves(Section):
    """The curves of the model, and of the last blessed one.

    Attributes:
      class_names: in the order of the curves.
      candidate: the model's.
      baseline: the last blessed model's on the same images; None without one.
    """

    title = "PR curves"
    template = "precision_recall.html"

    class_names: tuple[str, ...]
    candidate: Curves
    baseline: Curves | None

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Computes them from the matches; None where there was nothing to find."""
        images = run.matches
        if images is None or not images.num_objects:
            return None
        baseline = None if images.baseline is None else _curves(images, images.baseline)
        return cls(images.class_names, _curves(images, images.candidate), baseline)

    @property
    def mean_chart(self) -> UnitChart:
        """Means of the classes, as COCO interpolates them."""
        models = [(self.candidate, "IoU {}"), *([(self.baseline, "last blessed model, {}")] if self.baseline else [])]
        return unit_chart(
            [
                UnitLine(
                    name.format(iou),
                    colour,
                    thinned(RECALL_THRESHOLDS, mean_interpolated(curves[iou]), len(RECALL_THRESHOLDS)),
                    "solid" if curves is self.candidate else "dashed",
                )
                for curves, name in models
                for iou, _, colour in _AT
            ],
            "recall",
            "precision",
        )

    @property
    def _shown(self) -> tuple[list[int], int]:
        return worst_classes([-curve.average_precision for curve in self.candidate["0.50"]])

    @property
    def class_charts(self) -> Sequence[ClassChart]:
        """The classes with the lowest AP50."""
        return [self._class_chart(place) for place in self._shown[0]]

    @property
    def not_shown(self) -> int:
        """Classes that are not among them."""
        return self._shown[1]

    def _class_chart(self, place: int) -> ClassChart:
        lines, texts = [], []
        for iou, _, colour in _AT:
            curve = self.candidate[iou][place]
            ap = f"{curve.average_precision:.3f}"
            lines.append(UnitLine("", colour, thinned(curve.recalls, curve.precisions, _MOST_POINTS), "faint"))
            lines.append(UnitLine("", colour, thinned(RECALL_THRESHOLDS, curve.interpolated, _MOST_POINTS)))
            before = self.baseline[iou][place] if self.baseline else None
            if before is not None and not math.isnan(before.average_precision):
                points = thinned(RECALL_THRESHOLDS, before.interpolated, _MOST_POINTS)
                lines.append(UnitLine("", colour, points, "dashed"))
                ap += f" ({before.average_precision:.3f})"
            texts.append(ap)
        chart = unit_chart(lines, "recall", "precision", "small")
        return ClassChart(self.class_names[place], " / ".join(texts), chart)


def _curves(images: MatchedImages, detections: Detections) -> Curves:
    return {
        iou: tuple(precision_recall(ranking) for ranking in rankings(images, detections, threshold))
        for iou, threshold, _ in _AT
    }
