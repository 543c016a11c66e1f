"""What a client gets back: detections, and how they are shown as a table or JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

PixelBox = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True)
class Detection:
    """One object found.

    Attributes:
      class_id: 1-based id of the model's label map.
      class_name: name of the class.
      score: 0..1.
      box_yxyx_normalized: (ymin, xmin, ymax, xmax), 0..1 of the upright image.
    """

    class_id: int
    class_name: str
    score: float
    box_yxyx_normalized: tuple[float, float, float, float]

    def box_xyxy_pixels(self, width: int, height: int) -> PixelBox:
        """(xmin, ymin, xmax, ymax) in whole pixels of an upright image of this size."""
        ymin, xmin, ymax, xmax = self.box_yxyx_normalized
        return round(xmin * width), round(ymin * height), round(xmax * width), round(ymax * height)


@dataclasses.dataclass(frozen=True)
class ImageDetections:
    """What was found in one image file: best score first; sizes in pixels of the upright image."""

    file: str
    width: int
    height: int
    model_version: int
    detections: tuple[Detection, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values for `json.dumps`."""
        return {
            "file": self.file,
            "width": self.width,
            "height": self.height,
            "model_version": self.model_version,
            "detections": [
                {
                    "class": found.class_name,
                    "class_id": found.class_id,
                    "score": round(found.score, 4),
                    "box_xyxy_pixels": list(found.box_xyxy_pixels(self.width, self.height)),
                    "box_yxyx_normalized": [round(value, 6) for value in found.box_yxyx_normalized],
                }
                for found in self.detections
            ],
        }


def table(results: Sequence[ImageDetections]) -> str:
    """Text table with one line a detection; an image in which nothing was found has a line that says so."""
    rows = [("image", "class", "score", "xmin", "ymin", "xmax", "ymax")]
    for result in results:
        if not result.detections:
            rows.append((result.file, "(nothing found)", "", "", "", "", ""))
        for found in result.detections:
            corners = [str(value) for value in found.box_xyxy_pixels(result.width, result.height)]
            rows.append((result.file, found.class_name, f"{found.score:.3f}", *corners))  # type: ignore[arg-type]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
