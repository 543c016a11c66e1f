"""Findings: what was wrong in the input, where, and what was done about it, as JSON lines.

Bad input stops nothing that is fine: every problem is treated as the table ``KINDS`` says (``data.bad_input.<kind>`` in
the config chooses another of its treatments), written down as one ``Finding``, and counted in the ``FindingsSummary``.
Imports neither TensorFlow nor TFX, so that the summary of a run can read it at no cost.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

FINDINGS_FILE: Final = "findings.jsonl"
"""Name of the JSON lines file in a ``Findings`` artifact: one finding a line."""
SUMMARY_FILE: Final = "summary.json"
"""Name of the ``FindingsSummary`` beside it."""

SKIP: Final = "skip"
"""Treatment: the whole record is left out, and counts towards ``data.max_skipped_images``."""
DROP: Final = "drop"
"""Treatment: one box is left out, and counts towards ``data.max_dropped_boxes``."""
FAIL: Final = "fail"
"""Treatment: the record is left out and the run fails, after everything has been read and written down."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table of bad input: what it is, what is done by default, and what can be asked for instead."""

    meaning: str
    default: str
    others: tuple[str, ...]

    @property
    def treatments(self) -> tuple[str, ...]:
        """Every treatment that may be configured, the default first."""
        return (self.default, *self.others)


KINDS: Final[dict[str, Kind]] = {
    # The image file.
    "missing_image": Kind("an annotation names an image that is not there", SKIP, (FAIL,)),
    "empty_image": Kind("the image file has zero bytes", SKIP, (FAIL,)),
    "not_an_image": Kind("the file is no image (a text file called .jpg), or its header is damaged", SKIP, (FAIL,)),
    "truncated_image": Kind("the image does not decode: it ends early or is damaged", SKIP, (FAIL,)),
    "unsupported_image": Kind("an image that is neither JPEG nor PNG, or too large to be decoded", SKIP, (FAIL,)),
    "rotated_image": Kind("EXIF says the stored pixels are not upright; re-encoded upright", "upright", (SKIP, FAIL)),
    "size_mismatch": Kind(
        "annotated and actual size differ; boxes scale along if the aspect ratio agrees, else the record is skipped",
        "rescale",
        ("file", SKIP, FAIL),
    ),
    # Which image an annotation belongs to.
    "path_outside": Kind("a file name climbs out of the data folder", SKIP, (FAIL,)),
    "duplicate_image": Kind("an image is listed again, the first one counts", SKIP, (FAIL,)),
    "ambiguous_image_id": Kind("one image id stands for different files; none can be trusted", SKIP, (FAIL,)),
    "malformed_annotation": Kind("an annotation file or entry cannot be parsed (XML, an image entry)", SKIP, (FAIL,)),
    "missing_annotation": Kind(
        "a listed image has no annotation (Pascal VOC; elsewhere it means: no objects)", SKIP, ("background", FAIL)
    ),
    "missing_group": Kind("an image has no value in the column data.split.group_by", "alone", (SKIP, FAIL)),
    "damaged_record_file": Kind("a TFRecord file breaks off: what lies behind cannot be counted", FAIL, ("keep",)),
    "moved_image": Kind(
        "an image is not where its name says (a path of another machine); the only one of that file name is read",
        "read",
        (SKIP, FAIL),
    ),
    "filename_differs": Kind(
        "a Pascal VOC <filename> is another name than the XML's own, whose image is there: that one is read",
        "own_name",
        ("filename", SKIP, FAIL),
    ),
    # Values of a whole file or data set.
    "coerced_value": Kind(
        'a number, flag or id of another type ("1", an id 1.0), read as what it says', "read", (FAIL,)
    ),
    "similar_names": Kind(
        "class names that differ by white space or case only, or one name of two ids", "keep", (FAIL,)
    ),
    # One box.
    "polygon_box": Kind("a polygon or a turned box, and no box: the extent is taken", "extent", (DROP, SKIP, FAIL)),
    "malformed_box": Kind("a box or a line that cannot be parsed", DROP, (SKIP, FAIL)),
    "box_not_finite": Kind("a coordinate is NaN or infinite", DROP, (SKIP, FAIL)),
    "box_inverted": Kind("a minimum is greater than its maximum", DROP, ("swap", SKIP, FAIL)),
    "box_zero_area": Kind("width or height is zero", DROP, (SKIP, FAIL)),
    "box_outside": Kind(
        "a box reaches more than half a pixel over the edge; clipped, or dropped when nothing is left",
        "clip",
        (DROP, SKIP, FAIL),
    ),
    "box_unit": Kind(
        "a box in 0..1 where the format has pixels, or in pixels where it has 0..1", DROP, ("convert", SKIP, FAIL)
    ),
    "duplicate_box": Kind(
        "a box is there again, of the same class and coordinates; the first one counts", DROP, ("keep", SKIP, FAIL)
    ),
    "unknown_class": Kind("a class id or name that is in no category list or label map", DROP, (SKIP, FAIL)),
    "orphan_box": Kind("a box of an image id that no image entry has", DROP, (FAIL,)),
}
"""Every kind of bad input, with its treatments; the only such table."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was wrong in the input.

    Attributes:
      kind: a key of ``KINDS``.
      file: the image or annotation file, relative to the data folder where it lies in there.
      where: the line, field or object in that file, empty when the file as a whole is meant.
      found: what was found.
      treatment: what was done, one of the kind's treatments (or ``skip``/``drop`` where the asked one was impossible).
    """

    kind: str
    file: str
    where: str
    found: str
    treatment: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"finding of unknown kind {self.kind!r}; kinds: {', '.join(KINDS)}")

    @property
    def loses_record(self) -> bool:
        """Whether a record is left out: skipped, or failed of a kind that could have been skipped."""
        return self.treatment == SKIP or (self.treatment == FAIL and SKIP in KINDS[self.kind].treatments)

    def to_json(self) -> str:
        """One JSON line, without the line break."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Finding:
        """Reads a line of ``to_json``.

        Raises:
          ValueError: the line is no finding; the message shows it.
        """
        try:
            fields = json.loads(line)
            return cls(**{field.name: str(fields[field.name]) for field in dataclasses.fields(cls)})
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"not a finding: {line!r} ({error})") from error


@dataclasses.dataclass(frozen=True, slots=True)
class FindingsSummary:
    """What came in and what was written, in numbers.

    Attributes:
      listed_images: images the annotations name, before anything was skipped.
      skipped_images: of these, the ones left out.
      read_boxes: boxes of the images that could be read, before any was dropped.
      dropped_boxes: of these, the ones left out.
      images: records written, by split.
      boxes: boxes written, by split.
      findings: findings by kind.
      failures: findings treated as ``fail``, by kind.
    """

    listed_images: int
    skipped_images: int
    read_boxes: int
    dropped_boxes: int
    images: dict[str, int]
    boxes: dict[str, int]
    findings: dict[str, int]
    failures: dict[str, int]

    def to_json(self) -> str:
        """The text of ``summary.json``."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> FindingsSummary:
        """Reads the text of ``summary.json``."""
        return cls(**json.loads(text))


