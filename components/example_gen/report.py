"""The report of a run of ExampleGen: findings and summary on disk, and whether the run may go on."""

from __future__ import annotations

import collections
import posixpath
from collections.abc import Iterable, Mapping, Sequence

import tensorflow as tf

from components.data_profile import SplitProfile
from components.example_gen.annotations import DataError
from components.example_gen.settings import BadInputSettings, DataSettings
from components.failed_outputs import keep
from components.findings import (
    FAIL,
    FINDINGS_FILE,
    SUMMARY_FILE,
    Finding,
    FindingsSummary,
    counts_by_kind,
    describe_counts,
    to_json_lines,
)
from components.user_error import UserError
from schema.text import clean_name, spelling_key


class BadInputError(UserError):
    """The input is worse than the settings allow; the message has counts by kind and the findings file."""


class AccountError(RuntimeError):
    """An image or a box got lost without a finding: a fault of ExampleGen, whatever the input is."""


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
    spellings = {key.removeprefix("class/"): count for key, count in counts.items() if key.startswith("class/")}
    kept = [*findings, *similar_names(spellings, bad_input)]
    written = {split: profile for split, profile in sorted(profiles.items()) if profile.images}
    failures = collections.Counter(finding.kind for finding in kept if finding.treatment == FAIL)
    summary = FindingsSummary(
        listed_images=counts.get("listed", 0),
        skipped_images=counts.get("skipped", 0),
        read_boxes=counts.get("read_boxes", 0),
        dropped_boxes=counts.get("dropped", 0),
        images={split: profile.images for split, profile in written.items()},
        boxes={split: profile.objects for split, profile in written.items()},
        findings=counts_by_kind(kept),
        failures=dict(failures.most_common()),
    )
    _write(posixpath.join(findings_uri, FINDINGS_FILE), to_json_lines(kept))
    _write(posixpath.join(findings_uri, SUMMARY_FILE), summary.to_json())


def similar_names(boxes_of_spelling: Mapping[str, int], bad_input: BadInputSettings) -> list[Finding]:
    """A finding for each group of class names, as written, that differ by case or white space only."""
    alike: dict[str, list[str]] = {}
    for spelling in sorted(boxes_of_spelling):
        alike.setdefault(spelling_key(spelling), []).append(spelling)
    findings = []
    for spellings in alike.values():
        if len(spellings) > 1:
            classes = sorted({clean_name(spelling) for spelling in spellings})
            found = ", ".join(f"{spelling!r} ({boxes_of_spelling[spelling]} boxes)" for spelling in spellings)
            read = f"one class {classes[0]!r}" if len(classes) == 1 else f"{len(classes)} classes"
            findings.append(bad_input.finding("similar_names", "", "class names", f"{found}: read as {read}"))
    return findings


def check_accounts(summary: FindingsSummary) -> None:
    """Every image that is listed was written or skipped, every box that was read was written or dropped.

    Raises:
      AccountError: it is not so.
    """
    for what, found, written, lost in (
        ("images listed", summary.listed_images, summary.images, summary.skipped_images),
        ("boxes read", summary.read_boxes, summary.boxes, summary.dropped_boxes),
    ):
        if found != sum(written.values()) + lost:
            raise AccountError(
                f"{found} {what}, but {sum(written.values())} written and {lost} left out with a finding; this is a "
                "fault of ExampleGen: please report it with the annotation files"
            )


def finished_report(findings_uri: str) -> FindingsSummary:
    """The summary ``write_report`` has written."""
    with tf.io.gfile.GFile(posixpath.join(findings_uri, SUMMARY_FILE)) as file:
        return FindingsSummary.from_json(file.read())


def check_report(summary: FindingsSummary, settings: DataSettings, splits: Sequence[str], findings_uri: str) -> None:
    """Decides whether the run may go on; where it may not, the report is kept first (``components.failed_outputs``).

    Raises:
      BadInputError: findings that are treated as ``fail``, or a limit is passed.
      DataError: a split has no images.
    """
    reasons = []
    if summary.failures:
        reasons.append(f"treated as `fail`: {describe_counts(summary.failures)}")
    for what, lost, total, key, limit in (
        (
            "images skipped",
            summary.skipped_images,
            summary.listed_images,
            "max_skipped_images",
            settings.max_skipped_images,
        ),
        ("boxes dropped", summary.dropped_boxes, summary.read_boxes, "max_dropped_boxes", settings.max_dropped_boxes),
    ):
        if lost > limit * total:
            reasons.append(f"{lost} of {total} {what} ({lost / total:.1%}), data.{key} allows {limit:.1%}")
    empty = [split for split in splits if not summary.images.get(split)]
    if not reasons and not empty:
        return
    copy = posixpath.join(keep(findings_uri, (FINDINGS_FILE, SUMMARY_FILE)), FINDINGS_FILE)
    if reasons:
        raise BadInputError(
            f"bad input: {'; '.join(reasons)}. Findings: {describe_counts(summary.findings)}; all are in {copy}. "
            "Correct the data, choose another treatment in data.bad_input, or raise the limit"
        )
    raise DataError(
        f"no images in the split {', '.join(empty)} of {settings.path} (images: {summary.images}, findings: "
        f"{describe_counts(summary.findings)}, in {copy}); check data.annotations, or set data.split.ratios"
    )


def _write(path: str, text: str) -> None:
    with tf.io.gfile.GFile(path, "wb") as file:  # names that are not UTF-8 on disk must not lose the report
        file.write(text.encode("utf-8", "backslashreplace"))
