"""What a client gets back: detections, by image."""

from __future__ import annotations

import dataclasses

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
