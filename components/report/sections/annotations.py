"""What the check of the annotations measured and found."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final, Self

from components.report.section import Run, Section, TextPair, read_text, reading
from components.validation.report_file import REPORT_FILE, AnnotationReport, CheckResult, Distance

_MOST_NAMED: Final = 6
_STATUS_ORDER: Final = ("failed", "warned", "passed")


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
    def checks(self) -> Sequence[CheckResult]:
        """Failures first."""
        return sorted(self.report.checks, key=lambda check: _STATUS_ORDER.index(check.status))

    @property
    def distances(self) -> Sequence[Distance]:
        """Skew and drift, the nearest to its limit or farthest above it first."""
        return sorted(self.report.distances, key=lambda distance: distance.threshold - distance.value)
