"""What TFX's cache sees: the parameters of each node when code, schema or start weights change; and the resolvers."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from tfx.dsl.compiler.compiler import Compiler
from tfx.proto.orchestration import pipeline_pb2

from components import code_digest
from pipeline import graph
from pipeline.augmentation_sheet import EXAMPLE_GEN
from pipeline.config import PipelineConfig

REPOSITORY = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def copied_tree(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("copy")
    for package in ("components", "schema", "serving"):
        shutil.copytree(REPOSITORY / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest.fixture
def compiled(
    copied_tree: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], pipeline_pb2.Pipeline]:
    """Compiles the graph as it would be with the copy's code, from the weights in ``weights.h5``."""
    (tmp_path / "weights.h5").write_text("trained on Monday")
    config = PipelineConfig.model_validate(
        {
            "name": "signs",
            "root": str(tmp_path),
            "data": {"format": "coco", "path": str(tmp_path)},
            "model": {"pretrained": str(tmp_path / "weights.h5")},
            "transfer": {"warm_start_from_blessed": True},
        }
    )

    def compile_it() -> pipeline_pb2.Pipeline:
        with monkeypatch.context() as patched:
            patched.setattr(code_digest, "_ROOT", copied_tree)
            patched.setattr(graph, "SCHEMA_FILE", copied_tree / "schema" / "schema.pbtxt")
            return Compiler().compile(graph.create_pipeline(config))

    return compile_it


def _parameters(compiled: pipeline_pb2.Pipeline) -> dict[str, str]:
    nodes = [node.pipeline_node for node in compiled.nodes]
    return {node.node_info.id: str(node.parameters) for node in nodes}


def test_the_sheet_of_augmentations_looks_for_the_records_where_they_are(
    compiled: Callable[[], pipeline_pb2.Pipeline],
) -> None:
    assert EXAMPLE_GEN in _parameters(compiled())


@pytest.mark.parametrize(
    ("file", "nodes"),
    [
        ("components/detector/targets/losses.py", {"Trainer"}),
        ("components/detector/faster_rcnn.py", {"Trainer"}),
        ("components/trainer/input/augmentation/geometry.py", {"Trainer"}),
        ("components/export/saved_model.py", {"Trainer"}),
        ("components/evaluator/measuring.py", {"Evaluator"}),
        ("components/evaluator/analysis/operating_point.py", {"Trainer"}),
        # The Trainer chooses the best weights by the metric that the Evaluator judges by.
        ("components/evaluator/coco_accumulation.py", {"Trainer", "Evaluator"}),
        ("components/transform/box_cleaning.py", {"Transform"}),
        ("components/validation/duplicates.py", {"AnnotationValidator"}),
        ("components/example_gen/formats/yolo.py", {"ObjectDetectionExampleGen"}),
        ("serving/contract/answers.py", {"ServingContract"}),
        ("serving/models/cpp_session.py", {"ServingContract"}),
        ("serving/client.py", set()),
        ("components/report/run_report.py", set()),
        ("schema/schema.pbtxt", {"ImportSchemaGen"}),
    ],
)
def test_a_changed_file_runs_the_nodes_that_use_it(
    compiled: Callable[[], pipeline_pb2.Pipeline], copied_tree: pathlib.Path, file: str, nodes: set[str]
) -> None:
    before = _parameters(compiled())
    os.utime(copied_tree / file, (1, 1))
    assert _parameters(compiled()) == before
    with (copied_tree / file).open("a") as source:
        source.write("# Another line.\n")
    after = _parameters(compiled())
    assert {node for node, parameters in after.items() if parameters != before[node]} == nodes


def test_other_start_weights_under_the_same_path_train_again(
    compiled: Callable[[], pipeline_pb2.Pipeline], tmp_path: pathlib.Path
) -> None:
    before = _parameters(compiled())
    os.utime(tmp_path / "weights.h5", (1, 1))
    assert _parameters(compiled()) == before
    (tmp_path / "weights.h5").write_text("trained on Tuesday")
    after = _parameters(compiled())
    assert {node for node, parameters in after.items() if parameters != before[node]} == {"Trainer"}


