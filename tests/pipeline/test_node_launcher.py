"""Another way to compute is no other computation: Beam's options change no cache key, and reach the executor."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.orchestration import metadata
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.local import local_dag_runner
from tfx.orchestration.portable import launcher
from tfx.types import artifact_utils, component_spec, standard_artifacts

from pipeline.node_launcher import LocalRunner

Execution = metadata_store_pb2.Execution
HERE = ["--runner=DirectRunner", "--sdk_container_image=none"]
ELSEWHERE = ["--runner=FlinkRunner", "--sdk_container_image=none", "--parallelism=8"]


class NoteArguments(base_beam_executor.BaseBeamExecutor):
    """Writes down which arguments it was given for Beam."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        del input_dict
        if exec_properties["what"] == "nothing":
            raise ValueError("nothing to note")
        folder = pathlib.Path(artifact_utils.get_single_uri(output_dict["examples"]))
        (folder / "arguments").write_text("\n".join([str(exec_properties["what"]), *self._beam_pipeline_args]))


class NoteSpec(component_spec.ComponentSpec):
    PARAMETERS = {"what": component_spec.ExecutionParameter(type=str)}
    INPUTS: dict[str, component_spec.ChannelParameter] = {}
    OUTPUTS = {"examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}


class Note(base_beam_component.BaseBeamComponent):
    SPEC_CLASS = NoteSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(NoteArguments)

    def __init__(self, what: str) -> None:
        super().__init__(NoteSpec(what=what, examples=types.Channel(type=standard_artifacts.Examples)))


class Project:
    """A pipeline of one Beam node, and its store."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.root = folder / "root"
        self._connection = metadata.sqlite_metadata_connection_config(str(folder / "metadata.sqlite"))

    def run(self, what: str, beam_arguments: list[str]) -> None:
        LocalRunner().run(
            tfx_pipeline.Pipeline(
                pipeline_name="note",
                pipeline_root=str(self.root),
                components=[Note(what)],
                metadata_connection_config=self._connection,
                enable_cache=True,
                beam_pipeline_args=beam_arguments,
            )
        )

    def states(self) -> list[str]:
        with metadata.Metadata(self._connection) as handle:
            executions = sorted(handle.store.get_executions(), key=lambda execution: execution.id)
        return [Execution.State.Name(execution.last_known_state) for execution in executions]

    def notes(self) -> list[list[str]]:
        return [path.read_text().splitlines() for path in sorted(self.root.glob("Note/examples/*/arguments"))]


@pytest.fixture
def project(tmp_path: pathlib.Path) -> Project:
    return Project(tmp_path)


def test_another_runner_finds_everything_done(project: Project) -> None:
    project.run("one", HERE)
    project.run("one", ELSEWHERE)
    assert project.states() == ["COMPLETE", "CACHED"]


def test_what_is_computed_is_still_part_of_the_key_and_the_executor_gets_its_arguments(project: Project) -> None:
    project.run("one", HERE)
    project.run("two", ELSEWHERE)
    assert project.states() == ["COMPLETE", "COMPLETE"]
    first, second = project.notes()
    assert (first[0], second[0]) == ("one", "two")
    assert set(HERE) <= set(first)
    assert set(ELSEWHERE) <= set(second)


def test_tfxs_own_runner_is_left_as_it_was(project: Project) -> None:
    with pytest.raises(ValueError, match="nothing to note"):
        project.run("nothing", HERE)
    assert local_dag_runner.launcher is launcher
