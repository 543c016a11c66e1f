"""Reading ahead, and which files are records with GZIP."""

from __future__ import annotations

import pathlib

import pytest
import tensorflow as tf

from serving.bulk_inference import inputs


def test_no_more_is_read_than_allowed() -> None:
    read: list[int] = []

    def values() -> object:
        for number in range(20):
            read.append(number)
            yield number

    taken = inputs._map_ahead(str, values(), ahead=3)  # type: ignore[arg-type]
    assert next(taken) == "0"
    assert len(read) == 4
    assert list(taken) == [str(number) for number in range(1, 20)]


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_compression_is_told_by_the_content(tmp_path: pathlib.Path, compression: str) -> None:
    path = str(tmp_path / "a")
    # The length of the first record is 0x00088b1f: stored in little endian it begins as a GZIP file does.
    records = [bytes(0x00088B1F), b"b"]
    with tf.io.TFRecordWriter(path, compression) as writer:
        for record in records:
            writer.write(record)
    assert (tmp_path / "a").read_bytes()[:2] == b"\x1f\x8b"
    assert inputs._compression(path) == compression
    assert list(inputs._records(path)) == records


def test_a_file_that_is_gone(tmp_path: pathlib.Path) -> None:
    [error] = inputs._records(str(tmp_path / "gone"))
    assert isinstance(error, tf.errors.NotFoundError)
