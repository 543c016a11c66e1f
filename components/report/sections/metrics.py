"""The metrics of the model: over the whole split, of every class, and by slice."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Final, Self

from components.evaluator.check import OVERALL
from components.evaluator.evaluation import SliceResult
from components.evaluator.settings import CLASS_COLUMN
from components.report.charts import Bar
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
    """

    title = "AP / AP50"
    template = "metrics.html"

    all_images: SliceResult
    by_slice: Sequence[SliceResult]
    where: str

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
        return cls(evaluation.overall, slices, where)

    @property
    def overall(self) -> Values:
        """Over the whole split."""
        return self.all_images.metrics

    @property
    def before(self) -> Values:
        """The last blessed model's over the whole split; empty when there was none."""
        return self.all_images.baseline_metrics

    def classes(self) -> list[tuple[str, Values]]:
        """AP and AP50 of every class itself, the lowest AP first."""
        names = sorted(key.removeprefix("AP/") for key in self.overall if key.startswith("AP/"))
        classes = [
            (name, {key: self.overall.get(f"{key}/{name}", math.nan) for key in ("AP", "AP50")}) for name in names
        ]
        return sorted(classes, key=lambda item: (math.isnan(item[1]["AP"]), item[1]["AP"]))

    def slices(self) -> dict[str, list[tuple[str, Values]]]:
        """Metrics of the slices by what they are slices of: ``by weather``, ``by weather x time_of_day``."""
        grouped: dict[str, list[tuple[str, Values]]] = {}
        for result in self.by_slice:
            heading = slice_heading([column for column, _ in result.values])
            grouped.setdefault(heading, []).append((" x ".join(value for _, value in result.values), result.metrics))
        return grouped

    def lines(self) -> Sequence[TextPair]:
        """AP and AP50 of the whole, of the classes, and by slice."""
        compared = f"; last blessed model {_pair(self.before)}" if self.before else ""
        images = f"{self.overall.get('image_count', 0):.0f} images"
        grouped = {"by class": self.classes(), **self.slices()}
        return (
            (self.title, f"{_pair(self.overall)} on {images}{self.where}{compared}"),
            *(("", f"{heading}: {_shortened(entries)}") for heading, entries in grouped.items() if entries),
        )

    def tiles(self) -> Sequence[TextPair]:
        """AP and AP50."""
        return [(name, _number(self.overall.get(name, math.nan))) for name in ("AP", "AP50")]

    @property
    def headline_bars(self) -> Sequence[Bar]:
        """COCO's metrics over the whole split, with the change against the last blessed model."""
        bars = []
        for name in _HEADLINES:
            value = self.overall.get(name, math.nan)
            change = value - self.before.get(name, math.nan)
            bars.append(Bar(name, value, _number(value) + ("" if math.isnan(change) else f" ({change:+.3f})")))
        return bars

    @property
    def class_bars(self) -> Sequence[Bar]:
        """AP of every class."""
        return [
            Bar(name, values["AP"], f"{_number(values['AP'])} / {_number(values['AP50'])}")
            for name, values in self.classes()
        ]

    @property
    def slice_bars(self) -> Sequence[tuple[str, Sequence[Bar]]]:
        """AP by slice, with the number of images."""
        return [
            (
                heading,
                [
                    Bar(value, metrics.get("AP", math.nan), f"{_pair(metrics)} ({metrics.get('image_count', 0):.0f})")
                    for value, metrics in entries
                ],
            )
            for heading, entries in self.slices().items()
        ]


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


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _pair(metrics: Values) -> str:
    return f"{_number(metrics.get('AP', math.nan))} / {_number(metrics.get('AP50', math.nan))}"


def _shortened(entries: Sequence[tuple[str, Values]]) -> str:
    shown = [f"{value} {_pair(metrics)}" for value, metrics in entries[:_MOST_VALUES_A_LINE]]
    rest = [f"{len(entries) - len(shown)} more"] if len(entries) > len(shown) else []
    return ", ".join([*shown, *rest])
