"""The results of a run: the answers of all parts in the files that a user takes away.

Parts are read one after the other in the order of the plan, an image at a time, so that the results are the same
however many workers there were, and memory does not grow with them (but for the images' numbers, where some may come
twice).
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Final

import tensorflow as tf

from schema.label_map import LabelMap
from serving.bulk_inference import files
from serving.bulk_inference.coco_ids import CocoIds
from serving.bulk_inference.part_file import ImageAnswer
from serving.clients.detections import ImageDetections
from serving.protocol.detections import Detection

FORMATS: Final[Mapping[str, str]] = {"coco": "results.json", "jsonl": "results.jsonl"}
"""File of the detections, by format."""
IMAGES_FILE: Final = "images.json"
FAILURES_FILE: Final = "failures.jsonl"


@dataclasses.dataclass(frozen=True)
class Tally:
    """How many images were answered, with how many detections, and how many were not."""

    images: int
    detections: int
    failures: int


@dataclasses.dataclass(frozen=True)
class Numbering:
    """Which numbers images and classes have.

    Attributes:
      ids: of a file of annotations; None: those of the plan, the records and the model.
      may_repeat: may two images have one number?
    """

    ids: CocoIds | None
    may_repeat: bool


class ResultFiles:
    """Takes answers in the order of the results; a context manager."""

    def __init__(self, folder: str, form: str, numbering: Numbering, labels: LabelMap | None) -> None:
        """Opens the files.

        Args:
          folder: where they are written.
          form: key of `FORMATS`.
          numbering: of images and classes.
          labels: all classes of the model; None: those are told that were found.
        """
        self._stack = contextlib.ExitStack()
        self._numbering = numbering
        self._categories: dict[int, str] = {}
        for class_id, name in labels or ():
            self._category_id(class_id, name)
        self._versions: set[int] = set()
        self._seen: set[int] = set()
        self._counts: collections.Counter[str] = collections.Counter()
        self._failures, self._images, self._results = (
            self._stack.enter_context(tf.io.gfile.GFile(files.join(folder, name), "w"))
            for name in (FAILURES_FILE, IMAGES_FILE, FORMATS[form])
        )
        # There is a file from here on, also when nothing fails or nothing is found.
        self._failures.write("")
        self._results.write("")
        self._images.write('{"images": ')
        self._image_list = _JsonList(self._images)
        self._result_list = _JsonList(self._results) if form == "coco" else None

    def __enter__(self) -> ResultFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self, answer: ImageAnswer) -> None:
        """An image's."""
        image_id, error = self._image_id(answer)
        if error:
            self._counts["failures"] += 1
            fields = {"image_id": image_id, "file": answer.file, "source": answer.source, "reason": error}
            self._failures.write(json.dumps(fields) + "\n")
            return
        self._counts["images"] += 1
        self._versions.add(answer.model_version)
        size = {"width": answer.width, "height": answer.height}
        self._image_list.add({"id": image_id, "file_name": answer.file, **size})
        detections = [
            dataclasses.replace(found, class_id=self._category_id(found.class_id, found.class_name))
            for found in answer.detections
        ]
        self._counts["detections"] += len(detections)
        if self._result_list:
            for found in detections:
                self._result_list.add(_coco_result(image_id, found, answer.width, answer.height))
            return
        image = ImageDetections(answer.file, answer.width, answer.height, answer.model_version, tuple(detections))
        self._results.write(json.dumps({"image_id": image_id, **image.to_json()}) + "\n")

    def finish(self, asked: str) -> Tally:
        """What comes last in the files.

        Args:
          asked: model or server, for the description.
        """
        if self._result_list:
            self._result_list.close()
        self._image_list.close()
        categories = [{"id": number, "name": name} for number, name in sorted(self._categories.items())]
        info = {"description": f"images that {asked} was asked about", "model_versions": sorted(self._versions)}
        # There are no annotations, but readers of COCO look for them.
        rest = {"annotations": [], "categories": categories, "info": info}
        self._images.write(f",\n{json.dumps(rest)[1:]}\n")
        return Tally(self._counts["images"], self._counts["detections"], self._counts["failures"])

    def _image_id(self, answer: ImageAnswer) -> tuple[int | None, str]:
        """The number, and why the image has no place in the results."""
        ids = self._numbering.ids
        image_id = answer.image_id if ids is None else ids.image_id(answer.file)
        if answer.error:
            return image_id, answer.error
        if image_id is None:
            return image_id, "is not among the images of --annotations"
        if self._numbering.may_repeat:
            if image_id in self._seen:
                return image_id, f"has the image id {image_id}, which an image before it has"
            self._seen.add(image_id)
        return image_id, ""

    def _category_id(self, class_id: int, name: str) -> int:
        ids = self._numbering.ids
        number = class_id if ids is None else ids.category_id(name)
        self._categories[number] = name
        return number


class _JsonList:
    """A list in a JSON file, an item a line, which nobody holds as a whole."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._before = "["

    def add(self, item: Mapping[str, object]) -> None:
        self._file.write(f"{self._before}\n{json.dumps(item)}")
        self._before = ","

    def close(self) -> None:
        self._file.write("[]" if self._before == "[" else "\n]")


def _coco_result(image_id: int | None, found: Detection, width: int, height: int) -> dict[str, object]:
    """An entry of COCO's results: the box is (x, y, width, height) in pixels."""
    ymin, xmin, ymax, xmax = found.box_yxyx_normalized
    box = (xmin * width, ymin * height, (xmax - xmin) * width, (ymax - ymin) * height)
    return {
        "image_id": image_id,
        "category_id": found.class_id,
        "bbox": [round(value, 2) for value in box],
        "score": round(found.score, 6),
    }


def count_failures(output: str) -> int:
    """Of a run that is complete."""
    with tf.io.gfile.GFile(files.join(output, FAILURES_FILE), "rb") as file:
        return sum(1 for _ in file)


def publish(folder: str, output: str, form: str) -> None:
    """Gives the files their place, the detections last: where they are, all is."""
    for name in (FAILURES_FILE, IMAGES_FILE, FORMATS[form]):
        tf.io.gfile.rename(files.join(folder, name), files.join(output, name), overwrite=True)
