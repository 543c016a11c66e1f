"""The report of a run of ExampleGen on disk: findings and summary."""

from __future__ import annotations

import collections
import posixpath
from collections.abc import Iterable, Mapping, Sequence

import tensorflow as tf

from components.atomic_files import write_atomically
from components.data_profile import SplitProfile
from components.example_gen.findings_writer import merge_parts
from components.example_gen.settings import BadInputSettings, DataSettings
from components.example_gen.splits import SplitPolicy
from components.example_gen.verdict import counts_of, refusal, similar_names, summarize
from components.failed_outputs import keep
from components.findings import FINDINGS_FILE, SUMMARY_FILE, FindingsSummary


def write_report(
    findings_uri: str,
    bad_input: BadInputSettings,
    parts: Iterable[str],
    counts: Mapping[str, int],
    profiles: Mapping[str, SplitProfile],
) -> None:
    """Writes ``findings.jsonl`` and ``summary.json``.

    Args:
      findings_uri: folder to write to.
      bad_input: treatments, for what only the whole data set shows.
      parts: files of ``WriteFindingParts``.
      counts: sums of ``listed``, ``read_boxes``, ``class/<name as written>`` and what ``verdict.counts_of`` says.
      profiles: what was written, by split.
    """
    alike = similar_names(counts, bad_input)
    everything = collections.Counter(counts)
    for finding in alike:
        everything.update(dict(counts_of(finding)))
    merge_parts(parts, alike, posixpath.join(findings_uri, FINDINGS_FILE))
    summary = summarize(everything, profiles).to_json()
    write_atomically(posixpath.join(findings_uri, SUMMARY_FILE), summary.encode())


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
