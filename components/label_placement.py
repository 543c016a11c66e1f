"""Where the names of boxes stand on a picture: inside it, by their box, and none on another.

Pure geometry, in whatever unit the picture is measured in; pages and pictures of the report, the doctor and the
augmentation sheet draw by it. (``serving`` sees the schema alone, and has a simple rule of its own.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

Box = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax."""

_SMALL: Final = 4.0
"""A box of less than so many times a name's area would hardly be seen below it."""


class LabelPlacer:
    """Finds places one after the other, greedily: what matters most comes first.

    Args:
      picture_size: (width, height) of the picture.
      boxes_xyxy: all boxes that are drawn; names keep off the small ones where they can.
    """

    def __init__(self, picture_size: tuple[float, float], boxes_xyxy: Sequence[Box]) -> None:
        self._picture_size = picture_size
        self._boxes = tuple(boxes_xyxy)
        self._taken: list[Box] = []

    def place(self, box_xyxy: Box, width: float, height: float) -> Box | None:
        """The place of one name, which is then taken.

        Args:
          box_xyxy: the box that it is of.
          width, height: of the name with its ground.

        Returns:
          Above the box, else below, beside or in it: the first of ``places_by`` that lies on no other name and on no
          small box, else the first that lies on no other name. None without such a place.
        """
        free = [
            place
            for place in places_by(box_xyxy, width, height, self._picture_size)
            if not any(overlap(place, other) for other in self._taken)
        ]
        small = [box for box in self._boxes if _area(box) < _SMALL * width * height]
        clear = (place for place in free if not any(overlap(place, box) for box in small))
        chosen = next(clear, None) or next(iter(free), None)
        if chosen is not None:
            self._taken.append(chosen)
        return chosen


def places_by(box_xyxy: Box, width: float, height: float, picture_size: tuple[float, float]) -> Iterator[Box]:
    """Every place inside the picture that is by a box, the best first; none when the name is larger than the picture.

    Above and below the box, at its left and its right end; beside it and in it, from its upper edge down; last, as near
    above it as the picture allows.
    """
    # A box may reach far out of the picture: what is seen of it is what counts.
    xmin, xmax = (min(max(x, 0.0), picture_size[0]) for x in box_xyxy[::2])
    ymin, ymax = (min(max(y, 0.0), picture_size[1]) for y in box_xyxy[1::2])
    most_x, most_y = picture_size[0] - width, picture_size[1] - height
    if most_x < 0 or most_y < 0:
        return
    # A name wider than its box may reach past it, but not past the picture.
    left, right = (min(max(x, 0.0), most_x) for x in (xmin, xmax - width))
    rows = [ymin + row * height for row in range(max(1, int((ymax - ymin) // height)))]
    corners = [
        *((x, y) for y in (ymin - height, ymax) for x in (left, right)),
        *((x, y) for y in rows for x in (xmax, xmin - width)),
        *((x, y) for y in rows for x in (left, right)),
    ]
    for x, y in corners:
        if 0 <= x <= most_x and 0 <= y <= most_y:
            yield x, y, x + width, y + height
    y = min(max(ymin - height, 0.0), most_y)
    yield left, y, left + width, y + height


def overlap(one: Box, other: Box) -> bool:
    """Whether two boxes share more than an edge."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