def test_words_of_the_model_card_are_no_parameter_of_a_node(tmp_path: pathlib.Path) -> None:
    config: dict[str, Any] = {
        "name": "signs",
        "root": str(tmp_path),
        "data": {"format": "coco", "path": str(tmp_path)},
        "model": {"pretrained": None},
    }
    card = {"card": {"intended_use": "signs along German roads", "data_licence": "CC BY 4.0"}}
    plain, described = (
        _parameters(Compiler().compile(graph.create_pipeline(PipelineConfig.model_validate(values))))
        for values in (config, {**config, **card})
    )
    assert plain == described


def test_another_rule_for_thresholds_trains_again_and_searches_nothing_again(tmp_path: pathlib.Path) -> None:
    def config(operating_point: dict[str, Any]) -> PipelineConfig:
        return PipelineConfig.model_validate(
            {
                "name": "signs",
                "root": str(tmp_path),
                "data": {"format": "coco", "path": str(tmp_path)},
                "model": {"pretrained": None},
                "eval": {"operating_point": operating_point},
                "tuner": {"search": {"train.batch_size": {"min": 4, "max": 8}}},
            }
        )

    before, after = config({}), config({"rule": "recall", "value": 0.9})
    assert graph.trainer_config(before) != graph.trainer_config(after)
    assert before.tuner is not None
    assert graph.tuner_config(before, before.tuner) == graph.tuner_config(after, before.tuner)


def test_resolvers_look_at_the_trainers_models_and_the_gates_blessings_only(
    compiled: Callable[[], pipeline_pb2.Pipeline],
) -> None:
    nodes = {node.pipeline_node.node_info.id: node.pipeline_node for node in compiled().nodes}
    for resolver in ("WarmStartModel", "BlessedBaseline"):
        producers = {
            channel.artifact_query.type.name: query.name.field_value.string_value
            for spec in nodes[resolver].inputs.inputs.values()
            for channel in spec.channels
            for query in channel.context_queries
            if query.type.name == "node"
        }
        assert producers["Model"] == "signs.Trainer"
        assert producers["ModelBlessing"] == "signs.Evaluator"
        assert producers["InfraBlessing"] == "signs.ServingContract"
    # What is trained from the last blessed model comes after it, and not before.
    assert "WarmStartModel" in nodes["Trainer"].upstream_nodes
    assert "Trainer" not in nodes["WarmStartModel"].upstream_nodes


def test_the_tuner_stands_before_the_trainer_which_takes_its_best(tmp_path: pathlib.Path) -> None:
    config = PipelineConfig.model_validate(
        {
            "name": "signs",
            "root": str(tmp_path),
            "data": {"format": "coco", "path": str(tmp_path)},
            "model": {"pretrained": None},
            "tuner": {"search": {"train.batch_size": {"min": 4, "max": 8}}},
        }
    )
    compiled = Compiler().compile(graph.create_pipeline(config))
    nodes = {node.pipeline_node.node_info.id: node.pipeline_node for node in compiled.nodes}
    assert set(nodes["Tuner"].upstream_nodes) == {"ObjectDetectionExampleGen", "ImportSchemaGen", "Transform"}
    assert "Tuner" in nodes["Trainer"].upstream_nodes
    assert nodes["Trainer"].inputs.inputs["hyperparameters"].channels[0].output_key == "best_hyperparameters"
    without = Compiler().compile(graph.create_pipeline(config.model_copy(update={"tuner": None})))
    assert "Tuner" not in {node.pipeline_node.node_info.id for node in without.nodes}


def test_the_pusher_waits_for_the_contract_check_unless_it_is_switched_off(tmp_path: pathlib.Path) -> None:
    def nodes_of(push: dict[str, Any]) -> dict[str, pipeline_pb2.PipelineNode]:
        data = {"format": "coco", "path": str(tmp_path)}
        config = PipelineConfig.model_validate({"name": "signs", "root": str(tmp_path), "data": data, "push": push})
        compiled = Compiler().compile(graph.create_pipeline(config))
        return {node.pipeline_node.node_info.id: node.pipeline_node for node in compiled.nodes}

    nodes = nodes_of({})
    assert set(nodes["ServingContract"].upstream_nodes) == {"ObjectDetectionExampleGen", "Trainer", "Evaluator"}
    assert nodes["Pusher"].inputs.inputs["infra_blessing"].channels[0].producer_node_query.id == "ServingContract"
    assert "infra_blessing" in nodes["BlessedBaseline"].inputs.inputs
    # What a resolver finds is of earlier runs: it waits for nothing of this one but its reference.
    assert set(nodes["BlessedBaseline"].upstream_nodes) == {"Trainer"}
    without = nodes_of({"contract": {"enabled": False}})
    assert "ServingContract" not in without
    assert "infra_blessing" not in without["BlessedBaseline"].inputs.inputs
    assert "infra_blessing" not in without["Pusher"].inputs.inputs


