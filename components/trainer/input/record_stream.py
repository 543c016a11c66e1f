"""Serialised records from TFRecord files: in order for evaluation; shuffled, endless and resumable for training.

What is shuffled are serialised records with their still encoded images, in a buffer bounded in megabytes. The order
depends on the seed alone: a stream can be started again in the middle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from components.user_error import UserError

_READ_AT_ONCE_FILES = 8
_SAMPLE_RECORDS = 64
"""Records looked at to tell how many fit the shuffle buffer."""


class NoRecordsError(UserError):
    """A split without a file or without a record; the message names the patterns."""


def matching_files(patterns: Sequence[str]) -> list[str]:
    """The files of a split, sorted.

    Raises:
      NoRecordsError: no file matches.
    """
    files = sorted({str(file) for pattern in patterns for file in tf.io.gfile.glob(pattern)})
    if not files:
        raise NoRecordsError(f"no record file matches {', '.join(patterns) or 'an empty list of patterns'}")
    return files


def _read(files: tf.data.Dataset) -> tf.data.Dataset:
    return files.interleave(
        lambda file: tf.data.TFRecordDataset(file, compression_type="GZIP"),
        cycle_length=_READ_AT_ONCE_FILES,
        num_parallel_calls=2,
        deterministic=True,
    )


def ordered_records(patterns: Sequence[str]) -> tf.data.Dataset:
    """Every record of a split once, scalar strings, always in the same order.

    Args:
      patterns: globs of gzipped TFRecord files.

    Raises:
      NoRecordsError: no file matches.
    """
    return _read(tf.data.Dataset.from_tensor_slices(matching_files(patterns)))


def shuffled_records(
    patterns: Sequence[str],
    *,
    seed: int,
    shuffle_memory_megabytes: int,
    start: int = 0,
    keep: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> tf.data.Dataset:
    """The records of a split over and over, scalar strings, in a new order every time.

    Args:
      patterns: globs of gzipped TFRecord files.
      seed: decides the order.
      shuffle_memory_megabytes: what the shuffle buffer may hold.
      start: number of records to leave out at the beginning of the endless stream (those before a checkpoint).
      keep: which records belong to the stream, bool [] of a scalar string, as graph ops; None: all of them.

    Raises:
      NoRecordsError: no file matches, or they hold no record.
    """
    files = matching_files(patterns)

    def kept(records: tf.data.Dataset) -> tf.data.Dataset:
        return records if keep is None else records.filter(keep)

    ordered = kept(ordered_records(patterns))
    sizes = [len(record) for record in ordered.take(_SAMPLE_RECORDS).as_numpy_iterator()]
    if not sizes:
        raise NoRecordsError(f"the files that match {', '.join(patterns)} hold no record")
    mean_bytes = sum(sizes) / len(sizes)
    buffer_records = max(1, int(shuffle_memory_megabytes * 1e6 / mean_bytes))
    # Counting reads everything once; it is only needed to find back to the middle of the stream.
    whole_epochs, rest = divmod(start, count_records(ordered)) if start else (0, 0)

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        # Of this function's graph only: beside a global seed, `shuffle` takes no seed that is a tensor.
        tf.compat.v1.set_random_seed(None)
        epoch_seed = seed + number * 1_000_003
        in_new_order = tf.data.Dataset.from_tensor_slices(files).shuffle(len(files), seed=epoch_seed)
        return kept(_read(in_new_order)).shuffle(buffer_records, seed=epoch_seed + 1)

    return tf.data.Dataset.counter(tf.constant(whole_epochs, tf.int64)).flat_map(epoch).skip(rest)


def count_records(records: tf.data.Dataset) -> int:
    """Number of elements, found by reading them all."""
    return int(records.reduce(tf.constant(0, tf.int64), lambda count, _: count + 1))
