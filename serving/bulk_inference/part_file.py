"""The answers of a part in a file: a line an image, in the part's order. It has its name when it is complete."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final

import tensorflow as tf

from serving.bulk_inference import files
from serving.protocol.detections import Detection

PART_NAME: Final = re.compile(r"part-(\d{5,})\.jsonl(?P<writing>\.writing-\w+)?")
"""Of a part that is complete, and of one that is being written, or was when its worker was killed."""


@dataclasses.dataclass(frozen=True)
class ImageAnswer:
    """What became of an image.

    Attributes:
      image_id: its number in the results.
      file: what it is called there.
      source: where it was read.
      width, height: in pixels of the upright image; 0 where there is an error.
      model_version: that answered.
      detections: best score first.
      error: why there is no answer; empty: there is one.
    """

    image_id: int
    file: str
    source: str
    width: int = 0
    height: int = 0
    model_version: int = 0
    detections: tuple[Detection, ...] = ()
    error: str = ""

    def to_line(self) -> str:
        """A line of a part's file."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        rows = [dataclasses.astuple(found) for found in self.detections]
        return json.dumps({**fields, "detections": rows}) + "\n"

    @classmethod
    def of_line(cls, line: str | bytes) -> ImageAnswer:
        """From a line of a part's file."""
        fields: dict[str, Any] = json.loads(line)
        # Rows of an earlier release end with the box.
        detections = tuple(
            Detection(class_id, name, score, tuple(box), *threshold)
            for class_id, name, score, box, *threshold in fields.pop("detections")
        )
        return cls(**fields, detections=detections)


def part_path(folder: str, number: int) -> str:
    """The file of a part that is complete."""
    return files.join(folder, f"part-{number:05d}.jsonl")


@contextlib.contextmanager
def writing(folder: str, number: int) -> Iterator[Callable[[list[ImageAnswer]], None]]:
    """Takes the answers of a part as they come; the file gets its name when the block ends well.

    Two workers may write the same part, as runners let them: each has a file of its own, and the last one stays.
    """
    path = part_path(folder, number)
    unfinished = f"{path}.writing-{uuid.uuid4().hex}"
    with tf.io.gfile.GFile(unfinished, "w") as file:
        # There is a file from here on, also of a part without an image.
        file.write("")

        def write(answers: list[ImageAnswer]) -> None:
            file.write("".join(answer.to_line() for answer in answers))
            if files.is_local(folder):
                # Progress is told from it. An object store would get the whole file again.
                file.flush()

        yield write
    tf.io.gfile.rename(unfinished, path, overwrite=True)


def finished_parts(folder: str) -> set[int]:
    """Numbers of the parts that are complete."""
    matches = (PART_NAME.fullmatch(name) for name in tf.io.gfile.listdir(folder))
    return {int(match[1]) for match in matches if match and not match["writing"]}


def read_answers(folder: str, number: int) -> Iterator[ImageAnswer]:
    """Answers of a part that is complete."""
    with tf.io.gfile.GFile(part_path(folder, number), "rb") as file:
        for line in file:
            yield ImageAnswer.of_line(line)
