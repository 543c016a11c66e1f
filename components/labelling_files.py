"""Images with boxes to be corrected, as the files of the tools that people correct them with: COCO and Label Studio.

What is proposed and nobody has looked at is in both; what people annotated before is in Label Studio's file beside it.
"""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

Box = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax."""


@dataclasses.dataclass(frozen=True)
class LabelledBox:
    """An object in an image.

    Attributes:
      box_xyxy_pixels: of the upright image.
      class_name: what it is.
      score: of a model that found it; None for what people annotated.
      area_pixels: of the object itself; None: that of the box.
      is_crowd: whether it stands for several.
      notes: further fields of its entry in COCO, which tools ignore.
    """

    box_xyxy_pixels: Box
    class_name: str
    score: float | None = None
    area_pixels: float | None = None
    is_crowd: bool = False
    notes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class LabelledImage:
    """An image to correct.

    Attributes:
      file: where it is, in the folder that the tool is given.
      width_pixels, height_pixels: its size, upright.
      proposed: what is to be corrected.
      annotated: what people annotated before; None where nobody did.
    """

    file: str
    width_pixels: int
    height_pixels: int
    proposed: tuple[LabelledBox, ...]
    annotated: tuple[LabelledBox, ...] | None = None


def coco_document(images: Sequence[LabelledImage], class_names: Sequence[str]) -> dict[str, Any]:
    """COCO's JSON of what is proposed, as ExampleGen reads it; category ids are those of ``class_names``, from 1.

    Raises:
      KeyError: a box is of another class.
    """
    ids = {name: number for number, name in enumerate(class_names, start=1)}
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(images, start=1):
        size = {"width": image.width_pixels, "height": image.height_pixels}
        entries.append({"id": number, "file_name": image.file, **size})
        for box in image.proposed:
            xmin, ymin, xmax, ymax = box.box_xyxy_pixels
            area = (xmax - xmin) * (ymax - ymin) if box.area_pixels is None else box.area_pixels
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": ids[box.class_name],
                    "bbox": [round(value, 2) for value in (xmin, ymin, xmax - xmin, ymax - ymin)],
                    "area": round(area, 2),
                    "iscrowd": int(box.is_crowd),
                    **({} if box.score is None else {"score": round(box.score, 4)}),
                    **box.notes,
                }
            )
    categories = [{"id": number, "name": name} for name, number in ids.items()]
    return {"images": entries, "annotations": annotations, "categories": categories}


def label_studio_tasks(images: Sequence[LabelledImage], model_version: str, folder: str = "") -> list[dict[str, Any]]:
    """Label Studio's tasks: what is proposed as predictions, what people annotated as annotations.

    Label Studio serves the images itself, from ``LOCAL_FILES_DOCUMENT_ROOT``.

    Args:
      images: to correct.
      model_version: who proposes.
      folder: of the images, in that root.
    """
    tasks = []
    for image in images:
        path = urllib.parse.quote("/".join(filter(None, (folder, image.file))))
        task: dict[str, Any] = {
            "data": {"image": f"/data/local-files/?d={path}"},
            "predictions": [{"model_version": model_version, "result": _results(image, image.proposed)}],
        }
        if image.annotated is not None:
            task["annotations"] = [{"result": _results(image, image.annotated)}]
        tasks.append(task)
    return tasks


def _results(image: LabelledImage, boxes: Sequence[LabelledBox]) -> list[dict[str, Any]]:
    """Boxes as Label Studio has them: in per cent."""
    results = []
    for number, box in enumerate(boxes, start=1):
        xmin, ymin, xmax, ymax = box.box_xyxy_pixels
        across, down = 100 / image.width_pixels, 100 / image.height_pixels
        results.append(
            {
                "id": str(number),
                "type": "rectanglelabels",
                "from_name": "label",
                "to_name": "image",
                "original_width": image.width_pixels,
                "original_height": image.height_pixels,
                "value": {
                    "x": xmin * across,
                    "y": ymin * down,
                    "width": (xmax - xmin) * across,
                    "height": (ymax - ymin) * down,
                    "rotation": 0,
                    "rectanglelabels": [box.class_name],
                },
                **({} if box.score is None else {"score": round(box.score, 4)}),
            }
        )
    return results
