"""After a run: the summary on the terminal, the page on disk.

The terminal ends with what matters most, right above the prompt; the page begins with it. So the page has the sections
in the opposite order, but for what follows from the verdict, which stands below it in both.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
from typing import Final

from components.report.page import render_page
from components.report.run_record import RunNotFoundError, RunRecord, read_only_sqlite, read_run
from components.report.section import Run, Section, read_section
from components.report.sections.annotations import Annotations
from components.report.sections.anomalies import Anomalies
from components.report.sections.calibration import CalibrationOfScores
from components.report.sections.confusion import Confusion
from components.report.sections.contract import Contract
from components.report.sections.data import Data
from components.report.sections.devices import Devices
from components.report.sections.errors import Errors
from components.report.sections.example_images import ExampleImages
from components.report.sections.failures import Failures
from components.report.sections.findings import Findings
from components.report.sections.gate import Gate
from components.report.sections.label_review import LabelReview
from components.report.sections.lineage import Lineage
from components.report.sections.metrics import Metrics
from components.report.sections.model_card import ModelCard
from components.report.sections.nodes import Nodes
from components.report.sections.pictures import Pictures
from components.report.sections.precision_recall import PrecisionRecallCurves
from components.report.sections.push import Push
from components.report.sections.thresholds import ScoreThresholds
from components.report.sections.training import Training
from components.report.sections.transfer_choice import TransferChoice
from components.report.sections.trials import Trials
from components.report.settings import CardSettings

SECTIONS: Final[tuple[type[Section], ...]] = (
    Nodes,
    Lineage,
    ModelCard,
    Findings,
    Anomalies,
    Annotations,
    Data,
    Trials,
    TransferChoice,
    Training,
    ExampleImages,
    LabelReview,
    Pictures,
    ScoreThresholds,
    CalibrationOfScores,
    Confusion,
    Errors,
    PrecisionRecallCurves,
    Metrics,
    Gate,
    Contract,
    Push,
    Devices,
    Failures,
)
"""Every section, in the order of the terminal."""
_FIRST_ON_PAGE: Final = (Failures, Gate, Contract, Push, Devices)


@dataclasses.dataclass(frozen=True)
class RunReport:
    """What there is to say about one run.

    Attributes:
      record: the run.
      sections: those that it got to, in the order of the terminal.
    """

    record: RunRecord
    sections: tuple[Section, ...]

    def lines(self) -> list[str]:
        """The run in a few lines."""
        return [f"{name:<11} {text}" for section in self.sections for name, text in section.lines()]

    def page(self) -> str:
        """The run as one HTML page that needs nothing else: no network, no notebook."""
        first = [section for kind in _FIRST_ON_PAGE for section in self.sections if isinstance(section, kind)]
        return render_page(self.record, (*first, *(one for one in reversed(self.sections) if one not in first)))


def read_report(
    record: RunRecord,
    *,
    pipeline_root: str | None = None,
    push_directory: str | None = None,
    card: CardSettings | None = None,
) -> RunReport:
    """Reads what the run left behind. An artifact that cannot be read is a line of the report.

    Args:
      record: the run.
      pipeline_root: folder of the nodes' folders, for what failed nodes kept.
      push_directory: folder of the served model, for the command that serves it.
      card: the config's words for the model card; None where the config is not at hand.
    """
    run = Run(record, pipeline_root, push_directory, card)
    return RunReport(record, tuple(filter(None, (read_section(section, run) for section in SECTIONS))))


def write_page(report: RunReport, reports_directory: pathlib.Path) -> pathlib.Path:
    """Writes the page and returns its path."""
    path = reports_directory / f"{re.sub(r'[^0-9A-Za-z.-]', '-', report.record.run_id)}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    # File names may hold bytes that are no text.
    path.write_text(report.page(), encoding="utf-8", errors="backslashreplace")
    return path


def report_run(
    metadata_path: pathlib.Path,
    pipeline_name: str,
    started_seconds: float,
    push_directory: pathlib.Path,
    reports_directory: pathlib.Path,
    card: CardSettings | None = None,
) -> None:
    """Prints what happened in the newest run and writes its page. Says nothing when no run was started.

    Args:
      metadata_path: SQLite file of ML Metadata.
      pipeline_name: the pipeline.
      started_seconds: since the epoch; older runs are not this one.
      push_directory: folder of the served model.
      reports_directory: receives the page; a folder beside those of the nodes.
      card: as for ``read_report``.
    """
    if not metadata_path.exists():
        return
    try:
        record = read_run(read_only_sqlite(metadata_path), pipeline_name, started_after_seconds=started_seconds)
    except RunNotFoundError:
        return
    print_report(record, push_directory, reports_directory, card)


def print_report(
    record: RunRecord,
    push_directory: pathlib.Path,
    reports_directory: pathlib.Path,
    card: CardSettings | None = None,
) -> None:
    """Prints what happened in a run and writes its page; folders and card are those of ``report_run``."""
    report = read_report(
        record, pipeline_root=str(reports_directory.parent), push_directory=str(push_directory), card=card
    )
    print("\n" + "\n".join(report.lines()), flush=True)
    print(f"{'Page':<11} {write_page(report, reports_directory)}", flush=True)
