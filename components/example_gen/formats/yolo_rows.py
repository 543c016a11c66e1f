"""One row of a YOLO txt file: a box, and what else tools write in its place.

=====================================  =====================================================================
numbers after the class                what they are
=====================================  =====================================================================
4                                      centre, width, height
5                                      the same and a confidence
4 + keypoints x dimensions             a pose, where data.yaml has ``kpt_shape`` (or ``task: pose``)
8                                      four corners of an oriented box, or a polygon
6, 10, 12, ...                         a polygon
=====================================  =====================================================================

The box of corners and polygons is their extent. Rows of a pose look like polygons, so only data.yaml can tell them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from components.example_gen.annotations import ObjectAnnotation
from components.example_gen.coercion import describe_ids, to_float
from components.example_gen.polygons import extent


@dataclasses.dataclass(frozen=True, slots=True)
class RowFormat:
    """What data.yaml says of the rows.

    Attributes:
      keypoints: number and dimensions (``kpt_shape``) of a pose, None where there are none.
      task: ``detect``, ``pose``, ``segment``, ``obb``; empty when it is not said.
    """

    keypoints: tuple[int, int] | None = None
    task: str = ""

    @property
    def is_pose(self) -> bool:
        """Whether rows go on with keypoints after the box."""
        return self.keypoints is not None or self.task == "pose"


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """An object, and whether its box is the extent of a polygon, or its class a number such as ``0.0``."""

    annotation: ObjectAnnotation
    is_polygon: bool
    class_coerced: bool


def parse_row(line: str, where: str, names: Mapping[int, str], rows: RowFormat) -> Row:
    """Reads a row; ``names`` are by 0-based class number.

    Raises:
      ValueError: it is none of the above; the message shows it.
    """
    fields = line.split()
    try:
        numbers = [to_float(field) for field in fields]
    except ValueError as error:
        raise ValueError(f"{error}, in {line[:80]!r}; expected: class cx cy width height") from error
    points = numbers[1:]
    is_polygon = False
    if len(points) in (4, 5) or (rows.is_pose and len(points) > 5):
        if rows.keypoints is not None and len(points) > 5 and len(points) != 4 + rows.keypoints[0] * rows.keypoints[1]:
            keypoints = " x ".join(map(str, rows.keypoints))
            raise ValueError(
                f"{len(numbers)} numbers in {line[:80]!r}; expected: class cx cy width height and the {keypoints} "
                "numbers of kpt_shape"
            )
        if len(points) == 5 and not 0 <= points[4] <= 1:
            raise ValueError(
                f"{fields[5]} is no confidence in 0..1, in {line[:80]!r}; expected: class cx cy width height (of a "
                "turned box the four corners)"
            )
        cx, cy, width, height = points[:4]
        box = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
    elif len(points) >= 6 and len(points) % 2 == 0:
        is_polygon = True
        box = extent(points[::2], points[1::2])
    else:
        raise ValueError(f"{len(numbers)} numbers in {line[:80]!r}; expected: class cx cy width height")
    known = numbers[0].is_integer() and int(numbers[0]) in names
    number = int(numbers[0]) if known else -1
    annotation = ObjectAnnotation(
        box_xyxy=box,
        class_name=names[number] if known else None,
        class_id=number + 1,
        class_found=f"class {fields[0]}" + ("" if known else f"; names are given to {describe_ids(names)}"),
        where=where,
    )
    return Row(annotation, is_polygon, known and not fields[0].isdigit())
