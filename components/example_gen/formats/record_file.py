"""TFRecord files and ``tf.train.Example`` without TensorFlow: the framing, the checksums and the message are small.

A record is its length (uint64, little endian), a masked CRC-32C of these eight bytes, the bytes, and a masked CRC-32C
of them (https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details); gzip goes over the file.
"""

from __future__ import annotations

import functools
import gzip
import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final

import google_crc32c

from components.example_gen import files

_GZIP_MAGIC: Final = b"\x1f\x8b"
_MASK_DELTA: Final = 0xA282EAD8


class DamagedFileError(ValueError):
    """A file that breaks off, or bytes that are not those that were written; what lies behind is lost."""


def read_records(path: str) -> Iterator[bytes]:
    """The records of a file, plain or gzip, from its start.

    Raises:
      DamagedFileError: a record is incomplete or has another checksum.
      OSError: the file cannot be opened.
    """
    with files.open_binary(path) as file:
        is_gzip = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        stream = gzip.GzipFile(fileobj=file) if is_gzip else file
        try:
            while start := stream.read(12):
                length = _checked(start, 8, "length")
                size = int(struct.unpack("<Q", length)[0])
                yield _checked(stream.read(size + 4), size, "content")
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DamagedFileError(str(error)) from error


def _checked(found: bytes, size: int, what: str) -> bytes:
    """The first ``size`` bytes, when as many are there and the four behind them are their checksum."""
    if len(found) < size + 4:
        raise DamagedFileError(f"{what} of a record: {len(found)} bytes, expected {size + 4}")
    content, checksum = found[:size], struct.unpack("<I", found[size:])[0]
    plain = google_crc32c.value(content)
    if ((plain >> 15 | plain << 17) + _MASK_DELTA) & 0xFFFFFFFF != checksum:
        raise DamagedFileError(f"{what} of a record: the checksum is another one")
    return content


@functools.cache
def example_message() -> Any:
    """The message class of TensorFlow's ``example.proto``: parses and writes the same bytes as ``tf.train.Example``."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="records", syntax="proto3")
    kinds = (("BytesList", field.TYPE_BYTES), ("FloatList", field.TYPE_FLOAT), ("Int64List", field.TYPE_INT64))
    feature = descriptor_pb2.DescriptorProto(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, ((name, of_type), key) in enumerate(
        zip(kinds, ("bytes_list", "float_list", "int64_list"), strict=True), start=1
    ):
        values = file.message_type.add(name=name)
        values.field.add(name="value", number=1, type=of_type, label=field.LABEL_REPEATED)
        feature.field.add(
            name=key,
            number=number,
            type=field.TYPE_MESSAGE,
            label=field.LABEL_OPTIONAL,
            type_name=f".records.{name}",
            oneof_index=0,
        )
    file.message_type.append(feature)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    for message, name, number, label, of_type in (
        (entry, "value", 2, field.LABEL_OPTIONAL, ".records.Feature"),
        (features, "feature", 1, field.LABEL_REPEATED, ".records.Features.FeatureEntry"),
        (file.message_type.add(name="Example"), "features", 1, field.LABEL_OPTIONAL, ".records.Features"),
    ):
        message.field.add(name=name, number=number, type=field.TYPE_MESSAGE, label=label, type_name=of_type)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("records.Example"))
