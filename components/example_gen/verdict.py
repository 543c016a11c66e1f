"""Whether what was read is all of it, and good enough to go on with; and what to do where it is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from components.data_profile import SplitProfile
from components.example_gen.annotations import DataError
from components.example_gen.settings import BadInputSettings, DataSettings
from components.example_gen.splits import SplitPolicy
from components.findings import DROP, FAIL, KINDS, SKIP, Finding, FindingsSummary, describe_counts, most_frequent_first
from components.user_error import UserError
from schema.text import clean_name, spelling_key

_FOUND: Final = "finding/"
_FAILED: Final = "failure/"


class BadInputError(UserError):
    """The input is worse than the settings allow; the message has counts by kind."""


class AccountError(RuntimeError):
    """An image or a box got lost without a finding: a fault of ExampleGen, whatever the input is."""


def counts_of(finding: Finding) -> Iterator[tuple[str, int]]:
    """What ``summarize`` wants counted of a finding."""
    yield f"{_FOUND}{finding.kind}", 1
    if finding.treatment == FAIL:
        yield f"{_FAILED}{finding.kind}", 1
    if finding.loses_record:
        yield "skipped", 1
    if finding.treatment == DROP:
        yield "dropped", 1


def summarize(counts: Mapping[str, int], profiles: Mapping[str, SplitProfile]) -> FindingsSummary:
    """What came in and what was written, in numbers.

    Args:
      counts: sums of ``listed``, ``read_boxes`` and what ``counts_of`` says.
      profiles: what was written, by split.
    """
    written = {split: profile for split, profile in sorted(profiles.items()) if profile.images}

    def by_kind(prefix: str) -> dict[str, int]:
        found = {key.removeprefix(prefix): count for key, count in counts.items() if key.startswith(prefix)}
        return most_frequent_first(found)

    return FindingsSummary(
        listed_images=counts.get("listed", 0),
        skipped_images=counts.get("skipped", 0),
        read_boxes=counts.get("read_boxes", 0),
        dropped_boxes=counts.get("dropped", 0),
        images={split: profile.images for split, profile in written.items()},
        boxes={split: profile.objects for split, profile in written.items()},
        findings=by_kind(_FOUND),
        failures=by_kind(_FAILED),
    )


def similar_names(counts: Mapping[str, int], bad_input: BadInputSettings) -> list[Finding]:
    """A finding for each group of class names, as written, that differ by case or white space only.

    Args:
      counts: boxes by ``class/<name as written>``, among other counts.
      bad_input: treatments.
    """
    boxes_of_spelling = {key.removeprefix("class/"): count for key, count in counts.items() if key.startswith("class/")}
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


def refusal(
    summary: FindingsSummary, settings: DataSettings, policies: Sequence[SplitPolicy]
) -> BadInputError | DataError | None:
    """Why a run may not go on with what was read: ``fail`` treatments, limits, empty splits; None when it may."""
    splits = [split for policy in policies for split in policy.split_names]
    reasons, passed = [], []
    if summary.failures:
        reasons.append(f"treated as `fail`: {describe_counts(summary.failures)}")
    # What is there twice is not lost: a box, and an image whose split does not hang on where it is listed.
    repeated = summary.findings.get("duplicate_box", 0) if settings.bad_input.duplicate_box == DROP else 0
    listed_again = summary.findings.get("duplicate_image", 0) if settings.split.source == "hash" else 0
    boxes, images = summary.read_boxes - repeated, summary.listed_images - listed_again
    for what, lost, total, key in (
        ("images skipped", summary.skipped_images - listed_again, images, "max_skipped_images"),
        ("boxes dropped", summary.dropped_boxes - repeated, boxes, "max_dropped_boxes"),
        ("boxes leave their picture", summary.findings.get("box_outside", 0), boxes, "max_clipped_boxes"),
    ):
        limit = getattr(settings, key)
        if lost > limit * total:
            passed.append(f"{lost} of {total} {what} ({lost / total:.1%}), data.{key} allows {limit:.1%}")
    empty = [split for split in splits if not summary.images.get(split)]
    if not reasons and not passed and not empty:
        return None
    if reasons or passed:
        ways = ["Correct the data"]
        kinds = summary.findings if passed else summary.failures
        treatments = list(_treatments_that_help(kinds, settings.bad_input))
        if treatments:
            ways.append(f"choose another treatment in data.bad_input ({', '.join(treatments)})")
        # A limit that lets a split without any object through only moves the failure.
        teaches = all(summary.boxes.get(split) for split in splits if split in ("train", "eval"))
        if passed and teaches and not empty:
            ways.append("raise the limit")
        return BadInputError(
            f"bad input: {'; '.join([*reasons, *passed])}. Findings: {describe_counts(summary.findings)}. "
            f"{' '.join([*_advice(summary, settings), ' or '.join(ways)])}"
        )
    policy = next(policy for policy in policies if set(empty) & set(policy.split_names))
    path = settings.target.path if settings.target and policy.names else settings.path
    return DataError(
        f"no images in the split {', '.join(empty)} of {path} (images: {summary.images}, findings: "
        f"{describe_counts(summary.findings)}). {_advice_on_empty(empty, summary, policy)}"
    )


def _treatments_that_help(kinds: Iterable[str], bad_input: BadInputSettings) -> Iterator[str]:
    """``kind: treatment`` that would keep what was lost, or go on where a kind is treated as ``fail``."""
    for kind in kinds:
        chosen = getattr(bad_input, kind)
        losing = (FAIL,) if chosen == FAIL else (SKIP, DROP, FAIL)
        if chosen in losing and (kind, chosen) != ("duplicate_box", DROP):  # nothing is lost by that
            yield from (f"{kind}: {other}" for other in KINDS[kind].treatments if other not in losing)


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
        yield (
            "This looks like x, y, width and height where corners (xmin, ymin, xmax, ymax) are meant; if corners were "
            "exchanged, `data.bad_input.box_inverted: swap` reads them."
        )
    if most("box_unit", summary.read_boxes):
        meant = "pixels where 0..1 is" if settings.format in ("yolo", "tfrecord") else "0..1 where pixels are"
        yield f"This looks like {meant} meant; `data.bad_input.box_unit: convert` reads it so."
    if summary.skipped_images and most("size_mismatch", summary.skipped_images):
        yield (
            "The annotated sizes are not the images': if the boxes are in pixels of the images all the same (width and "
            "height exchanged), `data.bad_input.size_mismatch: file` reads them so."
        )
    if summary.findings.get("duplicate_image", 0) > 0.5 * summary.skipped_images:
        yield (
            "Images are listed twice, or in two splits, where an evaluation would be on training images: name each "
            "file of annotations once in data.annotations, or set data.split.source to `hash`, which divides them anew."
        )


def _advice_on_empty(empty: Sequence[str], summary: FindingsSummary, policy: SplitPolicy) -> str:
    """What fills a split, by where its images should have come from."""
    if any(policy.names.get(split, split) in empty for split in policy.given):
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
