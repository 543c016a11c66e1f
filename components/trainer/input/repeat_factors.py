"""Repeat-factor sampling (Gupta et al. 2019, "LVIS"): images with rare classes come more often.

An image is shown ``max(1, sqrt(t / f))`` times an epoch, f being the share of images that hold its rarest class. What
is no whole number is rounded at random, anew in every epoch.
"""

from __future__ import annotations

import collections
from collections.abc import Collection, Hashable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.trainer.input.record_stream import NoRecordsError, matching_files
from schema import features

_READ_AT_ONCE_FILES = 8
_PARSED_AT_ONCE = 64


def repeat_factors(classes_of_images: Sequence[Collection[Hashable]], threshold: float) -> NDArray[np.float32]:
    """How often each image is shown in an epoch, on average: float32 [N], at least 1.

    Args:
      classes_of_images: the classes in each image.
      threshold: t of the paper, a share of images: classes in fewer images are repeated.
    """
    images = collections.Counter(name for classes in classes_of_images for name in set(classes))
    count = len(classes_of_images)
    of_class = {name: max(1.0, (threshold * count / number) ** 0.5) for name, number in images.items()}
    return np.array(
        [max((of_class[name] for name in classes), default=1.0) for classes in classes_of_images], np.float32
    )


def repeated_records(
    patterns: Sequence[str], *, threshold: float, seed: int, shuffle_memory_megabytes: int, start: int = 0
) -> tf.data.Dataset:
    """The records of a split over and over, scalar strings, those of images with rare classes several times an epoch.

    The order depends on the seed alone. Counting classes reads everything once.

    Args:
      patterns: globs of gzipped TFRecord files.
      threshold: see ``repeat_factors``.
      seed: decides the order and the rounding.
      shuffle_memory_megabytes: what the shuffle buffer may hold.
      start: number of records to leave out at the beginning of the endless stream.

    Raises:
      NoRecordsError: no file matches, or they hold no record.
    """
    split = _Split.read(matching_files(patterns))
    if not split.classes:
        raise NoRecordsError(f"the files that match {', '.join(patterns)} hold no record")
    factors = tf.constant(repeat_factors(split.classes, threshold))  # [N]
    buffer_records = max(1, int(shuffle_memory_megabytes * 1e6 / (split.size_bytes / len(split.classes))))

    epoch_number, rest = 0, start
    while rest >= (shown := int(tf.reduce_sum(_repeats(factors, seed, tf.constant(epoch_number, tf.int64))))):
        epoch_number, rest = epoch_number + 1, rest - shown

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        # Of this function's graph only: beside a global seed, `shuffle` takes no seed that is a tensor.
        tf.compat.v1.set_random_seed(None)
        epoch_seed = seed + number * 1_000_003
        repeats = _repeats(factors, seed, number)  # [N]
        in_new_order = tf.data.Dataset.from_tensor_slices((split.files, np.array(split.first_records, np.int64)))
        records = in_new_order.shuffle(len(split.files), seed=epoch_seed).interleave(
            lambda file, first: tf.data.TFRecordDataset(file, compression_type="GZIP").enumerate(first),
            cycle_length=_READ_AT_ONCE_FILES,
            num_parallel_calls=2,
            deterministic=True,
        )
        repeated = records.flat_map(lambda row, record: tf.data.Dataset.from_tensors(record).repeat(repeats[row]))
        return repeated.shuffle(buffer_records, seed=epoch_seed + 1)

    return tf.data.Dataset.counter(tf.constant(epoch_number, tf.int64)).flat_map(epoch).skip(rest)


def _repeats(factors: tf.Tensor, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """How often each record comes in an epoch: int64 [N]."""
    whole = tf.floor(factors)  # [N]
    drawn = tf.random.stateless_uniform(factors.shape, tf.stack([tf.constant(seed, tf.int64), epoch]))  # [N]
    return tf.cast(whole, tf.int64) + tf.cast(drawn < factors - whole, tf.int64)


class _Split(NamedTuple):
    """What is known of the records of a split.

    Attributes:
      files: sorted.
      first_records: number of records in the files before.
      classes: of each record, in the order of the files.
      size_bytes: of all records.
    """

    files: list[str]
    first_records: list[int]
    classes: list[frozenset[bytes]]
    size_bytes: int

    @classmethod
    def read(cls, files: list[str]) -> _Split:
        """Reads everything once; images are not decoded."""
        specification = {features.OBJECT_CLASS_TEXT: tf.io.RaggedFeature(tf.string)}
        first_records: list[int] = []
        classes: list[frozenset[bytes]] = []
        size_bytes = 0
        for file in files:
            first_records.append(len(classes))
            batches = tf.data.TFRecordDataset(file, compression_type="GZIP").batch(_PARSED_AT_ONCE)
            for batch in batches:
                names = tf.io.parse_example(batch, specification)[features.OBJECT_CLASS_TEXT]
                classes += [frozenset(row) for row in names.to_list()]
                size_bytes += int(tf.reduce_sum(tf.strings.length(batch)))
        return cls(files, first_records, classes, size_bytes)