def nodes_with_devices(root: pathlib.Path, **push: Any) -> dict[str, pipeline_pb2.PipelineNode]:
    """The nodes of a graph that makes device models."""
    config = PipelineConfig.model_validate(
        {
            "name": "signs",
            "root": str(root),
            "data": {"format": "coco", "path": str(root)},
            "model": {"pretrained": None},
            "push": {"formats": ["saved_model", "onnx", "litert"], **push},
        }
    )
    compiled = Compiler().compile(graph.create_pipeline(config))
    return {node.pipeline_node.node_info.id: node.pipeline_node for node in compiled.nodes}


DEVICE_NODES = {"Exporter", "DeviceEvaluator", "DevicePusher"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Of pipelines that make device models."""
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def device_nodes(root: pathlib.Path) -> dict[str, pipeline_pb2.PipelineNode]:
    """The nodes with every other key of ``push`` at its default."""
    return nodes_with_devices(root)


def test_device_models_are_made_after_the_push_and_only_where_they_are_asked_for(
    root: pathlib.Path, device_nodes: dict[str, pipeline_pb2.PipelineNode]
) -> None:
    nodes = device_nodes
    # Servers do not wait for a conversion.
    assert set(nodes["Exporter"].upstream_nodes) == {"ObjectDetectionExampleGen", "Trainer", "Evaluator", "Pusher"}
    assert set(nodes["DeviceEvaluator"].upstream_nodes) == {"ObjectDetectionExampleGen", "Evaluator", "Exporter"}
    assert set(nodes["DevicePusher"].upstream_nodes) == {"Exporter", "DeviceEvaluator", "Pusher"}
    told = nodes["Exporter"].parameters.parameters["formats"].field_value.string_value
    assert json.loads(told) == ["litert", "onnx"]
    directory = nodes["DevicePusher"].parameters.parameters["directory"].field_value.string_value
    assert directory == str(root / "signs" / "served" / "devices")
    assert not DEVICE_NODES & nodes_with_devices(root, formats=["saved_model"]).keys()


@pytest.mark.parametrize(
    ("devices", "nodes"),
    [
        ({"max_drop": {"AP": {"absolute": 0.5}}}, {"DeviceEvaluator"}),
        ({"seed": 3}, {"Exporter"}),
        ({"directory": "/mnt/devices"}, {"DevicePusher"}),
    ],
)
def test_a_changed_key_runs_the_node_that_it_is_for(
    root: pathlib.Path, device_nodes: dict[str, pipeline_pb2.PipelineNode], devices: dict[str, Any], nodes: set[str]
) -> None:
    after = nodes_with_devices(root, devices=devices)
    changed = {name for name, node in after.items() if str(node.parameters) != str(device_nodes[name].parameters)}
    assert changed == nodes


@pytest.mark.parametrize(
    ("sections", "splits"),
    [
        ({"transfer": {"strategy": "mean_teacher"}}, {"train", "target"}),
        ({"eval": {"split": "target_test"}}, {"train"}),
    ],
)
def test_the_trainer_is_told_of_a_target_that_it_uses_and_never_of_its_annotated_splits(
    tmp_path: pathlib.Path, sections: dict[str, Any], splits: set[str]
) -> None:
    data = {"format": "coco", "path": str(tmp_path), "target": {"path": str(tmp_path)}}
    config = PipelineConfig.model_validate({"name": "signs", "root": str(tmp_path), "data": data, **sections})
    compiled = Compiler().compile(graph.create_pipeline(config))
    nodes = {node.pipeline_node.node_info.id: node.pipeline_node for node in compiled.nodes}
    told = nodes["Trainer"].parameters.parameters
    arguments = [json.loads(told[name].field_value.string_value) for name in ("train_args", "eval_args")]
    assert set(arguments[0]["splits"]) == splits
    assert arguments[1]["splits"] == ["eval"]
