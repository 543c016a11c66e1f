"""Records are read by whoever has time, not by the one worker that a pattern falls to."""

from __future__ import annotations

import pathlib

import apache_beam as beam
import pytest
import tensorflow as tf
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.testing.util import assert_that, equal_to

from components.record_reading import ReadRecords, record_files


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    for shard in range(3):
        options = tf.io.TFRecordOptions(compression_type="GZIP")
        with tf.io.TFRecordWriter(str(tmp_path / f"data-{shard}.gz"), options) as writer:
            for record in range(shard + 1):
                writer.write(f"{shard}/{record}".encode())
    return tmp_path


def _is_regrouped_before_it_is_read(components: beam_runner_api_pb2.Components, label: str) -> bool:
    """Whether a step of the name takes what a ``Reshuffle`` gives: what is fused with the names ends there."""
    reader = next(step for step in components.transforms.values() if step.unique_name.endswith(label))
    taken = set(reader.inputs.values())
    urn = common_urns.composites.RESHUFFLE.urn
    return any(step.spec.urn == urn and taken & set(step.outputs.values()) for step in components.transforms.values())


def test_all_records_of_all_files(folder: pathlib.Path) -> None:
    with beam.Pipeline() as pipeline:
        records = pipeline | ReadRecords(record_files(str(folder)))
        assert_that(records, equal_to([b"0/0", b"1/0", b"1/1", b"2/0", b"2/1", b"2/2"]))


def test_a_split_without_files_has_no_records(tmp_path: pathlib.Path) -> None:
    assert record_files(str(tmp_path / "Split-unlabelled")) == []
    with beam.Pipeline() as pipeline:
        assert_that(pipeline | ReadRecords([]), equal_to([]))


def test_files_are_dealt_out_before_they_are_opened(folder: pathlib.Path) -> None:
    pipeline = beam.Pipeline()
    _ = pipeline | "Read" >> ReadRecords(record_files(str(folder)))
    assert _is_regrouped_before_it_is_read(pipeline.to_runner_api().components, "/ReadRange")


def test_the_annotation_validator_reads_so() -> None:
    from components.validation import executor
    from components.validation.settings import ValidationSettings

    pipeline = beam.Pipeline()
    executor._write_report(pipeline, {"train": ["a.gz", "b.gz"]}, {}, [], ValidationSettings(), "report.json")
    assert _is_regrouped_before_it_is_read(pipeline.to_runner_api().components, "/ReadRange")
