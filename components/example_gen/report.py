"""The report of a run of ExampleGen: findings and summary on disk, and whether the run may go on."""

from __future__ import annotations

import collections
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence

import tensorflow as tf

from components.data_profile import SplitProfile
from components.example_gen.annotations import DataError
from components.example_gen.settings import BadInputSettings, DataSettings
from components.example_gen.splits import SplitPolicy
from components.failed_outputs import keep
from components.findings import (
    DROP,
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


def check_report(summary: FindingsSummary, settings: DataSettings, policy: SplitPolicy, findings_uri: str) -> None:
    """Decides whether the run may go on; where it may not, the report is kept first (``components.failed_outputs``).

    Raises:
      BadInputError: findings that are treated as ``fail``, or a limit is passed.
      DataError: a split has no images.
    """
    reasons = []
    if summary.failures:
        reasons.append(f"treated as `fail`: {describe_counts(summary.failures)}")
    repeated = summary.findings.get("duplicate_box", 0) if settings.bad_input.duplicate_box == DROP else 0
    boxes = summary.read_boxes - repeated
    for what, lost, total, key in (
        ("images skipped", summary.skipped_images, summary.listed_images, "max_skipped_images"),
        ("boxes dropped", summary.dropped_boxes - repeated, boxes, "max_dropped_boxes"),
        ("boxes leave their picture", summary.findings.get("box_outside", 0), boxes, "max_clipped_boxes"),
    ):
        limit = getattr(settings, key)
        if lost > limit * total:
            reasons.append(f"{lost} of {total} {what} ({lost / total:.1%}), data.{key} allows {limit:.1%}")
    empty = [split for split in policy.split_names if not summary.images.get(split)]
    if not reasons and not empty:
        return
    copy = posixpath.join(keep(findings_uri, (FINDINGS_FILE, SUMMARY_FILE)), FINDINGS_FILE)
    if reasons:
        advice = [*_advice(summary, settings), "Correct the data, choose another treatment in data.bad_input, or raise"]
        raise BadInputError(
            f"bad input: {'; '.join(reasons)}. Findings: {describe_counts(summary.findings)}; all are in {copy}. "
            f"{' '.join(advice)} the limit"
        )
    raise DataError(
        f"no images in the split {', '.join(empty)} of {settings.path} (images: {summary.images}, findings: "
        f"{describe_counts(summary.findings)}, in {copy}). {_advice_on_empty(empty, summary, policy)}"
    )


def _advice(summary: FindingsSummary, settings: DataSettings) -> Iterator[str]:
    """What findings that most boxes, or images, have in common usually mean."""

    def most(kind: str, total: int) -> bool:
        return summary.findings.get(kind, 0) > 0.4 * total

    if most("box_outside", summary.read_boxes):
        if settings.format in ("coco", "yolo"):
            meant = "x, y" if settings.format == "coco" else "the centre"
            yield f"This looks like corners (xmin, ymin, xmax, ymax) where {meant}, width and height are meant."
        else:
            yield "This looks like boxes that were drawn on pictures of another size."
    if most("box_inverted", summary.read_boxes):
        yield "This looks like x, y, width and height where corners (xmin, ymin, xmax, ymax) are meant."
    if most("box_unit", summary.read_boxes):
        meant = "pixels where 0..1 is" if settings.format in ("yolo", "tfrecord") else "0..1 where pixels are"
        yield f"This looks like {meant} meant; `data.bad_input.box_unit: convert` reads it so."
    if most("duplicate_image", summary.listed_images):
        yield "Most images are listed twice, or in two splits: name each file of annotations once in data.annotations."


def _advice_on_empty(empty: Sequence[str], summary: FindingsSummary, policy: SplitPolicy) -> str:
    """What fills a split, by where its images should have come from."""
    if any(split in policy.given for split in empty):
        return (
            "The data says which images are of which split: correct its lists or folders, name others in "
            "data.annotations, or set data.split.source to `hash`, which divides all images by data.split.ratios"
        )
    images = sum(summary.images.values())
    if images < len(policy.split_names):
        return f"{images} images cannot be divided into {len(policy.split_names)} splits: add some"
    return (
        f"{images} images were divided by a hash of their names, and none fell into {', '.join(empty)}: raise its "
        "share in data.split.ratios, or add images"
    )


def _write(path: str, text: str) -> None:
    with tf.io.gfile.GFile(path, "wb") as file:  # names that are not UTF-8 on disk must not lose the report
        file.write(text.encode("utf-8", "backslashreplace"))
