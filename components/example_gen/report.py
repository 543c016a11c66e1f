"""The report of a run of ExampleGen on disk: findings and summary."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence

import tensorflow as tf

from components.data_profile import SplitProfile
from components.example_gen.settings import BadInputSettings, DataSettings
from components.example_gen.splits import SplitPolicy
from components.example_gen.verdict import refusal, similar_names, summarize
from components.failed_outputs import keep
from components.findings import FINDINGS_FILE, SUMMARY_FILE, Finding, FindingsSummary, to_json_lines


def write_report(
    findings_uri: str,
    bad_input: BadInputSettings,
    findings: Iterable[Finding],
    counts: Mapping[str, int],
    profiles: Mapping[str, SplitProfile],
) -> None:
    """Writes ``findings.jsonl`` and ``summary.json``.

    Args:
      findings_uri: folder to write to.
      bad_input: treatments, for what only the whole data set shows.
      findings: all of them.
      counts: sums of ``listed``, ``skipped``, ``read_boxes``, ``dropped`` and ``class/<name as written>``.
      profiles: what was written, by split.
    """
    kept = [*findings, *similar_names(counts, bad_input)]
    _write(posixpath.join(findings_uri, FINDINGS_FILE), to_json_lines(kept))
    _write(posixpath.join(findings_uri, SUMMARY_FILE), summarize(kept, counts, profiles).to_json())


def finished_report(findings_uri: str) -> FindingsSummary:
    """The summary ``write_report`` has written."""
    with tf.io.gfile.GFile(posixpath.join(findings_uri, SUMMARY_FILE)) as file:
        return FindingsSummary.from_json(file.read())


def check_report(
    summary: FindingsSummary, settings: DataSettings, policies: Sequence[SplitPolicy], findings_uri: str
) -> None:
    """Decides whether the run may go on; where it may not, the report is kept first (``components.failed_outputs``).

    Raises:
      BadInputError: findings that are treated as ``fail``, or a limit is passed.
      DataError: a split has no images.
    """
    error = refusal(summary, settings, policies)
    if error is not None:
        folder = keep(findings_uri, (FINDINGS_FILE, SUMMARY_FILE))
        raise type(error)(f"{error}. All findings are in {posixpath.join(folder, FINDINGS_FILE)}")


def _write(path: str, text: str) -> None:
    with tf.io.gfile.GFile(path, "wb") as file:  # names that are not UTF-8 on disk must not lose the report
        file.write(text.encode("utf-8", "backslashreplace"))
