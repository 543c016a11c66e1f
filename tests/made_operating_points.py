"""Operating points made up for exports of the tests."""

from __future__ import annotations

from schema.label_map import LabelMap
from schema.operating_points import ClassOperatingPoint, OperatingPoints


def made_operating_points(label_map: LabelMap) -> OperatingPoints:
    """Of every class another threshold: 1/2 of id 1, 1/3 of id 2, and so on."""
    classes = tuple(
        ClassOperatingPoint(
            class_id=class_id,
            class_name=name,
            threshold=1 / (1 + class_id),
            precision=0.75,
            recall=0.6,
            f1=2 / 3,
            support=20,
            of_all_classes=False,
            is_reached=True,
        )
        for class_id, name in label_map
    )
    return OperatingPoints("f1", None, "eval", 50, classes)
