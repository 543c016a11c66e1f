"""The component under TFX's own runner: driver, cache, executor, ML Metadata."""

from __future__ import annotations

import pathlib

import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner

from components.example_gen.component import ObjectDetectionExampleGen
from components.example_gen.settings import DataSettings
from components.example_gen.verdict import BadInputError
from components.findings import read_findings, read_summary

EXECUTED = metadata_store_pb2.Execution.COMPLETE
CACHED = metadata_store_pb2.Execution.CACHED
FAILED = metadata_store_pb2.Execution.FAILED


class Project:
    """A data folder, a pipeline root and a metadata store."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.root = folder / "root"
        self.data = folder / "data"
        self._connection = metadata.sqlite_metadata_connection_config(str(folder / "metadata.sqlite"))

    def run(self, **settings) -> None:
        data = DataSettings(format="pascal_voc", path=str(self.data / "span-{SPAN}"), **settings)
        LocalDagRunner().run(
            tfx_pipeline.Pipeline(
                pipeline_name="example-gen-test",
                pipeline_root=str(self.root),
                components=[ObjectDetectionExampleGen(data)],
                metadata_connection_config=self._connection,
                enable_cache=True,
            )
        )

    def states(self) -> list[int]:
        with metadata.Metadata(self._connection) as handle:
            return [execution.last_known_state for execution in handle.store.get_executions()]

    def spans(self) -> list[int]:
        with metadata.Metadata(self._connection) as handle:
            artifacts = handle.store.get_artifacts_by_type("Examples")
            live = [a for a in artifacts if a.state == metadata_store_pb2.Artifact.LIVE]
            return [artifact.custom_properties["span"].int_value for artifact in live]


def test_unchanged_data_is_cached_and_changed_data_is_read_again(tmp_path, image_bytes, voc_xml) -> None:
    project = Project(tmp_path)
    span = project.data / "span-1"
    for split, count in (("train", 3), ("valid", 2)):
        (span / split).mkdir(parents=True)
        for i in range(count):
            (span / split / f"{i}.jpg").write_bytes(image_bytes(seed=i))
            (span / split / f"{i}.xml").write_text(voc_xml(f"{i}.jpg", [("a", 1, 1, 20, 15)]))

    project.run()
    project.run()
    assert project.states() == [EXECUTED, CACHED]

    (span / "train" / "0.jpg").write_bytes(image_bytes(seed=9))  # a changed image
    project.run()
    (span / "valid" / "1.xml").write_text(voc_xml("1.jpg", [("a", 2, 1, 20, 15)]))  # a changed annotation
    project.run()
    project.run()
    assert project.states() == [EXECUTED, CACHED, EXECUTED, EXECUTED, CACHED]

    (project.data / "span-02").mkdir()  # a newer span
    for path in list(span.rglob("*.*")):
        target = project.data / "span-02" / path.relative_to(span)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    project.run()
    assert project.states()[-1] == EXECUTED
    assert project.spans() == [1, 1, 1, 2]

    (project.data / "span-02" / "train" / "1.jpg").write_bytes(b"")
    with pytest.raises(
        BadInputError, match=r"1 of 5 images skipped \(20\.0%\).*max_skipped_images allows 1\.0%.*1 empty_image"
    ):
        project.run()
    assert project.states()[-1] == FAILED
    (failed,) = (project.root / "ObjectDetectionExampleGen" / "failed").iterdir()
    assert [finding.kind for finding in read_findings(failed)] == ["empty_image"]
    assert read_summary(failed).skipped_images == 1
