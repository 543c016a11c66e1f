"""The score thresholds that an export carries, chosen for a rule on images that nothing was learnt from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final

from components.evaluator.analysis.operating_point import Rule, operating_points
from components.evaluator.coco_matching import ImageResult
from components.evaluator.matched_images import ImageFacts, MatchedImage, join_images, match_image
from components.evaluator.operating_point_settings import OperatingPointSettings
from schema.label_map import LabelMap
from schema.operating_points import ClassOperatingPoint, OperatingPoints

OPERATING_POINT: Final = "operating_point"
"""Of the Trainer's config: ``OperatingPointSettings`` as JSON. It decides nothing about the weights."""
_MODEL: Final = "trained"
_NAMED_CLASSES: Final = 5
"""In a line; of more, how many there are."""


def choose_operating_points(
    results: Sequence[ImageResult], label_map: LabelMap, settings: OperatingPointSettings, split: str
) -> OperatingPoints | None:
    """The operating points of all classes.

    Args:
      results: image by image, of the detector that is exported; class indices are ids less 1.
      label_map: its classes.
      settings: the rule.
      split: that the images are of.

    Returns:
      None where there is no object to find, or nothing was detected.
    """
    if not results:
        return None
    rule = Rule() if settings.rule == "f1" else Rule(settings.rule, settings.value)
    by_name = operating_points(join_images(_matched(results, label_map), _MODEL, None, None), rule)
    if not by_name:
        return None
    points = ((class_id, name, by_name[name]) for class_id, name in label_map)
    classes = tuple(
        ClassOperatingPoint(class_id=class_id, class_name=name, **dataclasses.asdict(point))
        for class_id, name, point in points
    )
    return OperatingPoints(settings.rule, settings.value, split, len(results), classes)


def described(points: OperatingPoints | None) -> list[str]:
    """What was chosen, in a few lines for the log."""
    if points is None:
        return ["score thresholds: none, for there was no object to find, or nothing was detected"]
    aim = "the best F1" if points.value is None else f"{points.rule} {points.value:g}"
    where = f"on {points.images} images of {points.split}"
    lowest, highest = (of(points.classes, key=lambda point: point.threshold) for of in (min, max))
    chosen = f"{lowest.threshold:.3f} ({lowest.class_name}) to {highest.threshold:.3f} ({highest.class_name})"
    if lowest.threshold == highest.threshold:
        chosen = f"{lowest.threshold:.3f}"
    lines = [f"score thresholds for {aim} {where}: {chosen}"]
    shared = [point.class_name for point in points.classes if point.of_all_classes]
    if shared:
        lines.append(f"score thresholds: that of all classes together, for too few objects: {_listed(shared)}")
    missed = [point.class_name for point in points.classes if not point.is_reached]
    if missed:
        lines.append(f"score thresholds: {aim} is not reached, the nearest is taken: {_listed(missed)}")
    return lines


def _matched(results: Sequence[ImageResult], label_map: LabelMap) -> Iterator[MatchedImage]:
    names = label_map.name_by_index
    for number, result in enumerate(results):
        # Nothing but the order of the images is of interest, and their sizes are in the boxes.
        name = f"{number:012}"
        yield match_image(ImageFacts(name, name, 0, 0, {}, cluster=name), names, {_MODEL: result})


def _listed(names: Sequence[str]) -> str:
    left = len(names) - _NAMED_CLASSES
    return ", ".join(names[:_NAMED_CLASSES]) + (f" and {left} more" if left > 0 else "")
