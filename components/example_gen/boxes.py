"""From boxes as people wrote them to boxes in 0..1 of the upright image: frame, scale, and treatment of bad ones.

Which picture a box was drawn on: labelling tools show a photo upright (EXIF applied) and most write the upright size;
some write the stored size and stored coordinates. So the annotated size decides: equal to the upright size (or no size
at all, as in YOLO, or a square or a half turn, where sizes cannot tell) means upright; equal to the stored size of a
quarter-turned photo means stored, and the box is turned along.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Final

from components.example_gen.annotations import ImageAnnotation, ObjectAnnotation, RecordSkippedError
from components.example_gen.images import ImageHeader
from components.example_gen.settings import BadInputSettings
from components.findings import DROP, SKIP, Finding
from schema.text import clean_name, spelling_key

Box = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax."""

EDGE_TOLERANCE_PIXELS: Final = 0.5
"""Boxes may reach this far over the edge without a finding: tools round to pixels, YOLO to six digits."""
ASPECT_TOLERANCE: Final = 0.02
"""Annotated and actual aspect ratio may differ by this much for boxes to scale along."""


@dataclasses.dataclass(frozen=True, slots=True)
class CheckedObject:
    """An object that goes into a record: its box in 0..1 of the upright image, its area in pixels of that image.

    ``class_name`` is clean; ``annotation.class_name`` is as the file has it.
    """

    annotation: ObjectAnnotation
    class_name: str
    box_xyxy_normalized: Box
    area_pixels: float


@dataclasses.dataclass(frozen=True, slots=True)
class _Frame:
    """How boxes become fractions of the upright image: divide by this size, then turn by this EXIF orientation.

    ``area_scale`` is the number of the file's pixels in one of the annotated picture.
    """

    width: float
    height: float
    orientation: int
    area_scale: float


def turn_upright(box_xyxy_normalized: Box, orientation: int) -> Box:
    """A box in 0..1 of the stored image in 0..1 of the upright one, for the EXIF orientations 1..8.

    ``turn_upright((0.0, 0.0, 0.25, 0.5), 6) == (0.5, 0.0, 1.0, 0.25)``: 6 is turned a quarter clockwise for display.
    """
    xmin, ymin, xmax, ymax = box_xyxy_normalized
    match orientation:
        case 2:
            return 1 - xmax, ymin, 1 - xmin, ymax
        case 3:
            return 1 - xmax, 1 - ymax, 1 - xmin, 1 - ymin
        case 4:
            return xmin, 1 - ymax, xmax, 1 - ymin
        case 5:
            return ymin, xmin, ymax, xmax
        case 6:
            return 1 - ymax, xmin, 1 - ymin, xmax
        case 7:
            return 1 - ymax, 1 - xmax, 1 - ymin, 1 - xmin
        case 8:
            return ymin, 1 - xmax, ymax, 1 - xmin
        case _:
            return box_xyxy_normalized


def check_objects(
    annotation: ImageAnnotation,
    header: ImageHeader,
    file: str,
    bad_input: BadInputSettings,
    class_names: frozenset[str] | None,
) -> tuple[list[CheckedObject], list[Finding]]:
    """Objects of an image as they go into the record, and what was wrong with others.

    Args:
      annotation: what the format read.
      header: of the image file.
      file: named in findings.
      bad_input: treatments.
      class_names: the only classes there may be, None for any.

    Raises:
      RecordSkippedError: a treatment that leaves the whole record out.
    """
    findings = list(annotation.findings)
    for finding in findings:
        _raise_if_lost(finding)
    frame, size_finding = _frame(annotation, header, file, bad_input)
    if size_finding is not None:
        findings.append(size_finding)
    checked: list[CheckedObject] = []
    seen: set[tuple[str, Box, bool]] = set()
    for entry in annotation.objects:
        class_name = _clean_text(entry.class_name)
        if not class_name or (class_names is not None and class_name not in class_names):
            found = (entry.class_found or str(entry.class_name)) + _near(class_name, class_names or frozenset())
            finding = bad_input.finding("unknown_class", file, entry.where, found)
            _raise_if_lost(finding)
            findings.append(finding)
            continue
        box, problems = _check_box(entry, frame, header, file, bad_input)
        findings.extend(problems)
        if box is None:
            continue
        identity = (class_name, entry.box_xyxy, entry.is_crowd)
        if identity in seen:
            finding = bad_input.finding("duplicate_box", file, entry.where, f"{class_name} {_found(entry)}")
            _raise_if_lost(finding)
            findings.append(finding)
            if finding.treatment == DROP:
                continue
        seen.add(identity)
        checked.append(CheckedObject(entry, class_name, box, _area(entry, box, frame, header)))
    return checked, findings


def _clean_text(name: str | None) -> str:
    """The class name, cleaned; empty when it is none, or has halves of characters that no file can be written with."""
    text = clean_name(name or "")
    return "" if any("\ud800" <= character <= "\udfff" for character in text) else text


def _near(name: str, class_names: frozenset[str]) -> str:
    """Says which class of the label map differs from a name by case or white space only."""
    near = [known for known in sorted(class_names) if name and spelling_key(known) == spelling_key(name)]
    return f"; the label map has {near[0]!r}" if near else ""