def counts_by_kind(findings: Iterable[Finding]) -> dict[str, int]:
    """Number of findings of each kind that occurs, most frequent first."""
    return most_frequent_first(collections.Counter(finding.kind for finding in findings))


def most_frequent_first(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts in descending order; equal ones by name."""
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def describe_counts(counts: dict[str, int]) -> str:
    """``{"missing_image": 3}`` as ``3 missing_image``; ``none`` when empty."""
    return ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "none"


def order_of(finding: Finding) -> tuple[str, str, str, str]:
    """What findings are sorted by: file, place, kind and text, so that equal input gives equal files."""
    return finding.file, finding.where, finding.kind, finding.found


def to_json_lines(findings: Iterable[Finding]) -> str:
    """The text of ``findings.jsonl``, in order."""
    return "".join(finding.to_json() + "\n" for finding in sorted(findings, key=order_of))


def read_findings(folder: str | pathlib.Path) -> Iterator[Finding]:
    """Findings of a ``Findings`` artifact folder, one at a time.

    Raises:
      FileNotFoundError: the folder holds no ``findings.jsonl``.
      ValueError: a line is no finding.
    """
    with (pathlib.Path(folder) / FINDINGS_FILE).open(encoding="utf-8") as lines:
        for line in lines:
            yield Finding.from_json(line)


def read_summary(folder: str | pathlib.Path) -> FindingsSummary:
    """The ``FindingsSummary`` of a ``Findings`` artifact folder."""
    return FindingsSummary.from_json((pathlib.Path(folder) / SUMMARY_FILE).read_text(encoding="utf-8"))
