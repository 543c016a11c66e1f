"""What is deleted and what is kept."""

from __future__ import annotations

import os
import pathlib
import time

import ml_metadata
import pytest
from ml_metadata.proto import metadata_store_pb2

from components.trainer.input.feature_folders import Held
from kubeflow.metadata_store import UnreachableError
from kubeflow.retention import apply, make_plan
from kubeflow.step_config import cluster_config
from pipeline.config import PipelineConfig

Execution, Artifact = metadata_store_pb2.Execution, metadata_store_pb2.Artifact


class History:
    """Runs of a pipeline, made by hand."""

    def __init__(self, root: pathlib.Path) -> None:
        connection = metadata_store_pb2.ConnectionConfig()
        connection.sqlite.filename_uri = str(root.parent / "mlmd.sqlite")
        connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self.store = ml_metadata.MetadataStore(connection)
        self.root = root
        self.pipeline = self._context("pipeline", "signs")

    def _context(self, kind: str, name: str) -> int:
        type_id = self.store.put_context_type(metadata_store_pb2.ContextType(name=kind))
        [identity] = self.store.put_contexts([metadata_store_pb2.Context(type_id=type_id, name=name)])
        return int(identity)

    def _artifact(self, kind: str, folder: pathlib.Path) -> Artifact:
        type_id = self.store.put_artifact_type(metadata_store_pb2.ArtifactType(name=kind))
        folder.mkdir(parents=True)
        (folder / "data").write_text("x")
        return Artifact(type_id=type_id, uri=str(folder), state=Artifact.LIVE)

    def run(
        self, number: int, *, blessed: bool = True, contract: bool | None = None, state: int = Execution.COMPLETE
    ) -> int:
        """One run; returns the execution's id.

        Args:
          number: of the run, and of the version that it pushes.
          blessed: whether the gate blesses its model.
          contract: whether the contract check lets it pass; None: nothing is said.
          state: of the execution.
        """
        context = self._context("pipeline_run", f"run-{number}")
        type_id = self.store.put_execution_type(metadata_store_pb2.ExecutionType(name="Node"))
        execution = Execution(type_id=type_id, last_known_state=state)
        model = self._artifact("Model", self.root / "Trainer" / "model" / str(number))
        blessing = self._artifact("ModelBlessing", self.root / "Evaluator" / "blessing" / str(number))
        blessing.custom_properties["blessed"].int_value = int(blessed)
        [model.id] = self.store.put_artifacts([model])
        artifacts = [model, blessing]
        if contract is not None:
            artifacts.append(self._artifact("InfraBlessing", self.root / "ServingContract" / str(number)))
            artifacts[-1].custom_properties["blessed"].int_value = int(contract)
        for judgement in artifacts[1:]:
            judgement.custom_properties["current_model_id"].int_value = model.id
        if blessed and contract is not False:
            version = self.root / "served" / "detector" / str(number)
            version.mkdir(parents=True)
            pushed = self._artifact("PushedModel", self.root / "Pusher" / "pushed_model" / str(number))
            pushed.custom_properties["pushed"].int_value = 1
            pushed.custom_properties["pushed_destination"].string_value = str(version)
            artifacts.append(pushed)
        output = metadata_store_pb2.Event(type=metadata_store_pb2.Event.OUTPUT)
        contexts = self.store.get_contexts_by_id([self.pipeline, context])
        execution_id, _, _ = self.store.put_execution(execution, [(a, output) for a in artifacts], contexts)
        (self.root / "Trainer" / ".system" / "executor_execution" / str(execution_id)).mkdir(parents=True)
        return int(execution_id)

    def models(self) -> list[str]:
        return sorted(path.name for path in (self.root / "Trainer" / "model").iterdir())


@pytest.fixture
def config(tmp_path: pathlib.Path) -> PipelineConfig:
    file = tmp_path / "config.yaml"
    file.write_text(
        "name: signs\ndata: {format: coco, path: data}\nmodel: {detector: ssd_mobilenet_v2_fpnlite}\n"
        f"cluster: {{root: {tmp_path}, volumes: [], retention: {{runs: 2, versions: 2, stale_hours: 1}}}}\n"
    )
    return cluster_config(file)


@pytest.fixture
def history(config: PipelineConfig) -> History:
    config.pipeline_root.mkdir()
    return History(config.pipeline_root)


def _clean(history: History, config: PipelineConfig, hours_later: float = 0.0) -> list[str]:
    return apply(history.store, make_plan(history.store, config, time.time() + hours_later * 3600))


def test_newest_runs_and_versions_stay(history: History, config: PipelineConfig) -> None:
    for number in range(1, 6):
        history.run(number)
    assert _clean(history, config) == []
    assert history.models() == ["4", "5"]
    assert sorted(path.name for path in config.push_directory.iterdir()) == ["4", "5"]
    states = {a.uri.rpartition("/")[2]: a.state for a in history.store.get_artifacts_by_type("Model")}
    assert states["1"] == Artifact.DELETED
    assert states["5"] == Artifact.LIVE
    bookkeeping = config.pipeline_root / "Trainer" / ".system" / "executor_execution"
    assert len(list(bookkeeping.iterdir())) == 2


