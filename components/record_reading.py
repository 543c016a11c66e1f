"""Reading records in Beam so that all workers read: every file is an element of its own, dealt out anew."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

import apache_beam as beam
import tensorflow as tf


def record_files(folder: str) -> list[str]:
    """The files of a split's folder, in order."""
    return sorted(tf.io.gfile.glob(posixpath.join(folder, "*")))


class ReadRecords(beam.PTransform):
    """Serialised records of TFRecord files.

    ``beam.io.ReadFromTFRecord`` of a pattern is one source, which a portable runner gives to one worker with everything
    that is fused behind it. Files that are elements are regrouped before they are opened
    (``ReadAllFromTFRecord`` does that), so that a worker reads its share of them; one file is read by one worker.
    """

    def __init__(self, files: Sequence[str]) -> None:
        """Args: the files, compressed or not as their names say."""
        super().__init__()
        self._files = list(files)

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        return pipeline | "Files" >> beam.Create(self._files) | "Records" >> beam.io.ReadAllFromTFRecord()
