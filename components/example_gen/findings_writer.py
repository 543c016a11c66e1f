"""Findings on disk: sorted and written in parts by all workers, merged line by line by one.

Of millions of images, findings may be millions, too; one worker that held and sorted them all would be the limit of the
whole node. The file is in the order of ``components.findings.order_of``, so that equal input gives equal files.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import posixpath
import uuid
from collections.abc import Iterable, Iterator
from typing import Final

import apache_beam as beam
import tensorflow as tf

from components.atomic_files import write_atomically
from components.findings import Finding, order_of, to_json_lines

PARTS_FOLDER: Final = ".parts"
_PARTS: Final = 64


class WriteFindingParts(beam.PTransform):
    """``Finding`` -> paths of files below ``<folder>/.parts``, each sorted."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = posixpath.join(folder, PARTS_FOLDER)

    def expand(self, findings: beam.PCollection) -> beam.PCollection:
        return (
            findings
            | "KeyByPart" >> beam.Map(lambda finding: (_part_of(finding), finding))
            | "GroupByPart" >> beam.GroupByKey()
            | "WritePart" >> beam.Map(_write_part, folder=self._folder)
        )


def merge_parts(paths: Iterable[str], further: Iterable[Finding], output: str) -> None:
    """Writes what parts and ``further`` hold into one file, in order, and removes the parts.

    Args:
      paths: of ``WriteFindingParts``; memory holds a line of each.
      further: findings that are in none of them.
      output: the file.
    """
    partial = f"{output}.{uuid.uuid4().hex}.partial"
    with contextlib.ExitStack() as stack:
        streams: list[Iterable[Finding]] = [
            _findings_of(stack.enter_context(tf.io.gfile.GFile(path, "rb"))) for path in sorted(paths)
        ]
        with tf.io.gfile.GFile(partial, "wb") as file:
            file.write(b"")  # the file is made by the first write, even where there is nothing to say
            for finding in heapq.merge(*streams, sorted(further, key=order_of), key=order_of):
                file.write(_encoded(f"{finding.to_json()}\n"))
    tf.io.gfile.rename(partial, output, overwrite=True)


def remove_parts(folder: str) -> None:
    """Removes the parts once the whole is written."""
    parts = posixpath.join(folder, PARTS_FOLDER)
    if tf.io.gfile.exists(parts):
        tf.io.gfile.rmtree(parts)


def _part_of(finding: Finding) -> int:
    name = finding.file.encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(name, digest_size=2).digest(), "big") % _PARTS


def _write_part(keyed: tuple[int, Iterable[Finding]], folder: str) -> str:
    part, findings = keyed
    path = posixpath.join(folder, f"{part:05d}.jsonl")
    tf.io.gfile.makedirs(folder)
    write_atomically(path, _encoded(to_json_lines(findings)))
    return path


def _encoded(text: str) -> bytes:
    # Names that are not UTF-8 on disk must not lose the report; JSON reads the escapes back.
    return text.encode("utf-8", "backslashreplace")


def _findings_of(lines: Iterable[bytes]) -> Iterator[Finding]:
    for line in lines:
        yield Finding.from_json(line.decode("utf-8"))