def test_device_models_go_with_the_version_that_they_were_made_of(history: History, config: PipelineConfig) -> None:
    for number in range(1, 5):
        history.run(number)
        for name in ("litert", "onnx"):
            # Version 3 was refused as ONNX, and one of a run under way is newer than all that is served.
            if (name, number) != ("onnx", 3):
                (config.device_directory / name / str(number)).mkdir(parents=True)
    (config.device_directory / "litert" / "5").mkdir()
    (config.device_directory / "litert" / "1.partial").mkdir()
    plan = make_plan(history.store, config, time.time())
    assert "pushed versions to delete: 2, 1, litert/2, litert/1, onnx/2, onnx/1" in plan.lines()
    assert apply(history.store, plan) == []
    left = {name: sorted(one.name for one in (config.device_directory / name).iterdir()) for name in ("litert", "onnx")}
    assert left == {"litert": ["1.partial", "3", "4", "5"], "onnx": ["4"]}


def test_device_models_stay_where_no_version_is_known(history: History, config: PipelineConfig) -> None:
    history.run(1, blessed=False)
    (config.device_directory / "litert" / "1").mkdir(parents=True)
    assert make_plan(history.store, config, time.time()).versions == []


def test_the_run_of_a_served_version_and_of_the_last_blessed_model_stay(
    history: History, config: PipelineConfig
) -> None:
    history.run(1)
    history.run(2)
    for number in range(3, 7):
        history.run(number, blessed=False)
    _clean(history, config)
    assert history.models() == ["1", "2", "5", "6"]


def test_the_last_blessed_model_stays_even_when_its_version_is_gone(history: History, config: PipelineConfig) -> None:
    history.run(1)
    (config.push_directory / "1").rmdir()
    for number in range(2, 5):
        history.run(number, blessed=False)
    _clean(history, config)
    assert history.models() == ["1", "3", "4"]


def test_the_last_model_that_the_contract_check_did_not_refuse_stays(history: History, config: PipelineConfig) -> None:
    history.run(1, contract=True)
    (config.push_directory / "1").rmdir()
    history.run(2, contract=False)
    for number in range(3, 5):
        history.run(number, blessed=False)
    _clean(history, config)
    # The next run is compared with 1, and 2 was never pushed.
    assert history.models() == ["1", "3", "4"]


def test_who_leaves_the_contract_check_out_does_not_ask_it(history: History, config: PipelineConfig) -> None:
    history.run(1)
    (config.push_directory / "1").rmdir()
    history.run(2, contract=False)
    for number in range(3, 5):
        history.run(number, blessed=False)
    without = {
        "push": config.push.model_copy(update={"contract": config.push.contract.model_copy(update={"enabled": False})})
    }
    _clean(history, config.model_copy(update=without))
    assert history.models() == ["2", "3", "4"]


def test_repeating_it_changes_nothing(history: History, config: PipelineConfig) -> None:
    for number in range(1, 5):
        history.run(number)
    _clean(history, config)
    plan = make_plan(history.store, config, time.time())
    assert (plan.artifacts, plan.versions, plan.folders) == ([], [], [])


def test_ghosts_are_marked_and_running_executions_are_not(history: History, config: PipelineConfig) -> None:
    ghost = history.run(1, state=Execution.RUNNING)
    _clean(history, config)
    [execution] = history.store.get_executions_by_id([ghost])
    assert execution.last_known_state == Execution.RUNNING
    _clean(history, config, hours_later=2)
    [execution] = history.store.get_executions_by_id([ghost])
    assert execution.last_known_state == Execution.FAILED


def test_checkpoints_of_abandoned_trainings_go(history: History, config: PipelineConfig) -> None:
    for name, age_seconds in (("old", 7200), ("new", 0)):
        folder = config.pipeline_root / "checkpoints" / name
        folder.mkdir(parents=True)
        os.utime(folder, (time.time() - age_seconds,) * 2)
    _clean(history, config)
    assert [path.name for path in (config.pipeline_root / "checkpoints").iterdir()] == ["new"]


def test_kept_features_go_when_no_training_has_used_them_for_long(history: History, config: PipelineConfig) -> None:
    for name, age_seconds in (("old", 7200), ("held", 7200), ("new", 0)):
        folder = config.pipeline_root / "features" / name
        folder.mkdir(parents=True)
        os.utime(folder, (time.time() - age_seconds,) * 2)
    held = Held(config.pipeline_root / "features" / "held")
    _clean(history, config)
    held.release()
    left = [path.name for path in (config.pipeline_root / "features").iterdir() if path.is_dir()]
    assert sorted(left) == ["held", "new"]


@pytest.mark.parametrize("folder", ["", "served/detector"])
def test_a_volume_that_is_not_mounted_is_not_an_empty_one(
    history: History, config: PipelineConfig, folder: str
) -> None:
    for number in range(1, 5):
        history.run(number)
    (config.pipeline_root / folder).rename(config.pipeline_root.parent / "elsewhere")
    with pytest.raises(UnreachableError, match="nothing was deleted"):
        _clean(history, config)
    assert {a.state for a in history.store.get_artifacts()} == {Artifact.LIVE}


def test_what_a_run_under_way_made_stays(history: History, config: PipelineConfig) -> None:
    history.run(1, blessed=False, state=Execution.RUNNING)
    for number in range(2, 6):
        history.run(number)
    _clean(history, config)
    assert history.models() == ["1", "4", "5"]


def test_nothing_outside_the_root_is_touched(
    history: History, config: PipelineConfig, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("elsewhere")
    history.run(1)
    [model] = history.store.get_artifacts_by_type("Model")
    model.uri = str(outside)
    history.store.put_artifacts([model])
    for number in range(2, 6):
        history.run(number)
    _clean(history, config)
    assert outside.is_dir()


def test_an_empty_store_is_no_problem(history: History, config: PipelineConfig) -> None:
    assert _clean(history, config) == []
