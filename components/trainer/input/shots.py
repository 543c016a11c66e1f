"""k shots: exactly k annotated objects of every class, drawn from the records of a split, and nothing else to learn.

The images are drawn, as in the splits of few-shot benchmarks (Kang et al. 2019, "Few-shot Object Detection via Feature
Reweighting", section 4.1): in a random order, those that bring no class above k. Where that leaves a class short,
because its objects stand among others, further images are drawn for it, of which only so many objects are learnt as are
missing. All other objects of a drawn image are ignored (weight 0), neither learnt nor taught as background.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import tensorflow as tf

from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.input.input_pipeline import Parser
from components.trainer.input.padded_objects import Features
from components.trainer.input.record_stream import ordered_records
from components.transform import features
from components.user_error import UserError
from schema.label_map import LabelMap

_FILE: Final = "shots.tfrecord.gz"
_IGNORED: Final = "image/object/is_ignored"
"""Feature of a drawn record, int64 list: 1 for an object, of those that the parser gives, that is not learnt."""
_NOT_TO_LEARN: Final = -1
_AT_ONCE: Final = 64


class NotEnoughShotsError(UserError):
    """A class has fewer objects than shots are asked for."""


def choose_shots(
    objects: Mapping[str, Sequence[int]], names: Mapping[int, str], shots: int, seed: int
) -> dict[str, list[bool]]:
    """Draws images with exactly so many objects of every class to learn.

    Args:
      objects: classes (0-based) of an image's objects, by the image's ``source_id``; any number that ``names`` lacks
        is an object that nobody should learn.
      names: of the classes to draw, by 0-based index.
      shots: k.
      seed: of the order. It decides together with the ids of the images alone, not with their files or their order.

    Returns:
      By ``source_id`` of the drawn images, which of their objects are learnt.

    Raises:
      NotEnoughShotsError: a class has fewer; the message tells how many.
    """
    there = collections.Counter(index for of_image in objects.values() for index in of_image)
    short = {name: there[index] for index, name in names.items() if there[index] < shots}
    if short:
        found = ", ".join(f"{name} {count}" for name, count in short.items())
        raise NotEnoughShotsError(
            f"transfer.shots: {shots} annotated objects of every class are needed (crowd and difficult ones do not "
            f"count), but the train split has of {found}. Lower transfer.shots, annotate more, or give the train "
            "split a larger share"
        )
    missing = dict.fromkeys(names, shots)
    drawn: dict[str, list[bool]] = {}
    order = sorted(objects, key=lambda source_id: hashlib.blake2b(f"{seed}/{source_id}".encode()).digest())
    for only_whole_images in (True, False):
        for source_id in order:
            counts = collections.Counter(index for index in objects[source_id] if index in missing)
            fits = all(count <= missing[index] for index, count in counts.items())
            helps = any(missing[index] for index in counts)
            if source_id in drawn or not helps or (only_whole_images and not fits):
                continue
            drawn[source_id] = []
            for index in objects[source_id]:
                is_learnt = missing.get(index, 0) > 0
                missing[index] = missing.get(index, 0) - is_learnt
                drawn[source_id].append(is_learnt)
    return drawn


def draw_shots(records: AnnotatedRecords, label_map: LabelMap, shots: int, seed: int, folder: str) -> AnnotatedRecords:
    """The drawn records, in a file of their own; a second call finds it.

    The split is read once for its annotations and once for the drawn records; no image is decoded, and only the drawn
    ones are held.

    Args:
      records: to draw from.
      label_map: every class of it is drawn.
      shots: k.
      seed: another draws others.
      folder: to keep the file in.

    Raises:
      NotEnoughShotsError: a class has fewer objects.
      NoRecordsError: there is no file of records.
    """
    path = f"{folder}/{_FILE}"
    if not tf.io.gfile.exists(path):
        objects = _objects_by_image(records)
        drawn = choose_shots(objects, {class_id - 1: name for class_id, name in label_map}, shots, seed)
        tf.io.gfile.makedirs(folder)
        with tf.io.TFRecordWriter(f"{path}.partial", "GZIP") as writer:
            batches = ordered_records(records.patterns).batch(_AT_ONCE)
            for batch, ids in batches.map(lambda batch: (batch, records.parse(batch)[features.SOURCE_ID])):
                for serialized, source_id in zip(batch.numpy(), ids.numpy(), strict=True):
                    if source_id.decode() in drawn:
                        writer.write(_marked(serialized, drawn[source_id.decode()]))
        tf.io.gfile.rename(f"{path}.partial", path, overwrite=True)
    return dataclasses.replace(records, patterns=[path], parse=_ignoring_marked(records.parse))


def ignoring_classes(records: AnnotatedRecords, classes: Sequence[int]) -> AnnotatedRecords:
    """The same records, in which objects of some classes (0-based) are neither learnt nor taught as background."""

    def parse(serialized: tf.Tensor) -> Features:
        parsed = records.parse(serialized)
        indices = parsed[features.CLASS_INDEX]
        is_one = tf.reduce_any(indices.flat_values[:, tf.newaxis] == tf.constant(classes, tf.int64), axis=-1)
        return _ignoring(parsed, tf.cast(is_one, tf.int64))

    return dataclasses.replace(records, parse=parse)


def _objects_by_image(records: AnnotatedRecords) -> dict[str, list[int]]:
    """Classes of the objects that can be learnt, and ``_NOT_TO_LEARN`` for the others, by ``source_id``."""

    def annotations(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.RaggedTensor]:
        parsed = records.parse(serialized)
        indices = parsed[features.CLASS_INDEX]
        set_aside = parsed[features.IS_CROWD].flat_values + parsed[features.DIFFICULT].flat_values > 0
        return parsed[features.SOURCE_ID], indices.with_flat_values(
            tf.where(set_aside, tf.constant(_NOT_TO_LEARN, tf.int64), indices.flat_values)
        )

    objects: dict[str, list[int]] = {}
    for ids, classes in ordered_records(records.patterns).batch(_AT_ONCE).map(annotations):
        objects |= {source_id.decode(): row for source_id, row in zip(ids.numpy(), classes.to_list(), strict=True)}
    return objects


def _marked(serialized: bytes, learnt: Sequence[bool]) -> bytes:
    example = tf.train.Example.FromString(serialized)
    example.features.feature[_IGNORED].int64_list.value.extend(int(not each) for each in learnt)
    marked: bytes = example.SerializeToString(deterministic=True)
    return marked


def _ignoring_marked(parse: Parser) -> Parser:
    specification = {_IGNORED: tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)}

    def parse_drawn(serialized: tf.Tensor) -> Features:
        marks = tf.io.parse_example(serialized, specification)[_IGNORED]
        return _ignoring(parse(serialized), marks.flat_values)

    return parse_drawn


def _ignoring(parsed: Features, is_ignored: tf.Tensor) -> Features:
    """Features in which further objects, int64 [all objects of the batch], are as the difficult ones: not to learn."""
    difficult = parsed[features.DIFFICULT]
    return {**parsed, features.DIFFICULT: difficult.with_flat_values(tf.maximum(difficult.flat_values, is_ignored))}
