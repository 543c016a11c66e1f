"""What came in: images and objects by split, and what was wrong in the input."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final, Self

from components.findings import FINDINGS_FILE, KINDS, SUMMARY_FILE, Finding, FindingsSummary, describe_counts
from components.report.section import Run, Section, TextPair, read_text, reading, text_lines
from components.report.split_order import in_split_order

_MOST_SHOWN: Final = 100


@dataclasses.dataclass(frozen=True)
class Findings(Section):
    """What ExampleGen read, in numbers and one by one.

    Attributes:
      summary: the numbers.
      findings: what was wrong.
      file: where all of it is.
    """

    title = "Images"
    template = "findings.html"

    summary: FindingsSummary
    findings: tuple[Finding, ...]
    file: str

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Reads the artifact ``findings``, of a failed ExampleGen what it kept."""
        summary_file, findings_file = run.file("findings", SUMMARY_FILE), run.file("findings", FINDINGS_FILE)
        if summary_file is None or findings_file is None:
            return None
        text, lines = read_text(summary_file), text_lines(read_text(findings_file))
        with reading(summary_file):
            summary = FindingsSummary.from_json(text)
        with reading(findings_file):
            return cls(summary, tuple(map(Finding.from_json, lines)), findings_file)

    def lines(self) -> Sequence[TextPair]:
        """Images and objects by split; findings by kind."""
        images = ", ".join(
            f"{split} {self.summary.images[split]} ({self.summary.boxes.get(split, 0)} objects)"
            for split in in_split_order(self.summary.images)
        )
        counts = describe_counts(self.summary.findings)
        return (
            *([(self.title, images)] if images else []),
            ("Findings", f"{counts} ({self.file})" if self.summary.findings else counts),
        )

    def tiles(self) -> Sequence[TextPair]:
        """Images by split, and the number of findings."""
        images = self.summary.images
        return (
            *((f"{split} images", str(images[split])) for split in in_split_order(images)),
            ("findings", str(sum(self.summary.findings.values()))),
        )

    @property
    def shown(self) -> Sequence[tuple[Finding, str]]:
        """The findings that the page shows, each with the meaning of its kind."""
        return [(finding, KINDS[finding.kind].meaning) for finding in self.findings[:_MOST_SHOWN]]
