"""A run as TFX leaves it: an ML Metadata store and artifact folders. Names try to be HTML."""

from __future__ import annotations

import dataclasses
import io
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import apache_beam as beam
import ml_metadata
import numpy as np
import tensorflow as tf
from apache_beam.testing import test_pipeline
from ml_metadata.proto import metadata_store_pb2 as proto
from PIL import Image
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.data_profile import DATA_PROFILE_FILE, DataProfile, SplitProfile
from components.evaluator.matched_images import MatchedImage, MatchedImages
from components.evaluator.matches_file import BASELINE, CANDIDATE, WriteMatches
from components.findings import Finding, FindingsSummary, to_json_lines
from components.validation.report_file import AnnotationReport, CheckResult, Distance
from schema import features

PIPELINE = "signs"
STOP = "<script>stop</script>"
"""The class in all images."""
State = proto.Execution.State


class FakeRun:
    """Writes runs of one pipeline into a store, the way TFX's launcher does."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.connection = proto.ConnectionConfig()
        self.connection.sqlite.filename_uri = str(root / "metadata.sqlite")
        self.connection.sqlite.connection_mode = proto.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self.store = ml_metadata.MetadataStore(self.connection)
        self._types = {
            name: self.store.put_context_type(proto.ContextType(name=name))
            for name in ("pipeline", "pipeline_run", "node")
        }
        self._execution_type = self.store.put_execution_type(proto.ExecutionType(name="Component"))
        self._artifact_type = self.store.put_artifact_type(proto.ArtifactType(name="Thing"))

    def node(
        self,
        run_id: str,
        node: str,
        state: int = State.COMPLETE,
        outputs: Mapping[str, pathlib.Path] | None = None,
        properties: Mapping[str, str | int] | None = None,
        pipeline: str = PIPELINE,
        error: str = "",
        told: Mapping[str, str] | None = None,
        again: Mapping[str, int] | None = None,
        found: Mapping[str, int] | None = None,
    ) -> int:
        """Adds a node's execution and gives its id.

        Args:
          run_id, node, state: of the execution.
          outputs: folders of new artifacts by key, which all have the ``properties``.
          properties: of the outputs.
          pipeline: the node's.
          error: why it failed.
          told: the execution's properties.
          again: ids of artifacts that a cached node hands out by key.
          found: ids of artifacts that a resolver found by key.
        """
        execution = proto.Execution(type_id=self._execution_type, last_known_state=state)
        for name, text in (told or {}).items():
            execution.custom_properties[name].string_value = text
        if error:
            execution.custom_properties["__execution_result__"].string_value = json.dumps({"resultMessage": error})
        pairs = []
        for key, folder in (outputs or {}).items():
            artifact = proto.Artifact(type_id=self._artifact_type, uri=str(folder))
            for name, value in (properties or {}).items():
                field = "int_value" if isinstance(value, int) else "string_value"
                setattr(artifact.custom_properties[name], field, value)
            event = proto.Event(type=proto.Event.OUTPUT)
            event.path.steps.add(key=key)
            pairs.append((artifact, event))
        for earlier, kind in ((again, proto.Event.OUTPUT), (found, proto.Event.INTERNAL_OUTPUT)):
            for key, artifact_id in (earlier or {}).items():
                [artifact] = self.store.get_artifacts_by_id([artifact_id])
                event = proto.Event(type=kind)
                event.path.steps.add(key=key)
                pairs.append((artifact, event))
        contexts = [
            proto.Context(type_id=self._types[kind], name=name)
            for kind, name in (("pipeline", pipeline), ("pipeline_run", run_id), ("node", f"{pipeline}.{node}"))
        ]
        execution_id, _, _ = self.store.put_execution(execution, pairs, contexts, reuse_context_if_already_exist=True)
        return int(execution_id)


def write_findings(folder: pathlib.Path) -> pathlib.Path:
    """A ``Findings`` artifact."""
    folder.mkdir(parents=True)
    findings = [Finding("box_outside", "a <1>.jpg", "object 2", "xmax 1.5", "clip")]
    summary = FindingsSummary(12, 0, 30, 0, {"train": 10, "eval": 2}, {"train": 25, "eval": 5}, {"box_outside": 1}, {})
    (folder / "findings.jsonl").write_text(to_json_lines(findings))
    (folder / "summary.json").write_text(summary.to_json())
    return folder


def write_annotation_report(folder: pathlib.Path) -> pathlib.Path:
    """An ``AnnotationReport`` artifact."""
    folder.mkdir(parents=True)
    report = AnnotationReport(
        checks=(
            CheckResult(
                "leakage", "eval", "warned", "1 of 2 images have a copy", "allows 0 %", ("b.jpg = train/c.jpg",)
            ),
            CheckResult("small_boxes", "train", "passed", "0 of 25 boxes", "allows 1 %"),
        ),
        distances=(Distance("image/object/class/text", "skew", "eval", "L_INFTY", 0.2, 0.15, 60),),
    )
    (folder / "annotation_report.json").write_text(report.to_json())
    return folder


def write_anomalies(folder: pathlib.Path) -> pathlib.Path:
    """An ``ExampleAnomalies`` artifact: a real anomaly, and a metadata column that the schema does not know."""
    anomalies = anomalies_pb2.Anomalies()
    anomalies.anomaly_info["image/format"].description = "Unexpected value: gif"
    anomalies.anomaly_info["image/format"].reason.add(type=anomalies_pb2.AnomalyInfo.ENUM_TYPE_UNEXPECTED_STRING_VALUES)
    anomalies.anomaly_info["image/meta/weather"].reason.add(type=anomalies_pb2.AnomalyInfo.SCHEMA_NEW_COLUMN)
    (folder / "Split-eval").mkdir(parents=True)
    (folder / "Split-eval" / "SchemaDiff.pb").write_bytes(anomalies.SerializeToString())
    return folder


def write_matches(folder: pathlib.Path, images: MatchedImages) -> pathlib.Path:
    """The matches of an evaluation, written by what writes them in a run."""
    models = {CANDIDATE: images.candidate} | ({BASELINE: images.baseline} if images.baseline else {})

    def of_image(table: Any, place: int) -> Any:
        chosen = table.images == place
        rows = {field.name: getattr(table, field.name)[chosen] for field in dataclasses.fields(table)}
        return dataclasses.replace(table, **{**rows, "images": np.zeros(chosen.sum(), np.int64)})

    matched = [
        MatchedImage(
            facts,
            images.class_names,
            of_image(images.truths, place),
            {name: of_image(detections, place) for name, detections in models.items()},
        )
        for place, facts in enumerate(images.images)
    ]
    with test_pipeline.TestPipeline() as pipeline:
        _ = pipeline | beam.Create(matched) | WriteMatches(str(folder), tuple(models), images.known_before)
    return folder


def write_examples(folder: pathlib.Path, split: str = "eval", count: int = 3) -> pathlib.Path:
    """An ``Examples`` artifact with one split."""
    (folder / f"Split-{split}").mkdir(parents=True)
    picture = io.BytesIO()
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(picture, "JPEG")
    with tf.io.TFRecordWriter(str(folder / f"Split-{split}" / "data.gz"), "GZIP") as writer:
        for number in range(count):
            feature = {
                features.IMAGE_ENCODED: _strings(picture.getvalue()),
                features.IMAGE_SOURCE_ID: _strings(f"{split} {number}".encode()),
                features.IMAGE_FILENAME: _strings(f"{split} {number} <&>.jpg".encode()),
                features.OBJECT_CLASS_TEXT: _strings(STOP.encode()),
            }
            for key, value in zip(features.BOX_KEYS_YXYX, (0.1, 0.2, 0.6, 0.7), strict=True):
                feature[key] = tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())
    profile = SplitProfile(images_without_objects=1)
    for _ in range(count):
        profile.add([STOP], [(0.2, 0.1, 0.7, 0.6)], height_pixels=40, width_pixels=60)
    (folder / DATA_PROFILE_FILE).write_text(DataProfile({split: profile}).to_json())
    return folder


def _strings(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
