from __future__ import annotations

import dataclasses
import pathlib
import sys
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2 as proto

from components.evaluator.verdict import Failure, Verdict
from components.findings import Finding, FindingsSummary, to_json_lines
from components.report.run_record import read_run
from components.report.summary import summarize

FOG = (("weather", "fog"),)


def test_lines_of_a_run(finished_run: Any, tmp_path: pathlib.Path) -> None:
    (tmp_path / "served" / "17").mkdir(parents=True)
    record = read_run(finished_run.connection, "signs")
    summary = summarize(record, pipeline_root=str(tmp_path), push_directory=str(tmp_path / "served"))
    text = "\n".join(summary.lines())
    assert "nodes 4 ran, 1 cached" in text
    assert "train 10 (25 objects), eval 2 (5 objects)" in text
    assert "1 box_outside (" in text
    assert "image/format (eval): Unexpected value: gif" in text
    assert "image/meta/weather" not in text
    assert "leakage (eval): 1 of 2 images have a copy" in text
    assert "/served/detector/17" in text
    assert f"--model_base_path {tmp_path / 'served'} --model_name detector --port 8500" in text

    metrics = {(): {"AP": 0.6, "AP50": 0.9, "image_count": 40.0}, FOG: {"AP": 0.4, "AP50": 0.7, "image_count": 12.0}}
    refused = Verdict(False, (Failure("AP50", FOG, "minimum", 0.7, 0.8),), metrics, {})
    text = "\n".join(dataclasses.replace(summary, verdict=refused).lines())
    assert "AP / AP50   0.600 / 0.900 on 40 images" in text
    assert "by weather: fog 0.400 / 0.700" in text
    assert "AP50 on weather=fog is 0.7000, 0.1000 below its minimum 0.8" in text


def test_a_run_that_failed_early_still_shows_the_findings_it_kept(fake_run: Any, tmp_path: pathlib.Path) -> None:
    execution = fake_run.node(
        "first", "ObjectDetectionExampleGen", proto.Execution.FAILED, error="Traceback\n\nBadInputError: too many"
    )
    kept = tmp_path / "ObjectDetectionExampleGen" / "failed" / str(execution)
    kept.mkdir(parents=True)
    (kept / "summary.json").write_text(
        FindingsSummary(4, 3, 1, 0, {"train": 1}, {"train": 1}, {"missing_image": 3}, {}).to_json()
    )
    (kept / "findings.jsonl").write_text("")
    summary = summarize(read_run(fake_run.connection, "signs"), pipeline_root=str(tmp_path))
    text = "\n".join(summary.lines())
    assert "Failed      ObjectDetectionExampleGen: BadInputError: too many" in text
    assert str(kept / "findings.jsonl") in text
    assert summary.verdict is None
    assert summary.serve_command is None


def test_file_names_with_line_separators_of_unicode_are_read_back(finished_run: Any) -> None:
    findings = [Finding("missing_image", f"a{separator}b.jpg", "", "gone", "skip") for separator in "\x85\u2028"]
    record = read_run(finished_run.connection, "signs")
    file = pathlib.Path(record.uri("findings") or "", "findings.jsonl")
    file.write_text(to_json_lines(findings), encoding="utf-8")
    assert summarize(record).findings == tuple(findings)


@pytest.mark.parametrize(
    ("python", "shown"),
    [("{cwd}/.venv/bin/python", ".venv/bin/python"), ("/opt/my python/bin/python", "'/opt/my python/bin/python'")],
)
def test_the_serve_command_runs_in_the_environment_that_trained(
    finished_run: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, python: str, shown: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", python.format(cwd=tmp_path))
    (tmp_path / "served models" / "17").mkdir(parents=True)
    record = read_run(finished_run.connection, "signs")
    assert summarize(record, push_directory="served models").serve_command == (
        f"{shown} -m serving.server --model_base_path 'served models' --model_name detector --port 8500"
    )
