"""What travels in a flatbuffer of LiteRT beside the network."""

from __future__ import annotations

import io
import posixpath
import zipfile
from typing import Final

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from schema.device_model import METADATA_KEY, DeviceMetadata
from schema.exported_model import LABELS_FILE

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The first date of a ZIP file: the same model gives the same bytes."""


def with_metadata(content: bytes, metadata: DeviceMetadata) -> bytes:
    """A flatbuffer with the metadata's text in a buffer, and a line for each class in an associated file.

    The file is ``labels.txt`` in a ZIP archive at the end, which is where LiteRT keeps associated files, so that
    ``unzip -p detector.tflite labels.txt`` shows it.

    Args:
      content: the flatbuffer.
      metadata: to go along.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    buffer = schema.BufferT()
    buffer.data = list(metadata.to_json().encode())
    entry = schema.MetadataT()
    entry.name, entry.buffer = METADATA_KEY, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or ()), entry]
    file = io.BytesIO(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
    # Offsets in the archive count from the beginning of the file, as they do in LiteRT's own.
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        labels = "".join(f"{name}\n" for name in metadata.class_names)
        archive.writestr(zipfile.ZipInfo(posixpath.basename(LABELS_FILE), _EPOCH), labels)
    return file.getvalue()