def _area(entry: ObjectAnnotation, box: Box, frame: _Frame, header: ImageHeader) -> float:
    if entry.area_pixels is not None:
        return entry.area_pixels * frame.area_scale
    return (box[2] - box[0]) * (box[3] - box[1]) * header.width_pixels * header.height_pixels


def _raise_if_lost(finding: Finding) -> None:
    if finding.loses_record:
        raise RecordSkippedError(finding)


def _frame(
    annotation: ImageAnnotation, header: ImageHeader, file: str, bad_input: BadInputSettings
) -> tuple[_Frame, Finding | None]:
    upright = (header.width_pixels, header.height_pixels)
    stored = (header.stored_width_pixels, header.stored_height_pixels)
    width, height = annotation.width_pixels, annotation.height_pixels
    annotated = upright if width is None or height is None else (width, height)
    orientation = header.orientation if annotated == stored != upright else 1
    if annotation.normalized:
        return _Frame(1.0, 1.0, orientation, 1.0), None
    if annotated in (upright, stored):
        return _Frame(*annotated, orientation, 1.0), None
    found = f"annotated {annotated[0]}x{annotated[1]}, file {upright[0]}x{upright[1]}"
    finding = bad_input.finding("size_mismatch", file, "width, height", found)
    ratio = (annotated[0] / annotated[1]) / (upright[0] / upright[1])
    if finding.treatment == "file":
        return _Frame(*upright, 1, 1.0), finding
    if abs(ratio - 1) > ASPECT_TOLERANCE and not finding.loses_record:
        what = ", width and height exchanged" if annotated == upright[::-1] else ", another aspect ratio"
        finding = dataclasses.replace(finding, treatment=SKIP, found=found + what)
    _raise_if_lost(finding)
    return _Frame(*annotated, 1, upright[0] * upright[1] / (annotated[0] * annotated[1])), finding


def _check_box(
    entry: ObjectAnnotation, frame: _Frame, header: ImageHeader, file: str, bad_input: BadInputSettings
) -> tuple[Box | None, list[Finding]]:
    """The box in 0..1 of the upright image, None when it is dropped; and findings about it."""
    findings: list[Finding] = []

    def note(kind: str, text: str) -> str:
        finding = bad_input.finding(kind, file, entry.where, text)
        _raise_if_lost(finding)
        findings.append(finding)
        return finding.treatment

    xmin, ymin, xmax, ymax = entry.box_xyxy
    found = _found(entry)
    if not all(math.isfinite(value) for value in entry.box_xyxy):
        note("box_not_finite", found)
        return None, findings
    if xmin > xmax or ymin > ymax:
        if note("box_inverted", found) != "swap":
            return None, findings
        xmin, xmax, ymin, ymax = min(xmin, xmax), max(xmin, xmax), min(ymin, ymax), max(ymin, ymax)
    if xmin == xmax or ymin == ymax:
        note("box_zero_area", found)
        return None, findings
    fractions = (xmin / frame.width, ymin / frame.height, xmax / frame.width, ymax / frame.height)
    other_unit = _in_other_unit((xmin, ymin, xmax, ymax), frame, header)
    if other_unit is not None:
        if note("box_unit", f"{found} in {frame.width:g}x{frame.height:g}") != "convert":
            return None, findings
        fractions = other_unit
    box = turn_upright(fractions, frame.orientation)
    limits = (EDGE_TOLERANCE_PIXELS / header.width_pixels, EDGE_TOLERANCE_PIXELS / header.height_pixels)
    clipped: Box = (_clip(box[0]), _clip(box[1]), _clip(box[2]), _clip(box[3]))
    is_empty = clipped[0] >= clipped[2] or clipped[1] >= clipped[3]
    if is_empty or any(abs(a - b) > limits[axis % 2] for axis, (a, b) in enumerate(zip(box, clipped, strict=True))):
        treatment = note("box_outside", f"{found} in {frame.width:g}x{frame.height:g}")
        if is_empty and treatment == "clip":
            findings[-1] = dataclasses.replace(findings[-1], treatment="drop")
        if is_empty or treatment == "drop":
            return None, findings
    return clipped, findings


def _in_other_unit(box_xyxy: Box, frame: _Frame, header: ImageHeader) -> Box | None:
    """The box in 0..1 when its numbers make sense only in the unit that the format does not have, else None.

    In pixels: all of it within the first pixel. In 0..1: it ends a whole picture behind the edge, and would lie inside
    in pixels.
    """
    if frame.width > 1 and frame.height > 1:
        return box_xyxy if all(abs(value) <= 1 for value in box_xyxy) else None
    xmin, ymin, xmax, ymax = box_xyxy
    width, height = header.stored_width_pixels, header.stored_height_pixels
    if header.orientation != frame.orientation:
        width, height = header.width_pixels, header.height_pixels
    inside = min(xmin, ymin) >= -1 and xmax <= width + 1 and ymax <= height + 1
    if max(xmax, ymax) <= 2 or not inside:
        return None
    return xmin / width, ymin / height, xmax / width, ymax / height


def _found(entry: ObjectAnnotation) -> str:
    xmin, ymin, xmax, ymax = entry.box_xyxy
    return f"xmin {xmin:.6g}, ymin {ymin:.6g}, xmax {xmax:.6g}, ymax {ymax:.6g}"


def _clip(fraction: float) -> float:
    return min(max(fraction, 0.0), 1.0)
