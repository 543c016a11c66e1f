"""The annotation report: what the check compared and found, as one JSON file. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Final, Literal

REPORT_FILE: Final = "annotation_report.json"
"""Name of the file in an ``AnnotationReport`` artifact."""

Status = Literal["passed", "warned", "failed"]


def status_of(level: Literal["off", "warn", "fail"], objectionable: bool) -> Status:
    """``passed``, or what the check's level makes of an objection."""
    if not objectionable:
        return "passed"
    return "failed" if level == "fail" else "warned"


@dataclasses.dataclass(frozen=True, slots=True)
class CheckResult:
    """One check on one split, or on one pair of distributions.

    Attributes:
      check: its key in the section ``validation``.
      split: the split it looked at.
      status: ``passed``; else ``warned`` or ``failed``, as the check's level says.
      found: what was found, in a sentence.
      limit: what is allowed, with the key that sets it.
      files: some of the images meant, relative to the data folder; pairs as ``a = b``.
    """

    check: str
    split: str
    status: Status
    found: str
    limit: str
    files: tuple[str, ...] = ()

    def describe(self) -> str:
        """The result in one line."""
        files = f" [{', '.join(self.files)}]" if self.files else ""
        return f"{self.check} ({self.split}): {self.found}; {self.limit}{files}"


@dataclasses.dataclass(frozen=True, slots=True)
class Distance:
    """How far apart two distributions of a feature are.

    Attributes:
      feature: feature key.
      kind: ``skew`` (train against another split) or ``drift`` (train against the train split of an earlier run).
      split: the split compared with train; ``train`` for drift.
      measure: ``L_INFTY`` or ``JENSEN_SHANNON_DIVERGENCE``.
      value: the distance.
      threshold: the largest allowed one.
      values: how many values the smaller of the two distributions rests on.
    """

    feature: str
    kind: Literal["skew", "drift"]
    split: str
    measure: str
    value: float
    threshold: float
    values: int


@dataclasses.dataclass(frozen=True, slots=True)
class AnnotationReport:
    """Everything the annotation check has to say."""

    checks: tuple[CheckResult, ...]
    distances: tuple[Distance, ...]

    def with_status(self, status: Status) -> tuple[CheckResult, ...]:
        """The checks that ended so."""
        return tuple(check for check in self.checks if check.status == status)

    def to_json(self) -> str:
        """The text of ``annotation_report.json``."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> AnnotationReport:
        """Reads the text of ``annotation_report.json``."""
        tree = json.loads(text)
        return cls(
            checks=tuple(CheckResult(**{**check, "files": tuple(check["files"])}) for check in tree["checks"]),
            distances=tuple(Distance(**distance) for distance in tree["distances"]),
        )


def read_report(folder: str | pathlib.Path) -> AnnotationReport:
    """The report of an ``AnnotationReport`` artifact folder.

    Raises:
      FileNotFoundError: the folder holds no ``annotation_report.json``.
    """
    return AnnotationReport.from_json((pathlib.Path(folder) / REPORT_FILE).read_text(encoding="utf-8"))
