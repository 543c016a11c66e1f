"""Matches to make sections of, and the sections made of them."""

from __future__ import annotations

import functools
import types
from collections.abc import Sequence
from typing import TypeVar, cast

import numpy as np

from components.evaluator.coco import ImageResult
from components.evaluator.matched_images import MatchedImages
from components.report.section import Run, Section
from components.report.templating import templates
from tests.components.evaluator.made_images import joined, made_result

_Section = TypeVar("_Section", bound=Section)


@functools.cache
def many_classes(count: int, images: int, with_baseline: bool = False, seed: int = 0) -> MatchedImages:
    """Made-up images of classes whose names try to be HTML; a tenth of the detections is of the next class."""
    random = np.random.default_rng(seed)
    names = tuple(f"<u>{index:03}" for index in range(count))
    candidate = [_confused(made_result(random, count), random, count) for _ in range(images)]
    baseline = [made_result(random, count) for _ in candidate] if with_baseline else None
    truth = [_with_truth(result, own) for result, own in zip(baseline or [], candidate, strict=bool(baseline))]
    return joined(candidate, truth if with_baseline else None, class_names=names)


def _confused(result: ImageResult, random: np.random.Generator, count: int) -> ImageResult:
    wrong = random.random(len(result.detection_classes)) < 0.1
    result.detection_classes[:] = np.where(wrong, (result.detection_classes + 1) % count, result.detection_classes)
    return result


def _with_truth(found: ImageResult, there: ImageResult) -> ImageResult:
    return ImageResult(
        found.detection_boxes_yxyx_pixels,
        found.detection_scores,
        found.detection_classes,
        there.truth_boxes_yxyx_pixels,
        there.truth_classes,
        there.truth_areas_pixels,
        there.truth_is_crowd,
        there.truth_is_ignored,
    )


def section_of(kind: type[_Section], images: MatchedImages | None) -> _Section | None:
    """The section of a run with these matches."""
    return kind.read(cast(Run, types.SimpleNamespace(matches=images)))


def drawn(section: Section) -> str:
    """Its part of the page."""
    return templates().get_template(section.template).render(section=section)


def rows(page: str, after: str) -> Sequence[str]:
    """The rows of the first table behind some text."""
    table = page[page.index(after) :]
    return table[: table.index("</table>")].split("<tr>")[1:]
