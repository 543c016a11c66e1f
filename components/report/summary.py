"""What happened in one run, in a typed form and in a few lines of text."""

from __future__ import annotations

import collections
import dataclasses
import json
import pathlib
import posixpath
import shlex
import sys
from collections.abc import Iterable
from typing import Any

import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.evaluator.verdict import OVERALL, SliceValues, Verdict, read_verdict
from components.findings import FINDINGS_FILE, SUMMARY_FILE, Finding, FindingsSummary, describe_counts
from components.report.run_record import NodeRun, RunRecord
from components.validation.report_file import REPORT_FILE, AnnotationReport
from schema import features

HISTORY_FILE = "training_history.jsonl"
_MOST_VALUES_A_LINE = 8
_MOST_WARNINGS = 6
_SPLIT_ORDER = ("train", "eval", "test")


@dataclasses.dataclass(frozen=True)
class Anomaly:
    """One anomaly that TFDV found against the schema."""

    split: str
    feature: str
    found: str


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """One run. What a failed run did not get to is None or empty.

    Attributes:
      record: the nodes and their artifacts.
      input: what ExampleGen read and wrote, in numbers.
      findings: what was wrong in the input.
      findings_file: where they are.
      anomalies: of ExampleValidator; None when it did not run.
      annotations: of the annotation check.
      history: lines of the training's history.
      verdict: metrics and the gate's decision.
      pushed_to: the pushed version's folder; None when nothing was pushed.
      serve_command: answers requests with what was pushed last.
    """

    record: RunRecord
    input: FindingsSummary | None
    findings: tuple[Finding, ...]
    findings_file: str | None
    anomalies: tuple[Anomaly, ...] | None
    annotations: AnnotationReport | None
    history: tuple[dict[str, Any], ...]
    verdict: Verdict | None
    pushed_to: str | None
    serve_command: str | None

    @property
    def failed(self) -> tuple[NodeRun, ...]:
        """The nodes that failed."""
        return tuple(node for node in self.record.nodes if node.state == "failed")

    def lines(self) -> list[str]:
        """The run in a few lines."""
        rows = [
            ("Run", self._nodes_line()),
            *(("Failed", f"{node.node}{': ' + node.error if node.error else ''}") for node in self.failed),
            ("Images", self._images_line()),
            ("Findings", self._findings_line()),
            ("Anomalies", self._anomalies_line()),
            *self._annotation_rows(),
            *self._metric_rows(),
            *self._gate_rows(),
            ("Pushed", self.pushed_to or ("nothing" if self.verdict else "")),
            ("Serve", self.serve_command or ""),
        ]
        return [f"{name:<11} {text}" for name, text in rows if text]

    def _nodes_line(self) -> str:
        states = collections.Counter(node.state for node in self.record.nodes)
        seconds = sum(node.seconds for node in self.record.nodes)
        counted = ", ".join(
            f"{states[state]} {state}" for state in ("ran", "cached", "failed", "unfinished") if states[state]
        )
        return f"{self.record.pipeline_name} {self.record.run_id}: nodes {counted}, {seconds:.0f} s"

    def _images_line(self) -> str:
        if self.input is None:
            return ""
        return ", ".join(
            f"{split} {self.input.images[split]} ({self.input.boxes.get(split, 0)} objects)"
            for split in in_split_order(self.input.images)
        )

    def _findings_line(self) -> str:
        if self.input is None:
            return ""
        counts = describe_counts(self.input.findings)
        return f"{counts} ({self.findings_file})" if self.input.findings else counts

    def _anomalies_line(self) -> str:
        if self.anomalies is None:
            return ""
        named = [f"{anomaly.feature} ({anomaly.split}): {anomaly.found}" for anomaly in self.anomalies[:_MOST_WARNINGS]]
        rest = [f"{len(self.anomalies) - len(named)} more"] if len(self.anomalies) > len(named) else []
        return "; ".join([*named, *rest]) or "none"

    def _annotation_rows(self) -> list[tuple[str, str]]:
        if self.annotations is None:
            return []
        failed, warned = self.annotations.with_status("failed"), self.annotations.with_status("warned")
        rows = [
            ("Annotations", f"{len(self.annotations.checks)} checks, {len(warned)} warnings, {len(failed)} failures")
        ]
        rows += [("", f"{check.check} ({check.split}): {check.found}") for check in (*failed, *warned)[:_MOST_WARNINGS]]
        return rows

    def _metric_rows(self) -> list[tuple[str, str]]:
        if self.verdict is None or OVERALL not in self.verdict.metrics:
            return []
        overall = self.verdict.metrics[OVERALL]
        before = self.verdict.baseline_metrics.get(OVERALL)
        compared = f"; last blessed model {_ap(before)}" if before else ""
        rows = [("AP / AP50", f"{_ap(overall)} on {overall.get('image_count', 0):.0f} images{compared}")]
        for columns, slices in slices_by_columns(self.verdict).items():
            shown = [f"{value} {_ap(metrics)}" for value, metrics in list(slices.items())[:_MOST_VALUES_A_LINE]]
            rest = [f"{len(slices) - len(shown)} more"] if len(slices) > len(shown) else []
            rows.append(("", f"by {columns}: {', '.join([*shown, *rest])}"))
        return rows

    def _gate_rows(self) -> list[tuple[str, str]]:
        if self.verdict is None:
            return []
        first, *others = self.verdict.lines()
        return [("Gate", first), *(("", line.strip()) for line in others)]


