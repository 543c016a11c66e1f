"""The differences of many images, by class: as a table and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from serving.comparison.matching import Difference, Tolerance
from serving.protocol.detections import Detection

_ALL: Final = "all"
_MEANS: Final = (("mean_score_shift", "+"), ("max_score_shift", ""), ("mean_iou", ""))
"""Keys of a class's numbers, and whether their sign is shown."""


@dataclasses.dataclass
class ClassTally:
    """What two versions find of one class.

    Attributes:
      matched: objects that both find.
      only_a: what the first finds alone.
      only_b: what the second finds alone.
      score_shifts: the second's score less the first's, of each matched object.
      ious: overlap of each matched object's boxes.
    """

    matched: int = 0
    only_a: int = 0
    only_b: int = 0
    score_shifts: list[float] = dataclasses.field(default_factory=list)
    ious: list[float] = dataclasses.field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values; means are None where nothing matched."""
        return {
            "matched": self.matched,
            "only_a": self.only_a,
            "only_b": self.only_b,
            "mean_score_shift": _mean(self.score_shifts),
            "max_score_shift": round(max(map(abs, self.score_shifts)), 4) if self.score_shifts else None,
            "mean_iou": _mean(self.ious),
        }


def tally(differences: Mapping[str, Difference]) -> dict[str, ClassTally]:
    """By class name in alphabetical order, all classes together last."""
    by_class: dict[str, ClassTally] = {}
    total = ClassTally()
    for difference in differences.values():
        for pair in difference.pairs:
            for entry in (by_class.setdefault(pair.a.class_name, ClassTally()), total):
                entry.matched += 1
                entry.score_shifts.append(pair.score_shift)
                entry.ious.append(pair.iou)
        for found in difference.only_a:
            by_class.setdefault(found.class_name, ClassTally()).only_a += 1
            total.only_a += 1
        for found in difference.only_b:
            by_class.setdefault(found.class_name, ClassTally()).only_b += 1
            total.only_b += 1
    return {**dict(sorted(by_class.items())), _ALL: total}


def table(classes: Mapping[str, ClassTally], versions: tuple[int, int]) -> str:
    """One line a class."""
    a, b = versions
    rows: list[tuple[str, ...]] = [("class", "both", f"only {a}", f"only {b}", "score shift", "largest", "IoU")]
    for name, entry in classes.items():
        numbers = entry.to_json()
        rows.append(
            (
                name,
                str(entry.matched),
                str(entry.only_a),
                str(entry.only_b),
                *(_cell(numbers[key], sign) for key, sign in _MEANS),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def to_json(
    differences: Mapping[str, Difference], failed: Mapping[str, str], versions: tuple[int, int], tolerance: Tolerance
) -> dict[str, Any]:
    """Everything, for `json.dump`: versions, tolerance, classes, and each image that differs."""
    return {
        "versions": {"a": versions[0], "b": versions[1]},
        "tolerance": dataclasses.asdict(tolerance),
        "images": len(differences),
        "images_that_differ": sum(difference.is_beyond(tolerance) for difference in differences.values()),
        "failed": dict(failed),
        "classes": {name: entry.to_json() for name, entry in tally(differences).items()},
        "differences": {
            file: {
                "only_a": [_fields(found) for found in difference.only_a],
                "only_b": [_fields(found) for found in difference.only_b],
                "shifted": [
                    {"a": _fields(pair.a), "b": _fields(pair.b), "iou": round(pair.iou, 4)}
                    for pair in difference.pairs
                    if abs(pair.score_shift) > tolerance.max_score_shift
                ],
            }
            for file, difference in differences.items()
            if difference.is_beyond(tolerance)
        },
    }


def _fields(found: Detection) -> dict[str, Any]:
    """Without the model's threshold, which a version in a folder is not asked for: all are looked at by one."""
    return {name: value for name, value in dataclasses.asdict(found).items() if name != "threshold"}


def _mean(values: list[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def _cell(value: float | None, sign: str) -> str:
    return "-" if value is None else f"{value:{sign}.3f}"
