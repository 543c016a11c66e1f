"""The metrics of the model beside the last blessed one's: over the whole split, of every class, and by slice."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Final, Self

from components.evaluator.check import OVERALL, slice_name
from components.evaluator.coco import class_metric
from components.evaluator.evaluation import SliceResult
from components.evaluator.settings import CLASS_COLUMN
from components.report.measured_rows import MeasuredRow, MeasuredTable, number, pair
from components.report.section import Run, Section, TextPair

_MOST_VALUES_A_LINE: Final = 8
_HEADLINES: Final = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100")

Values = Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Metrics(Section):
    """What the Evaluator measured.

    Attributes:
      all_images: what was measured over the whole split.
      by_slice: and on its slices.
      where: which images the figures are of, as an ending of "on 100 images".
      confidence: of the intervals.
    """

    title = "AP / AP50"
    template = "metrics.html"

    all_images: SliceResult
    by_slice: Sequence[SliceResult]
    where: str
    confidence: float = 0.95

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Reads the artifact ``evaluation``."""
        evaluation = run.evaluation
        if evaluation is None or evaluation.overall is None:
            return None
        where = f" of the split {run.record.judged_split}" if run.record.judged_split else ""
        if run.record.judged_on_chosen_split:
            where += ", which the checkpoint was chosen on"
        slices = [result for result in evaluation.slices if result.values != OVERALL]
        return cls(evaluation.overall, slices, where, evaluation.confidence)

    @property
    def overall(self) -> Values:
        """Over the whole split."""
        return self.all_images.metrics

    @property
    def before(self) -> Values:
        """The last blessed model's over the whole split; empty when there was none."""
        return self.all_images.baseline_metrics

    @property
    def images(self) -> int:
        """Images of the whole split."""
        return int(self.overall.get("image_count", 0))

    def classes(self) -> list[tuple[str, Values]]:
        """AP and AP50 of every class itself, the lowest AP first."""
        names = sorted(key.removeprefix("AP/") for key in self.overall if key.startswith("AP/"))
        classes = [
            (name, {key: self.overall.get(class_metric(key, name), math.nan) for key in ("AP", "AP50")})
            for name in names
        ]
        return sorted(classes, key=lambda item: (math.isnan(item[1]["AP"]), item[1]["AP"]))

    def slices(self) -> dict[str, list[SliceResult]]:
        """The slices by what they are slices of: ``by weather``, ``by weather x time_of_day``."""
        grouped: dict[str, list[SliceResult]] = {}
        for result in self.by_slice:
            grouped.setdefault(slice_heading([column for column, _ in result.values]), []).append(result)
        return grouped

    def lines(self) -> Sequence[TextPair]:
        """AP and AP50 of the whole, of the classes, and by slice; the slices that are worse for certain."""
        compared = f"; last blessed model {pair(self.before)}" if self.before else ""
        slices = {
            heading: [(_values(result), result.metrics) for result in results]
            for heading, results in self.slices().items()
        }
        grouped = {"by class": self.classes(), **slices}
        worse = self.worse
        worst = [f"{row.name} {row.change_text}" for row in worse[:_MOST_VALUES_A_LINE]]
        rest = [f"{len(worse) - len(worst)} more"] if len(worse) > len(worst) else []
        return (
            (self.title, f"{pair(self.overall)} on {self.images} images{self.where}{compared}"),
            *(("", f"{heading}: {_shortened(entries)}") for heading, entries in grouped.items() if entries),
            *([("", f"AP certainly fell: {', '.join([*worst, *rest])}")] if worse else []),
        )

    def tiles(self) -> Sequence[TextPair]:
        """AP and AP50, with their intervals."""
        tiles = []
        for name in ("AP", "AP50"):
            ends = self.all_images.intervals.get(name)
            sure = "" if ends is None else f" ({ends[0]:.2f} to {ends[1]:.2f})"
            tiles.append((f"{name}{sure}", number(self.overall.get(name, math.nan))))
        return tiles

    @property
    def headline_table(self) -> MeasuredTable:
        """COCO's metrics over the whole split."""
        rows = [MeasuredRow.of(self.all_images, name, name) for name in _HEADLINES]
        return MeasuredTable("All images", "metric", "", "", rows)

    @property
    def class_table(self) -> MeasuredTable:
        """AP of every class."""
        rows = [
            MeasuredRow.of(self.all_images, class_metric("AP", name), name, beside=class_metric("AP50", name))
            for name, _ in self.classes()
        ]
        return MeasuredTable("By class, lowest AP first", "class", "AP", "AP50", rows)

    @property
    def slice_tables(self) -> Sequence[MeasuredTable]:
        """AP by slice, with the number of images."""
        return [
            MeasuredTable(
                heading[0].upper() + heading[1:],
                "slice",
                "AP",
                "AP50",
                [_slice_row(result, _values(result)) for result in results],
            )
            for heading, results in self.slices().items()
        ]

    @property
    def tables(self) -> Sequence[MeasuredTable]:
        """All of them that have rows."""
        return [table for table in (self.headline_table, self.class_table, *self.slice_tables) if table.rows]

    @property
    def worse(self) -> Sequence[MeasuredRow]:
        """The slices whose AP fell for certain, the deepest fall first."""
        rows = [_slice_row(result, slice_name(result.values)) for result in self.by_slice]
        return sorted((row for row in rows if row.certainly == "worse"), key=lambda row: row.value - row.before)

    @property
    def changes_by_chance(self) -> tuple[int, float]:
        """Intervals of changes by slice, and how many of so many would exclude 0 if nothing had changed."""
        count = sum("AP" in result.changes for result in self.by_slice)
        return count, count * (1 - self.confidence)


def slice_heading(columns: Sequence[str]) -> str:
    """What a slice by these columns is.

    A slice by ``class`` holds every object on the images that show the class, so that its AP is not that of the class.

    >>> slice_heading(["weather", "time_of_day"]), slice_heading(["class"]), slice_heading(["class", "weather"])
    ('by weather x time_of_day', 'images that show', 'images that show, by weather')
    """
    others = " x ".join(column for column in columns if column != CLASS_COLUMN)
    if CLASS_COLUMN not in columns:
        return f"by {others}"
    return f"images that show, by {others}" if others else "images that show"


def _values(result: SliceResult) -> str:
    return " x ".join(value for _, value in result.values)


def _slice_row(result: SliceResult, name: str) -> MeasuredRow:
    return MeasuredRow.of(result, "AP", name, beside="AP50", images=int(result.metrics.get("image_count", 0)))


def _shortened(entries: Sequence[tuple[str, Values]]) -> str:
    shown = [f"{value} {pair(metrics)}" for value, metrics in entries[:_MOST_VALUES_A_LINE]]
    rest = [f"{len(entries) - len(shown)} more"] if len(entries) > len(shown) else []
    return ", ".join([*shown, *rest])
