"""Batches with a share of earlier spans."""

from __future__ import annotations

import collections
from collections.abc import Callable

import pytest
import tensorflow as tf

from components.trainer.input.record_stream import shuffled_records
from components.trainer.input.replay import replayed_records, span_of
from schema import features


def record(name: str, span: int | None) -> bytes:
    example = tf.train.Example()
    feature = example.features.feature
    feature[features.IMAGE_SOURCE_ID].bytes_list.value.append(name.encode())
    if span is not None:
        feature[features.meta_key("span")].int64_list.value.append(span)
    return bytes(example.SerializeToString())


def taken(records: tf.data.Dataset, count: int) -> list[tuple[str, int]]:
    """Names and spans of the first records."""
    examples = (tf.train.Example.FromString(raw) for raw in records.take(count).as_numpy_iterator())
    return [
        (
            example.features.feature[features.IMAGE_SOURCE_ID].bytes_list.value[0].decode(),
            example.features.feature[features.meta_key("span")].int64_list.value[0],
        )
        for example in examples
    ]


@pytest.fixture
def pattern(write_records: Callable[..., str]) -> str:
    """40 images of spans 1 and 2, and six of span 3."""
    spans = [1] * 15 + [2] * 25 + [3] * 6
    return write_records("train", [record(f"{span}-{n}", span) for n, span in enumerate(spans)], shards=3)


def test_the_share_holds_in_every_batch_whatever_the_spans_hold(pattern: str) -> None:
    records = taken(replayed_records([pattern], share=0.25, seed=3, shuffle_memory_megabytes=1), 240)
    for batch in (records[start : start + 8] for start in range(0, 240, 8)):
        assert sum(span < 3 for _, span in batch) == 2
    newest = [name for name, span in records if span == 3]
    for epoch in (newest[:6], newest[6:12]):
        assert len(set(epoch)) == 6, "each once before any comes again"
    earlier = collections.Counter(name for name, span in records if span < 3)
    assert len(earlier) == 40
    assert set(earlier.values()) <= {1, 2}


@pytest.mark.parametrize("start", [1, 7, 50, 133])
def test_a_stream_goes_on_where_it_was(pattern: str, start: int) -> None:
    def stream(start: int) -> tf.data.Dataset:
        return replayed_records([pattern], share=0.3, seed=1, shuffle_memory_megabytes=1, start=start)

    assert taken(stream(start), 20) == taken(stream(0).skip(start), 20)


@pytest.mark.parametrize("span", [4, None])
def test_one_span_alone_is_the_stream_without_replay(write_records: Callable[..., str], span: int | None) -> None:
    pattern = write_records("train", [record(str(n), span) for n in range(9)])
    settings = {"seed": 1, "shuffle_memory_megabytes": 1, "start": 4}
    replayed, plain = replayed_records([pattern], share=0.5, **settings), shuffled_records([pattern], **settings)
    assert list(replayed.take(20).as_numpy_iterator()) == list(plain.take(20).as_numpy_iterator())


def test_a_record_without_a_span() -> None:
    assert [int(span_of(tf.constant(record("a", span)))) for span in (7, None)] == [7, -1]
