"""Operating points made up for exports of the tests."""

from __future__ import annotations

from schema.label_map import LabelMap
from schema.operating_points import ClassOperatingPoint, OperatingPoints


def made_operating_points(label_map: LabelMap) -> OperatingPoints:
    """Of every class another threshold: 1/2 of id 1, 1/3 of id 2, and so on."""
    classes = tuple(
        ClassOperatingPoint(class_id, name, 1 / (1 + class_id), 0.75, 0.6, 2 / 3, 20, False, True)
        for class_id, name in label_map
    )
    return OperatingPoints("f1", None, "eval", 50, classes)
