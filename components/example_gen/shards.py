"""Shards: which file a record goes to, and writing one."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import os
import posixpath
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeVar

import tensorflow as tf

from components.data_profile import SplitProfile
from components.example_gen.annotations import AnnotationFormat, ImageAnnotation, Item, LoadedImage, RecordSkippedError
from components.example_gen.records import Record, make_record
from components.example_gen.settings import DataSettings
from components.example_gen.splits import hash_fraction
from components.findings import Finding
from components.split_names import UNLABELLED
from schema.label_map import LabelMap

_UNFINISHED: Final = ".unfinished"
_GZIP_STORED: Final = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=0)
"""Gzip without compression: JPEG and PNG do not compress, and both writing and every reading would pay for the try."""

_T = TypeVar("_T")
_R = TypeVar("_R")


def shard_path(split: str, item: Item, split_images: int, images_per_shard: int, streams: int) -> str:
    """File of a record relative to the examples folder: ``Split-train/data_tfrecord-00001-of-00004.gz``.

    Items of a stream stay in the stream's shard, all others are spread by a hash of their keys.
    """
    if item.stream is not None:
        count, index = streams, item.stream
    else:
        count = -(-split_images // images_per_shard)
        index = int(hash_fraction(item.key, "shard") * count)
    return f"Split-{split}/data_tfrecord-{index:05d}-of-{count:05d}.gz"


@dataclasses.dataclass(frozen=True, slots=True)
class Shard:
    """A shard that was written.

    Attributes:
      split: that it is of.
      profile: what it holds.
      counts: ``read_boxes``, boxes before any was dropped, and ``class/<name>``, boxes of a class as it is written.
      findings: what was found on the way.
    """

    split: str
    profile: SplitProfile
    counts: collections.Counter[str]
    findings: tuple[Finding, ...]


class ShardWriter:
    """Reads, checks and writes the images of one shard after another."""

    def __init__(
        self, settings: DataSettings, reader: AnnotationFormat, label_map: LabelMap | None, examples_uri: str
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._label_map = label_map
        self._examples_uri = examples_uri

    def write(self, path: str, items: Iterable[Item], metadata_types: Mapping[str, str]) -> Shard:
        """Writes one shard; it appears under its name when it is complete.

        Until then it has a name of its own: a runner may make a second attempt while the first is still at work.
        """
        profile = SplitProfile()
        counts: collections.Counter[str] = collections.Counter()
        findings: list[Finding] = []
        unfinished = posixpath.join(self._examples_uri, _UNFINISHED, f"{path}.{uuid.uuid4().hex}")
        tf.io.gfile.makedirs(posixpath.dirname(unfinished))
        split = path.partition("/")[0].removeprefix("Split-")
        with tf.io.TFRecordWriter(unfinished, _GZIP_STORED) as writer:
            loaded = self._reader.load(_in_reading_order(items))
            if split == UNLABELLED:
                loaded = map(_without_annotation, loaded)
            for record in _map_in_threads(lambda entry: self._record(entry, metadata_types), loaded):
                if isinstance(record, Finding):
                    findings.append(record)
                    continue
                writer.write(record.serialized)
                findings.extend(record.findings)
                record.add_to(profile)
                counts["read_boxes"] += record.read_count
                counts.update(f"class/{checked.annotation.class_name}" for checked in record.objects)
        tf.io.gfile.rename(unfinished, posixpath.join(self._examples_uri, path), overwrite=True)
        return Shard(split, profile, counts, tuple(findings))

    def _record(self, loaded: LoadedImage | Finding, metadata_types: Mapping[str, str]) -> Record | Finding:
        if isinstance(loaded, Finding):
            return loaded
        try:
            return make_record(loaded, self._settings.bad_input, self._label_map, metadata_types)
        except RecordSkippedError as skipped:
            return skipped.finding

    @staticmethod
    def remove_unfinished(examples_uri: str) -> None:
        """Removes what workers that were stopped have left behind."""
        folder = posixpath.join(examples_uri, _UNFINISHED)
        if tf.io.gfile.exists(folder):
            tf.io.gfile.rmtree(folder)


def _without_annotation(loaded: LoadedImage | Finding) -> LoadedImage | Finding:
    """What the target's training images show is nobody's business: here is the door that it does not pass."""
    if isinstance(loaded, Finding):
        return loaded
    return dataclasses.replace(loaded, annotation=ImageAnnotation(()))


def _in_reading_order(items: Iterable[Item]) -> list[Item]:
    """Streams from start to end; single files shuffled by hash, so that a shard is no run of neighbours."""

    def place(item: Item) -> tuple[float, int]:
        return item.order if item.stream is not None else (hash_fraction(item.key, "order"), 0)

    return sorted(items, key=place)


def _map_in_threads(function: Callable[[_T], _R], values: Iterable[_T]) -> Iterator[_R]:
    """``map`` with the calls in as many threads as there are cores, and no more values read ahead than that.

    Decoding is most of the work, and leaves Python's lock to the other threads.
    """
    threads = len(os.sched_getaffinity(0))
    ahead: collections.deque[concurrent.futures.Future[_R]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for value in values:
            ahead.append(pool.submit(function, value))
            if len(ahead) > threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
