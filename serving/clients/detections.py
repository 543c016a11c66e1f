"""What a client gets back: the detections of an image file."""

from __future__ import annotations

import dataclasses

from serving.protocol.detections import Detection


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
