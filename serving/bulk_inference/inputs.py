"""Images of a part, one after the other, as they are sent: from image files, or from records."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

import tensorflow as tf
from google.protobuf.message import DecodeError

from schema import features
from serving.bulk_inference import files
from serving.bulk_inference.plan import Kind, Part
from serving.clients import image_files
from serving.clients.image_files import EncodedImage, ImageFileError

_GZIP_MAGIC: Final = b"\x1f\x8b"
_NUMBER: Final = re.compile("[0-9]{1,15}")
"""A source id that is taken for the image's; all readers of JSON have such numbers exactly."""
_READ_BYTES: Final = 1 << 20
_THREADS: Final = 4 * (os.cpu_count() or 1)
"""Most of their time is spent waiting for a disk or an object store."""

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclasses.dataclass(frozen=True)
class Input:
    """An image to ask about.

    Attributes:
      image_id: its number in the results.
      file: what it is called there.
      source: where it was read: the file, or `FILE#N` for record N (from 1) of a file.
      image: what is sent; None: there is nothing to send.
      error: why.
    """

    image_id: int
    file: str
    source: str
    image: EncodedImage | None
    error: str = ""


def inputs_of(kind: Kind, part: Part, max_pixels: int, ahead: int) -> Iterator[Input]:
    """Images of a part in their order, read by threads.

    Args:
      kind: of the part's files.
      part: to be read.
      max_pixels: larger images have an error in place of the image.
      ahead: how many are read before somebody asks for them; memory holds as many.
    """
    if kind == "records":
        numbered = enumerate(_records(part.files[0]), start=1)
        return _map_ahead(lambda pair: _of_record(part, pair[0], pair[1], max_pixels), numbered, ahead)
    return _map_ahead(lambda pair: _of_file(*pair, max_pixels), enumerate(part.files, start=part.first_id), ahead)


def _of_file(image_id: int, path: str, max_pixels: int) -> Input:
    try:
        return Input(image_id, path, path, image_files.encode(files.read_bytes(path), max_pixels))
    except (OSError, ImageFileError) as error:
        return Input(image_id, path, path, None, str(error))


def _of_record(part: Part, number: int, record: bytes | tf.errors.OpError, max_pixels: int) -> Input:
    source = f"{part.files[0]}#{number}"
    image_id = part.first_id + number - 1
    if isinstance(record, tf.errors.OpError):
        return Input(image_id, source, source, None, f"cannot be read from here on: {record.message}")
    try:
        values = tf.train.Example.FromString(record).features.feature
    except DecodeError as error:
        return Input(image_id, source, source, None, f"is no tf.train.Example: {error}")
    source_id, filename = (_text(values, key) for key in (features.IMAGE_SOURCE_ID, features.IMAGE_FILENAME))
    name = filename or source_id or source
    if _NUMBER.fullmatch(source_id):
        image_id = int(source_id)
    encoded = values[features.IMAGE_ENCODED].bytes_list.value
    if len(encoded) != 1:
        error_text = f"has {len(encoded)} values of {features.IMAGE_ENCODED}, expected 1"
        return Input(image_id, name, source, None, error_text)
    try:
        return Input(image_id, name, source, image_files.encode(encoded[0], max_pixels))
    except ImageFileError as error:
        return Input(image_id, name, source, None, str(error))


def _text(values: dict[str, tf.train.Feature], key: str) -> str:
    """The one string of a feature, or its one number; empty: it has none."""
    if key not in values:
        return ""
    feature = values[key]
    if feature.int64_list.value:
        return str(feature.int64_list.value[0])
    return b"".join(feature.bytes_list.value[:1]).decode("utf-8", "surrogateescape")


def _records(path: str) -> Iterator[bytes | tf.errors.OpError]:
    """Serialised records of a file; where it breaks off or is damaged the error comes last."""
    try:
        yield from tf.data.TFRecordDataset(path, _compression(path), _READ_BYTES).as_numpy_iterator()
    except tf.errors.OpError as error:
        yield error


def _compression(path: str) -> str:
    """`GZIP` or none, by what is in the file and not by its name."""
    with tf.io.gfile.GFile(path, "rb") as file:
        if file.read(len(_GZIP_MAGIC)) != _GZIP_MAGIC:
            return ""
    try:
        # The length of a first record may look like it; its checksum then fits.
        next(iter(tf.data.TFRecordDataset(path)), None)
    except tf.errors.DataLossError:
        return "GZIP"
    return ""


def _map_ahead(function: Callable[[_T], _R], values: Iterable[_T], ahead: int) -> Iterator[_R]:
    """`map` in threads, with the results in order and no more values read than `ahead`."""
    waiting: collections.deque[concurrent.futures.Future[_R]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(min(ahead, _THREADS)) as pool:
        for value in values:
            waiting.append(pool.submit(function, value))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
