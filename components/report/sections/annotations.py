"""What the check of the annotations measured and found."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final, Self

from components.report.charts import Bar
from components.report.section import Run, Section, TextPair, read_text, reading
from components.report.split_order import in_split_order
from components.validation.report_file import REPORT_FILE, AnnotationReport, CheckResult, Distance, SplitFacts

_MOST_NAMED: Final = 6
_STATUS_ORDER: Final = ("failed", "warned", "passed")
_QUANTILES_SHOWN: Final = (0.01, 0.05, 0.5, 0.95, 0.99)


@dataclasses.dataclass(frozen=True)
class Annotations(Section):
    """The report of AnnotationValidator."""

    title = "Annotations"
    template = "annotations.html"

    report: AnnotationReport

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Reads the artifact ``report``, of a failed AnnotationValidator what it kept."""
        path = run.file("report", REPORT_FILE)
        if path is None:
            return None
        text = read_text(path)
        with reading(path):
            return cls(AnnotationReport.from_json(text))

    def lines(self) -> Sequence[TextPair]:
        """Checks counted by status, and the first few that did not pass."""
        failed, warned = self.report.with_status("failed"), self.report.with_status("warned")
        counted = f"{len(self.report.checks)} checks, {len(warned)} warnings, {len(failed)} failures"
        named = (*failed, *warned)[:_MOST_NAMED]
        return ((self.title, counted), *(("", f"{check.check} ({check.split}): {check.found}") for check in named))

    def tiles(self) -> Sequence[TextPair]:
        """The number of warnings."""
        return (("annotation warnings", str(len(self.report.with_status("warned")))),)

    @property
    def splits(self) -> Sequence[tuple[str, SplitFacts]]:
        """What the splits hold."""
        return [(split, self.report.splits[split]) for split in in_split_order(self.report.splits)]

    @property
    def checks(self) -> Sequence[CheckResult]:
        """Failures first."""
        return sorted(self.report.checks, key=lambda check: _STATUS_ORDER.index(check.status))

    @property
    def distances(self) -> Sequence[Distance]:
        """Skew and drift, the nearest to its limit or farthest above it first."""
        return sorted(self.report.distances, key=lambda distance: distance.threshold - distance.value)

    @staticmethod
    def class_bars(facts: SplitFacts) -> Sequence[Bar]:
        """Objects by class, the most frequent first."""
        most = max(facts.class_counts.values(), default=1)
        ordered = sorted(facts.class_counts.items(), key=lambda item: -item[1])
        return [Bar(name, count / most, str(count)) for name, count in ordered]

    @staticmethod
    def quantiles(facts: SplitFacts) -> Sequence[tuple[str, Sequence[str]]]:
        """Rows of the table of box sizes, its head first; empty without boxes."""
        if not facts.box_side_pixels:
            return ()
        shown = [index for index, level in enumerate(facts.quantile_levels) if level in _QUANTILES_SHOWN]
        rows = (
            ("boxes, quantiles", facts.quantile_levels, ".0%"),
            ("shorter side, px", facts.box_side_pixels, ".0f"),
            ("size of image", facts.box_relative_size, ".1%"),
            ("width / height", facts.box_aspect_ratio, ".2f"),
        )
        return [(name, [format(values[index], style) for index in shown]) for name, values, style in rows]
