"""What a comparison says: a line for each rung and size, forecasts, the choice. As a table, CSV and JSON."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from components.trainer.comparison.comparison import Row
from components.trainer.comparison.intervals import CHOICE_RULE, Choice, Estimate, choose, estimate
from components.trainer.comparison.learning_curve import Forecast, ForecastError, forecast
from components.trainer.comparison.training import Outcome

METRICS: Final = ("AP", "AP50")
"""Those of the tables; the JSON file has all twelve."""
_FORECAST_AT: Final = (1.0, 1.5, 2.0, 3.0, 4.0)
"""Where the curves go on, in multiples of the largest training set."""


@dataclasses.dataclass(frozen=True)
class Line:
    """One rung with one number of images, over its seeds.

    Attributes:
      rung: its name.
      images: labelled images.
      estimates: of the metrics by name; empty where every training failed.
      seconds, images_per_second, peak_memory_megabytes, peak_device_megabytes: means.
      steps: most of a training.
      errors: of the trainings that failed.
    """

    rung: str
    images: int
    estimates: Mapping[str, Estimate]
    seconds: float
    images_per_second: float
    peak_memory_megabytes: float
    peak_device_megabytes: float
    steps: int
    errors: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Summary:
    """The whole comparison.

    Attributes:
      rows: every training.
      skipped: why a rung was not tried, by name.
      judged_split: the split that the metrics are of; the weights were chosen on ``eval``.
      terms: what was the same for all, in words.
    """

    rows: tuple[Row, ...]
    skipped: Mapping[str, str]
    judged_split: str
    terms: str

    @property
    def sizes(self) -> list[int]:
        """Numbers of images, rising."""
        return sorted({row.images for row in self.rows})

    @property
    def rungs(self) -> list[str]:
        """Names in the order in which they were tried."""
        return list(dict.fromkeys(row.rung for row in self.rows))

    @property
    def lines(self) -> list[Line]:
        """By size, then by rung."""
        groups: dict[tuple[int, str], list[Outcome]] = {
            (images, rung): [] for images in self.sizes for rung in self.rungs
        }
        for row in self.rows:
            groups[row.images, row.rung].append(row.outcome)
        return [_line(rung, images, outcomes) for (images, rung), outcomes in groups.items() if outcomes]

    @property
    def choice(self) -> Choice | None:
        """By AP with the most images; None when every training failed."""
        most = [line for line in self.lines if line.images == self.sizes[-1] and line.estimates] if self.rows else []
        return choose({line.rung: line.estimates["AP"] for line in most}, {line.rung: line.seconds for line in most})

    def forecasts(self) -> dict[str, list[Forecast] | str]:
        """How the learning curve of each rung goes on, or why nothing can be said about that."""
        found: dict[str, list[Forecast] | str] = {}
        for rung in self.rungs:
            good = [row for row in self.rows if row.rung == rung and not math.isnan(_metric(row.outcome, "AP"))]
            at = [round(self.sizes[-1] * times) for times in _FORECAST_AT]
            try:
                found[rung] = forecast([row.images for row in good], [_metric(row.outcome, "AP") for row in good], at)
            except ForecastError as error:
                found[rung] = str(error)
        return found

    @property
    def notes(self) -> list[str]:
        """What to keep in mind about the figures."""
        judged = (
            "the figures are of the images that they were chosen on, and so a little too good for all alike"
            if self.judged_split == "eval"
            else f"the figures are of the split {self.judged_split}, which nothing was chosen on"
        )
        return [
            f"The weights of each training are its best on the split eval; {judged}.",
            f"{self.terms} Means with 95 % intervals of Student's t over seeds.",
            f"The choice is, with the most images, {CHOICE_RULE}.",
        ]

    def table(self) -> str:
        """For the terminal and in Markdown."""
        header = ["way", "images", *METRICS, "seconds", "steps", "images/s", "memory, MB"]
        cells = [header, ["---", *["---:"] * (len(header) - 1)]]
        for line in self.lines:
            figures = [str(line.estimates[name]) for name in METRICS] if line.estimates else ["failed", ""]
            cells.append([line.rung, str(line.images), *figures, *costs(line)])
        widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
        return "\n".join(
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
            for row in cells
        )

    def remarks(self) -> list[str]:
        """Below the table: what failed, what was not tried, the choice."""
        failed = [f"{line.rung}, {line.images} images: {error}" for line in self.lines for error in line.errors]
        skipped = [f"{name} was not tried: {reason}" for name, reason in self.skipped.items()]
        choice = [f"Choice: {self.choice.name}. {self.choice.reason}."] if self.choice else ["Nothing to choose from."]
        return [*failed, *skipped, *self.notes, *choice]

    def csv(self) -> str:
        """Every training in a line."""
        text = io.StringIO()
        first = ("way", "images", "seed")
        names = list(dict.fromkeys(name for row in self.rows for name in row.outcome.metrics))
        costs = [field.name for field in dataclasses.fields(Outcome) if field.name not in ("metrics", "evaluations")]
        writer = csv.writer(text)
        writer.writerow([*first, *names, *costs])
        for row in self.rows:
            outcome = row.outcome
            values = [outcome.metrics.get(name, "") for name in names] + [getattr(outcome, name) for name in costs]
            writer.writerow([row.rung, row.images, row.seed, *values])
        return text.getvalue()

    def json(self) -> str:
        """All of it; ``read`` takes the trainings back."""
        fields: dict[str, Any] = {
            "judged_split": self.judged_split,
            "terms": self.terms,
            "skipped": dict(self.skipped),
            "rows": [
                {"rung": row.rung, "images": row.images, "seed": row.seed, "outcome": row.outcome.fields()}
                for row in self.rows
            ],
            "choice": dataclasses.asdict(self.choice) if self.choice else None,
            "forecasts": {
                rung: said if isinstance(said, str) else [dataclasses.asdict(point) for point in said]
                for rung, said in self.forecasts().items()
            },
        }
        return json.dumps(fields, indent=1)

    @classmethod
    def read(cls, text: str) -> Self:
        """Of what ``json`` gave."""
        fields = json.loads(text)
        rows = tuple(Row(**{**row, "outcome": Outcome.of(row["outcome"])}) for row in fields["rows"])
        return cls(rows, fields["skipped"], fields["judged_split"], fields["terms"])


def costs(line: Line) -> list[str]:
    """Seconds, steps, images/s and memory of a line, as text."""
    memory = f"{line.peak_memory_megabytes:.0f}"
    if line.peak_device_megabytes:
        memory += f" + {line.peak_device_megabytes:.0f} GPU"
    return [f"{line.seconds:.0f}", str(line.steps), f"{line.images_per_second:.1f}", memory]


def _metric(outcome: Outcome, name: str) -> float:
    return math.nan if outcome.error else outcome.metrics.get(name, math.nan)


def _line(rung: str, images: int, outcomes: Sequence[Outcome]) -> Line:
    good = [outcome for outcome in outcomes if not outcome.error]

    def mean(name: str) -> float:
        return statistics.fmean(getattr(outcome, name) for outcome in good) if good else 0.0

    return Line(
        rung,
        images,
        {name: estimate([_metric(outcome, name) for outcome in good]) for name in METRICS} if good else {},
        seconds=mean("seconds"),
        images_per_second=mean("images_per_second"),
        peak_memory_megabytes=mean("peak_memory_megabytes"),
        peak_device_megabytes=mean("peak_device_megabytes"),
        steps=max((outcome.steps for outcome in good), default=0),
        errors=tuple(outcome.error for outcome in outcomes if outcome.error),
    )
