"""Training records of which a given share is of earlier spans, however many each span has.

A new span is often much smaller than all that came before it, or much larger: mixed as they come, one of them would
hardly be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import tensorflow as tf

from components.trainer.input.record_stream import ordered_records, shuffled_records
from schema import features

_SPAN: Final = features.meta_key(features.SPAN_COLUMN)
_NO_SPAN: Final = -1
_PARTS: Final = 1_000_000
"""Shares are counted in whole parts: the same number on any machine, and for any start."""


def replayed_records(
    patterns: Sequence[str], *, share: float, seed: int, shuffle_memory_megabytes: int, start: int = 0
) -> tf.data.Dataset:
    """The records of a split over and over, scalar strings; evenly spread, ``share`` of them are of earlier spans.

    The newest span and all earlier ones are shuffled apart, each over its own records. Where all records are of one
    span there is nothing to replay, and these are ``shuffled_records``. Finding out reads everything once.

    Args:
      patterns: globs of gzipped TFRecord files.
      share: 0..1 of the records.
      seed: decides the order.
      shuffle_memory_megabytes: what the shuffle buffers may hold together.
      start: number of records to leave out at the beginning of the endless stream.

    Raises:
      NoRecordsError: no file matches, or they hold no record.
    """
    lowest, newest = _range_of_spans(ordered_records(patterns))
    if lowest == newest:
        return shuffled_records(patterns, seed=seed, shuffle_memory_megabytes=shuffle_memory_megabytes, start=start)
    parts = round(share * _PARTS)
    earlier_before = start * parts // _PARTS
    streams = [
        shuffled_records(
            patterns,
            seed=seed,
            shuffle_memory_megabytes=-(-shuffle_memory_megabytes // 2),
            start=before,
            keep=keep,
        )
        for before, keep in (
            (start - earlier_before, lambda record: span_of(record) == newest),
            (earlier_before, lambda record: span_of(record) < newest),
        )
    ]

    def is_earlier(number: tf.Tensor) -> tf.Tensor:
        return (number + 1) * parts // _PARTS - number * parts // _PARTS  # int64 [], 0 or 1

    choices = tf.data.Dataset.counter(tf.constant(start, tf.int64)).map(is_earlier)
    return tf.data.Dataset.choose_from_datasets(streams, choices, stop_on_empty_dataset=False)


def span_of(record: tf.Tensor) -> tf.Tensor:
    """int64 []: the span of a serialised record, scalar string; -1 where it tells none."""
    specification = {_SPAN: tf.io.FixedLenFeature([], tf.int64, _NO_SPAN)}
    return tf.io.parse_single_example(record, specification)[_SPAN]


def _range_of_spans(records: tf.data.Dataset) -> tuple[int, int]:
    """Lowest and highest span."""
    most = tf.int64.max

    def widened(known: tuple[tf.Tensor, tf.Tensor], span: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.minimum(known[0], span), tf.maximum(known[1], span)

    start = (tf.constant(most, tf.int64), tf.constant(_NO_SPAN, tf.int64))
    lowest, newest = records.map(span_of).reduce(start, widened)
    return min(int(lowest), int(newest)), int(newest)
