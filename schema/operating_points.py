"""The score from which on an exported model's detections are believed, class by class, and what that brings."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Self

from schema.label_map import LabelMap


@dataclasses.dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """A threshold and what it brings, on the images that it was chosen on.

    Attributes:
      threshold: detections of the class that score at least this are believed, 0..1.
      precision: share of these that are true.
      recall: share of the objects there that one of these found.
      f1: harmonic mean of the two; 0 where both are.
      support: objects of the class that there were to find.
      of_all_classes: they were too few, or none was detected: threshold, precision, recall and F1 are those of all
        classes together.
      is_reached: the rule is kept; else it is the threshold that comes nearest.
    """

    threshold: float
    precision: float
    recall: float
    f1: float
    support: int
    of_all_classes: bool
    is_reached: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassOperatingPoint(OperatingPoint):
    """A class's threshold.

    Attributes:
      class_id: 1-based id of the label map.
      class_name: name of the class.
    """

    class_id: int
    class_name: str


@dataclasses.dataclass(frozen=True)
class OperatingPoints:
    """Every class's threshold.

    Attributes:
      rule: what they were chosen for: ``f1``, ``precision`` or ``recall``.
      value: the precision to keep or the recall to reach; None with ``f1``.
      split: that they were chosen on.
      images: of it.
      classes: by rising id.
    """

    rule: str
    value: float | None
    split: str
    images: int
    classes: tuple[ClassOperatingPoint, ...]

    @property
    def threshold_by_id(self) -> dict[int, float]:
        """Thresholds by 1-based id."""
        return {point.class_id: point.threshold for point in self.classes}

    def by_index(self, label_map: LabelMap) -> list[float]:
        """Thresholds of the ids from 1 to the last, at index id - 1; 1 for an id without a class.

        Raises:
          ValueError: a class of the label map has none.
        """
        by_id = self.threshold_by_id
        missing = [name for class_id, name in label_map if class_id not in by_id]
        if missing:
            raise ValueError(
                f"no operating point for {', '.join(missing)}; expected one for every class of the label map"
            )
        return [by_id.get(class_id, 1.0) for class_id in range(1, label_map.ids[-1] + 1)]

    def to_json(self) -> str:
        """The text of ``exported_model.OPERATING_POINTS_FILE``."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def of_json(cls, text: str) -> Self:
        """The points of a text that ``to_json`` made.

        Raises:
          ValueError, KeyError, TypeError: it is another text.
        """
        read: dict[str, Any] = dict(json.loads(text))
        classes = tuple(ClassOperatingPoint(**point) for point in read.pop("classes"))
        return cls(classes=classes, **read)