def in_split_order(splits: Iterable[str]) -> list[str]:
    """Names of splits, train first."""
    return sorted(splits, key=lambda split: (_SPLIT_ORDER.index(split) if split in _SPLIT_ORDER else 9, split))


def _ap(metrics: Any) -> str:
    return f"{metrics.get('AP', float('nan')):.3f} / {metrics.get('AP50', float('nan')):.3f}"


def slices_by_columns(verdict: Verdict) -> dict[str, dict[str, Any]]:
    """Metrics by ``column`` (``column x column`` for combinations) and value, the whole split left out."""
    grouped: dict[str, dict[str, Any]] = {}
    for values, metrics in verdict.metrics.items():
        if values != OVERALL:
            grouped.setdefault(_columns(values), {})[" x ".join(value for _, value in values)] = metrics
    return grouped


def _columns(values: SliceValues) -> str:
    return " x ".join(column for column, _ in values)


def summarize(record: RunRecord, *, pipeline_root: str | None = None, push_directory: str | None = None) -> RunSummary:
    """Reads what the run left behind.

    Args:
      record: the run.
      pipeline_root: folder of the nodes' folders; what a failed node left in ``<node>/failed/<execution>`` is found
        there.
      push_directory: folder of the served model, for the command that serves it.
    """
    findings_uri = _uri(record, "findings", pipeline_root)
    findings_file = _existing(findings_uri, FINDINGS_FILE)
    summary_file = _existing(findings_uri, SUMMARY_FILE)
    annotations_file = _existing(_uri(record, "report", pipeline_root), REPORT_FILE)
    history_file = _existing(record.uri("model_run"), HISTORY_FILE)
    evaluation_uri = record.uri("evaluation")
    return RunSummary(
        record=record,
        input=FindingsSummary.from_json(_read(summary_file)) if summary_file else None,
        findings=tuple(map(Finding.from_json, _read_lines(findings_file))) if findings_file else (),
        findings_file=findings_file,
        anomalies=_anomalies(record.uri("anomalies")),
        annotations=AnnotationReport.from_json(_read(annotations_file)) if annotations_file else None,
        history=tuple(map(json.loads, _read_lines(history_file))) if history_file else (),
        verdict=read_verdict(evaluation_uri) if evaluation_uri else None,
        pushed_to=_pushed_to(record),
        serve_command=_serve_command(push_directory),
    )


def _uri(record: RunRecord, key: str, pipeline_root: str | None) -> str | None:
    """Folder of an output, or of the copy that a failed node kept of it.

    The two nodes that keep one are known by the output they would have had; ML Metadata has none for a failed node.
    """
    uri = record.uri(key)
    if uri is not None or pipeline_root is None:
        return uri
    file = FINDINGS_FILE if key == "findings" else REPORT_FILE
    for node in record.nodes:
        kept = posixpath.join(pipeline_root, node.node, "failed", str(node.execution_id))
        if node.state == "failed" and tf.io.gfile.exists(posixpath.join(kept, file)):
            return kept
    return None


def _existing(folder: str | None, name: str) -> str | None:
    path = posixpath.join(folder, name) if folder else ""
    return path if path and tf.io.gfile.exists(path) else None


def _read(path: str) -> str:
    with tf.io.gfile.GFile(path) as file:
        return str(file.read())


def _read_lines(path: str) -> list[str]:
    """Lines of a JSON lines file. (``splitlines`` would also part them at the U+0085 or U+2028 of a file name.)"""
    return [line for line in _read(path).split("\n") if line]


def _anomalies(uri: str | None) -> tuple[Anomaly, ...] | None:
    """Anomalies of all splits, without metadata columns being unknown to the schema: they are meant to be."""
    if uri is None:
        return None
    found = []
    for folder in sorted(tf.io.gfile.glob(posixpath.join(uri, "Split-*"))):
        split = posixpath.basename(folder).removeprefix("Split-")
        anomalies = anomalies_pb2.Anomalies()
        with tf.io.gfile.GFile(posixpath.join(folder, "SchemaDiff.pb"), "rb") as file:
            anomalies.ParseFromString(file.read())
        for feature, info in sorted(anomalies.anomaly_info.items()):
            kinds = {reason.type for reason in info.reason}
            is_new_column = kinds == {anomalies_pb2.AnomalyInfo.SCHEMA_NEW_COLUMN}
            if not (is_new_column and feature.strip("'").startswith(features.META_PREFIX)):
                found.append(Anomaly(split, feature, info.description or info.short_description))
        if anomalies.HasField("dataset_anomaly_info"):
            found.append(Anomaly(split, "all features", anomalies.dataset_anomaly_info.description))
    return tuple(found)


def _pushed_to(record: RunRecord) -> str | None:
    pushed = record.output("pushed_model")
    if pushed is None or pushed.properties.get("pushed") != "1":
        return None
    return pushed.properties.get("pushed_destination") or pushed.uri


def _serve_command(push_directory: str | None) -> str | None:
    if not push_directory or not tf.io.gfile.exists(push_directory) or not tf.io.gfile.listdir(push_directory):
        return None
    python, here = pathlib.Path(sys.executable), pathlib.Path.cwd()
    # The interpreter of this run: another may lack what the server needs.
    shown = python.relative_to(here) if python.is_relative_to(here) else python
    server = [str(shown), "-m", "serving.server", "--model_base_path", push_directory]
    return shlex.join([*server, "--model_name", "detector", "--port", "8500"])
