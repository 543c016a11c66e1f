"""Executor of the AnnotationValidator: one Beam pipeline over the records, then the verdicts."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx import types
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.data_profile import DataProfile, SplitProfile
from components.failed_outputs import keep
from components.record_reading import ReadRecords, record_files
from components.user_error import UserError
from components.validation.box_checks import SplitTally, TallySplitFn, box_checks, class_checks
from components.validation.copy_checks import copy_checks
from components.validation.distribution_checks import distances, distribution_checks
from components.validation.duplicates import CopyTally, TallyCopies
from components.validation.image_facts import image_facts
from components.validation.keys import BASELINE_STATISTICS, EXAMPLES, REPORT, SCHEMA, SETTINGS, STATISTICS
from components.validation.learnable_checks import learnable_checks
from components.validation.report_file import REPORT_FILE, AnnotationReport, Distance
from components.validation.settings import ValidationSettings


class AnnotationCheckError(UserError):
    """A check of level ``fail`` objects; the message says what was found, where, and which limit it passes."""


class Executor(base_beam_executor.BaseBeamExecutor):
    """Writes ``annotation_report.json`` and stops the run when a check of level ``fail`` objects."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See ``AnnotationValidatorSpec`` for the inputs.

        Raises:
          AnnotationCheckError: a check of level ``fail`` objects.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        settings = ValidationSettings.model_validate_json(exec_properties[SETTINGS])
        examples = artifact_utils.get_single_instance(input_dict[EXAMPLES])
        schema = io_utils.SchemaReader().read(
            io_utils.get_only_uri_in_dir(artifact_utils.get_single_uri(input_dict[SCHEMA]))
        )
        measured = distances(
            _statistics(input_dict[STATISTICS]), _statistics(input_dict.get(BASELINE_STATISTICS, [])), schema, settings
        )
        profiles = DataProfile.read(examples.uri).splits
        report_uri = artifact_utils.get_single_uri(output_dict[REPORT])
        report_path = posixpath.join(report_uri, REPORT_FILE)
        files = {
            split: record_files(artifact_utils.get_split_uri([examples], split))
            for split in artifact_utils.decode_split_names(examples.split_names)
        }
        with self._make_beam_pipeline() as pipeline:
            _write_report(pipeline, files, profiles, measured, settings, report_path)
        with tf.io.gfile.GFile(report_path) as file:
            _raise_failures(AnnotationReport.from_json(file.read()), report_uri)


def _statistics(artifacts: Sequence[types.Artifact]) -> dict[str, statistics_pb2.DatasetFeatureStatisticsList]:
    """Statistics by split; empty without an artifact."""
    if not artifacts:
        return {}
    artifact = artifact_utils.get_single_instance(list(artifacts))
    return {
        split: stats_artifact_utils.load_statistics(artifact, split).proto()
        for split in artifact_utils.decode_split_names(artifact.split_names)
    }


def _write_report(
    pipeline: beam.Pipeline,
    files: Mapping[str, Sequence[str]],
    profiles: Mapping[str, SplitProfile],
    measured: Sequence[Distance],
    settings: ValidationSettings,
    report_path: str,
) -> None:
    """Adds everything from the records to the written report to the pipeline."""
    images = [
        pipeline
        | f"Read[{split}]" >> ReadRecords(of_split)
        | f"Facts[{split}]" >> beam.Map(image_facts, split=split, with_pixels=settings.compares_pictures)
        for split, of_split in files.items()
    ] | beam.Flatten()
    tallies = (
        images
        | "KeyBySplit" >> beam.Map(lambda image: (image.split, image))
        | "TallySplits" >> beam.CombinePerKey(TallySplitFn(settings))
    )
    copies = images | "Copies" >> TallyCopies(
        near=settings.compares_pictures,
        max_distance_bits=settings.max_hash_distance,
        listed_files=settings.listed_files,
    )
    _ = (
        pipeline
        | "One" >> beam.Create([None])
        | "Report"
        >> beam.Map(
            lambda _, tallies, copies: _report(tallies, copies, profiles, measured, settings).to_json(),
            tallies=beam.pvalue.AsDict(tallies),
            copies=beam.pvalue.AsDict(copies),
        )
        | "Write" >> beam.Map(_write, path=report_path)
    )


def _report(
    tallies: Mapping[str, SplitTally],
    copies: Mapping[tuple[str, str], CopyTally],
    profiles: Mapping[str, SplitProfile],
    measured: Sequence[Distance],
    settings: ValidationSettings,
) -> AnnotationReport:
    return AnnotationReport(
        checks=(
            *learnable_checks(profiles, settings),
            *box_checks(tallies, profiles, settings),
            *class_checks(profiles, settings),
            *copy_checks(copies, profiles, settings),
            *distribution_checks(measured, settings),
        ),
        distances=tuple(measured),
    )


def _write(text: str, path: str) -> None:
    tf.io.gfile.makedirs(posixpath.dirname(path))
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def _raise_failures(report: AnnotationReport, report_uri: str) -> None:
    """Raises for checks that failed; the report is kept first (``components.failed_outputs``)."""
    failures = report.with_status("failed")
    if not failures:
        return
    copy = posixpath.join(keep(report_uri, (REPORT_FILE,)), REPORT_FILE)
    lines = "".join(f"\n  {failure.describe()}" for failure in failures)
    raise AnnotationCheckError(
        f"the annotation check stops the run:{lines}\nThe whole report is in {copy}. Correct the data, change the "
        "limit where one is named, or set the check's level to `warn` in the section `validation` of the config"
    )
