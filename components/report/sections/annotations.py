"""What the check of the annotations measured and found."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final, Literal, Self

from components.report.interval_bar import UNIT_SCALE, IntervalBar, interval_bar
from components.report.node_settings import settings_of
from components.report.section import Run, Section, TextPair, read_text, reading
from components.validation.report_file import REPORT_FILE, AnnotationReport, CheckResult, Distance

_MOST_NAMED: Final = 6
_VALIDATOR: Final = "AnnotationValidator"
_EARLIER: Final = "PreviousStatistics"
_STATUS_ORDER: Final = ("failed", "warned", "passed")


@dataclasses.dataclass(frozen=True)
class Annotations(Section):
    """The report of AnnotationValidator.

    Attributes:
      report: what it wrote.
      has_earlier: whether there were statistics of an earlier run to compare with.
      min_values: fewest values of a feature that are judged, by kind of distance.
    """

    title = "Annotations"
    template = "annotations.html"

    report: AnnotationReport
    has_earlier: bool
    min_values: Mapping[str, int]

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Reads the artifact ``report``, of a failed AnnotationValidator what it kept."""
        path = run.file("report", REPORT_FILE)
        if path is None:
            return None
        text = read_text(path)
        earlier = run.record.node(_EARLIER)
        with reading(f"ML Metadata, run {run.record.run_id}"):
            settings = settings_of(run.record.node(_VALIDATOR))
        min_values: dict[str, int] = {
            kind: settings[kind]["min_values"] for kind in ("skew", "drift") if kind in settings
        }
        with reading(path):
            report = AnnotationReport.from_json(text)
        return cls(report, earlier is not None and "statistics" in earlier.resolved, min_values)

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
    def checks(self) -> Sequence[CheckResult]:
        """Failures first."""
        return sorted(self.report.checks, key=lambda check: _STATUS_ORDER.index(check.status))

    def of_kind(self, kind: Literal["skew", "drift"]) -> Sequence[Distance]:
        """Distances of a kind, the nearest to its limit or farthest above it first."""
        found = [distance for distance in self.report.distances if distance.kind == kind]
        return sorted(found, key=lambda distance: distance.threshold - distance.value)

    @property
    def why_no_drift(self) -> str:
        """Why there is no distance to the run before."""
        if not self.has_earlier:
            return "there are no statistics of an earlier run to compare with"
        return "validation.drift is off, or the run before had no split train"

    def is_judged(self, distance: Distance) -> bool:
        """Whether a distance rests on enough values to be judged."""
        return distance.values >= self.min_values.get(distance.kind, 0)

    @staticmethod
    def distance_bar(distance: Distance) -> IntervalBar:
        """Both measures lie in 0..1."""
        return interval_bar(distance.value, None, UNIT_SCALE, mark=distance.threshold)
