"""TensorFlow writes, the reader without it reads."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf

from components.example_gen.formats.record_file import DamagedFileError, example_message, read_records

RECORDS = [b"one", b"", b"three" * 1000]


def write(path: str, compression: str = "") -> None:
    with tf.io.TFRecordWriter(path, compression) as writer:
        for record in RECORDS:
            writer.write(record)


@pytest.mark.parametrize("compression", ["", "GZIP"])
@pytest.mark.parametrize("folder", ["", "ram://records"])
def test_what_tensorflow_wrote(folder: str, compression: str, tmp_path: pathlib.Path) -> None:
    path = f"{folder or tmp_path}/{compression or 'plain'}.tfrecord"
    write(path, compression)
    assert list(read_records(path)) == RECORDS


def test_an_empty_file_has_no_record(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    assert list(read_records(str(tmp_path / "a"))) == []


@pytest.mark.parametrize("compression", ["", "GZIP"])
@pytest.mark.parametrize("place", [3, 9, 25, 100])
def test_a_byte_that_was_changed(compression: str, place: int, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.tfrecord"
    write(str(path), compression)
    content = bytearray(path.read_bytes())
    content[place if place < len(content) else -1] ^= 0xFF
    path.write_bytes(content)
    # Some bytes of gzip's header say nothing about the content.
    with contextlib.suppress(DamagedFileError):
        assert list(read_records(str(path))) == RECORDS


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_a_file_that_breaks_off(compression: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.tfrecord"
    write(str(path), compression)
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(DamagedFileError):
        list(read_records(str(path)))


def test_the_message_is_tensorflows() -> None:
    example = tf.train.Example()
    example.features.feature["a"].bytes_list.value.extend([b"x", "ä".encode()])
    example.features.feature["b"].float_list.value.extend([0.5, float("inf")])
    example.features.feature["c"].int64_list.value.extend([-1, 2**40])
    example.features.feature["empty"].int64_list.SetInParent()
    read = example_message().FromString(example.SerializeToString(deterministic=True))
    assert read.SerializeToString(deterministic=True) == example.SerializeToString(deterministic=True)
    assert read.features.feature["b"].float_list.value[0] == 0.5
    assert read.features.feature["empty"].WhichOneof("kind") == "int64_list"


def test_no_tensorflow() -> None:
    code = "import sys, components.example_gen.formats.tfrecord; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
