"""Repeat factors against the paper's formula, and the stream of repeated records."""

from __future__ import annotations

import collections
import math
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from components.trainer.input.record_stream import NoRecordsError
from components.trainer.input.repeat_factors import repeat_factors, repeated_records

IMAGES = st.lists(st.sets(st.sampled_from("abcde")), min_size=1, max_size=30)


@given(IMAGES, st.floats(0.001, 1.0))
def test_factors_are_the_papers(images: list[set[str]], threshold: float) -> None:
    expected = []
    for image in images:
        of_classes = [1.0]
        for name in image:
            frequency = sum(name in other for other in images) / len(images)
            of_classes.append(max(1.0, math.sqrt(threshold / frequency)))
        expected.append(max(of_classes))
    np.testing.assert_allclose(repeat_factors([*images], threshold), expected, rtol=1e-6)


@pytest.fixture
def pattern(make_record: Callable[..., bytes], write_records: Callable[..., str]) -> str:
    """Nine images of red and one of green: with a threshold of 0.625 the latter comes 2.5 times an epoch."""
    records = [make_record(b"jpeg", f"{n}", [[0.1, 0.1, 0.5, 0.5]] * 2, [int(n == 6)] * 2) for n in range(10)]
    return write_records("train", records, 3)


def stream(pattern: str, seed: int = 0, start: int = 0) -> tf.data.Dataset:
    return repeated_records([pattern], threshold=0.625, seed=seed, shuffle_memory_megabytes=1, start=start)


def test_rare_images_come_more_often(pattern: str) -> None:
    # 12 epochs of 11.5 records on average.
    counts = collections.Counter(stream(pattern).take(12 * 11).as_numpy_iterator())
    assert len(counts) == 10
    rare, *common = sorted(counts.values(), reverse=True)
    assert 22 <= rare <= 38
    assert max(common) - min(common) <= 1


def test_a_stream_goes_on_where_it_was(pattern: str) -> None:
    whole = list(stream(pattern).take(80).as_numpy_iterator())
    for start in (0, 1, 11, 12, 13, 40, 69):
        assert list(stream(pattern, start=start).take(10).as_numpy_iterator()) == whole[start : start + 10]
    assert list(stream(pattern, seed=1).take(80).as_numpy_iterator()) != whole


def test_no_record_is_an_error(write_records: Callable[..., str]) -> None:
    with pytest.raises(NoRecordsError, match="hold no record"):
        stream(write_records("train", []))
