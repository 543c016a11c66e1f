"""What a run is made of: its parts, in order, and the numbers of their images.

A part is what one worker reads, asks about and writes at a time, and what is not done again when a run is resumed: some
images, or one file of records. The plan is a file, written before the work begins. Workers are sent only where in it
their part stands, so that a runner carries a few bytes a part however many files there are.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import tensorflow as tf

from serving.bulk_inference import files
from serving.bulk_inference.errors import BulkError

Kind = Literal["images", "records"]

PLAN_FILE: Final = "plan.jsonl"
_PARTS: Final = 256
"""How many parts there are at least, if there are as many batches: work for as many workers."""
_MAX_PART_IMAGES: Final = 512
"""Images that are lost, at most, with a worker."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the answers depend on; a run is resumed under the same.

    Attributes:
      kind: of the files.
      patterns: as they were given.
      asked: model folder or server, as it was given, and which version or label of it.
      score_threshold: detections below are left out.
      max_image_pixels: larger images fail.
    """

    kind: Kind
    patterns: tuple[str, ...]
    asked: str
    score_threshold: float
    max_image_pixels: int


@dataclasses.dataclass(frozen=True)
class Part:
    """Some of the work.

    Attributes:
      number: from 0.
      first_id: number of its first image, where the image has none of its own; the following ones count on.
      files: images, or one file of records.
    """

    number: int
    first_id: int
    files: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class PartPlace:
    """A part's number, and where its line begins in the file, in bytes."""

    number: int
    offset: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """The head of the file.

    Attributes:
      settings: of the run.
      parts: how many there are.
      images: how many there are; None: only reading the records tells.
      model_path: folder of the version that was chosen; empty: a server is asked.
      model_version: its number.
    """

    settings: Settings
    parts: int
    images: int | None
    model_path: str
    model_version: int


RECORDS_A_FILE: Final = 10_000_000
"""Records of file n (from 1) have numbers from n times this + 1 on: who reads one sees where it is from."""


def parts_of(kind: Kind, paths: Sequence[str], batch_images: int) -> Iterator[Part]:
    """Images in parts of whole batches; each file of records as one.

    Args:
      kind: of the files.
      paths: in the order of the results.
      batch_images: images that are asked about at once.
    """
    if kind == "records":
        for number, path in enumerate(paths):
            yield Part(number, (number + 1) * RECORDS_A_FILE + 1, (path,))
        return
    batches = max(1, min(-(-len(paths) // (_PARTS * batch_images)), _MAX_PART_IMAGES // batch_images))
    size = batches * batch_images
    for number, start in enumerate(range(0, len(paths), size)):
        yield Part(number, start + 1, tuple(paths[start : start + size]))


def write_plan(folder: str, plan: Plan, parts: Iterator[Part]) -> None:
    """Writes the file; it is there completely, or not at all."""
    path = files.join(folder, PLAN_FILE)
    with tf.io.gfile.GFile(path + ".writing", "w") as file:
        file.write(json.dumps(dataclasses.asdict(plan)) + "\n")
        for part in parts:
            file.write(json.dumps(dataclasses.asdict(part)) + "\n")
    tf.io.gfile.rename(path + ".writing", path, overwrite=True)


def read_plan(folder: str) -> Plan | None:
    """The head of the file; None: there is none.

    Raises:
      BulkError: it is no plan of this release.
    """
    path = files.join(folder, PLAN_FILE)
    if not tf.io.gfile.exists(path):
        return None
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            head = json.loads(file.readline())
        settings = head.pop("settings")
        return Plan(settings=Settings(**{**settings, "patterns": tuple(settings["patterns"])}), **head)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BulkError(f"{path}: is no plan of this release ({error}); delete {folder} and begin anew") from error


def part_places(folder: str) -> Iterator[PartPlace]:
    """Where the parts stand, in their order."""
    with tf.io.gfile.GFile(files.join(folder, PLAN_FILE), "rb") as file:
        file.readline()
        number = 0
        while True:
            offset = file.tell()
            if not file.readline():
                return
            yield PartPlace(number, offset)
            number += 1


def read_part(folder: str, place: PartPlace) -> Part:
    """A part, from its place."""
    with tf.io.gfile.GFile(files.join(folder, PLAN_FILE), "rb") as file:
        file.seek(place.offset)
        line: dict[str, Any] = json.loads(file.readline())
    return Part(line["number"], line["first_id"], tuple(line["files"]))


def check_same(planned: Settings, given: Settings, folder: str) -> None:
    """Refuses to go on with something else.

    Raises:
      BulkError: names what differs.
    """
    for field in dataclasses.fields(Settings):
        before, now = getattr(planned, field.name), getattr(given, field.name)
        if before != now:
            raise BulkError(
                f"--resume: {folder} was begun with {field.name} {before!r}, now it is {now!r}; "
                "give the same, or another --output"
            )
