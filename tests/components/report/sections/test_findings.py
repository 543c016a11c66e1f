from __future__ import annotations

import pathlib

from ml_metadata.proto import metadata_store_pb2 as proto

from components.findings import Finding, FindingsSummary, to_json_lines
from components.report.run_record import read_run
from components.report.run_report import read_report
from components.report.section import Run
from components.report.sections.findings import Findings
from tests.components.report.fake_run import FakeRun


def test_a_run_that_failed_early_still_shows_the_findings_it_kept(fake_run: FakeRun, tmp_path: pathlib.Path) -> None:
    execution = fake_run.node(
        "first", "ObjectDetectionExampleGen", proto.Execution.FAILED, error="Traceback\n\nBadInputError: too many"
    )
    kept = tmp_path / "ObjectDetectionExampleGen" / "failed" / str(execution)
    kept.mkdir(parents=True)
    (kept / "summary.json").write_text(
        FindingsSummary(4, 3, 1, 0, {"train": 1}, {"train": 1}, {"missing_image": 3}, {}).to_json()
    )
    (kept / "findings.jsonl").write_text("")
    report = read_report(read_run(fake_run.connection, "signs"), pipeline_root=str(tmp_path))
    assert report.lines()[1:] == [
        "Images      train 1 (1 objects)",
        f"Findings    3 missing_image ({kept / 'findings.jsonl'})",
        "Failed      ObjectDetectionExampleGen: BadInputError: too many",
    ]
    assert '<strong class="bad">Failed: ObjectDetectionExampleGen</strong>' in report.page()


def test_file_names_with_line_separators_of_unicode_are_read_back(finished_run: FakeRun) -> None:
    findings = [Finding("missing_image", f"a{separator}b.jpg", "", "gone", "skip") for separator in "\x85\u2028"]
    record = read_run(finished_run.connection, "signs")
    file = pathlib.Path(record.uri("findings") or "", "findings.jsonl")
    file.write_text(to_json_lines(findings), encoding="utf-8")
    section = Findings.read(Run(record))
    assert section is not None
    assert section.findings == tuple(findings)
