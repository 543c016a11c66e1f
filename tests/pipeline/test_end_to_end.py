"""The real graph on forty generated images: a first run, an unchanged one, and one on changed data."""

from __future__ import annotations

import collections
import dataclasses
import json
import pathlib
import re

import numpy as np
import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2

from components.evaluator.matches_file import MATCHES_FOLDER, read_matches
from components.trainer.input.record_stream import matching_files
from demo.scenes import main as draw_scenes
from pipeline.config import PipelineConfig, load_config
from pipeline.local_run import run_locally
from pipeline.past_runs.run_store import RunStore
from pipeline.past_runs.run_summary import summarize
from pipeline.prepared_records import prepare_records
from schema.device_model import DEVICE_FORMATS, DeviceCard
from schema.label_map import read_label_map

CONFIG = """
name: end-to-end
root: {root}
data:
  format: coco
  path: {data}
  split: {{source: given}}
validation: {{}}
model:
  image_size: [96, 96]
  pretrained: null
  options: {{alpha: 0.35, fpn_depth: 16, num_head_layers: 1, batch_norm_momentum: 0.9}}
train:
  steps: 4
  batch_size: 4
  evaluate_every: 4
eval:
  slices: [[time_of_day], [class]]
  gates: {{minimum: {{AP50: 0.0}}, max_drop: {{}}}}
push:
  formats: [saved_model, litert, litert_int8, onnx, openvino, openvino_int8]
  devices:
    calibration_images: 8
    # So little has been learnt that nearly nothing can be lost; of one format something is asked that these images,
    # which show no large object, cannot answer.
    by_format: {{litert_int8: {{max_drop: {{APl: {{absolute: 0.5}}}}}}}}
"""

RESOLVERS = {"PreviousStatistics", "BlessedBaseline"}
"""Resolvers look artifacts up; TFX runs them every time."""


def _states_of_newest_run(config: PipelineConfig) -> dict[str, str]:
    """Node -> state (COMPLETE, CACHED, FAILED) in the newest run in ML Metadata."""
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(config.metadata_path)
    store = metadata_store.MetadataStore(connection)
    newest = max(store.get_contexts_by_type("pipeline_run"), key=lambda context: context.id)
    states = {}
    for execution in store.get_executions_by_context(newest.id):
        (node,) = (context for context in store.get_contexts_by_execution(execution.id) if context.type == "node")
        state = metadata_store_pb2.Execution.State.Name(execution.last_known_state)
        states[node.name.removeprefix(f"{config.name}.")] = state
    return states


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> tuple[PipelineConfig, pathlib.Path]:
    folder = tmp_path_factory.mktemp("end_to_end")
    data = folder / "data"
    draw_scenes(["--output", str(data), "--images", "40", "--seed", "3"])
    file = folder / "pipeline.yaml"
    file.write_text(CONFIG.format(root=folder / "runs", data=data))
    return load_config(file), data


def _check_devices(config: PipelineConfig, version: str, summary: str) -> None:
    """One of five formats was refused by its own gate, the others were pushed and answer as the SavedModel does."""
    pushed = sorted(path.name for path in config.device_directory.iterdir())
    assert pushed == ["litert", "onnx", "openvino", "openvino_int8"]
    assert re.search(r"litert_int8: AP .*, refused: APl could not be computed", summary)
    (evaluated,) = (config.pipeline_root / "DeviceEvaluator" / "device_evaluation").iterdir()
    for name in pushed:
        folder = config.device_directory / name / version
        assert f"pushed to {folder}" in summary
        card = DeviceCard.of_json((folder / "card.json").read_text())
        assert (card.is_blessed, card.reasons, card.split) == (True, (), "eval")
        assert card.size_bytes == sum(one.stat().st_size for one in folder.iterdir() if one.name != "card.json")
        if not DEVICE_FORMATS[name].is_quantized:
            assert card.ap == pytest.approx(card.saved_model_ap, abs=1e-3)
            images = read_matches(str(evaluated / name / MATCHES_FOLDER))
            assert images.baseline is not None
            np.testing.assert_allclose(images.candidate.scores, images.baseline.scores, atol=1e-6)


@pytest.mark.end_to_end
@pytest.mark.timeout(1800)  # two trainings and ten conversions, perhaps beside other tests
def test_first_unchanged_and_changed_run(workspace, capsys):
    config, data = workspace

    run_locally(config)
    first = _states_of_newest_run(config)
    assert set(first.values()) == {"COMPLETE"}, first
    assert {"ObjectDetectionExampleGen", "AnnotationValidator", "Transform", "Trainer", "Evaluator"} <= set(first)
    assert {"ServingContract", "Pusher"} <= set(first)
    (version,) = config.push_directory.iterdir()
    assert (version / "saved_model.pb").exists()
    assert len(read_label_map(version / "assets" / "labels.txt")) >= 6
    assert (version / "assets.extra" / "tf_serving_warmup_requests").stat().st_size > 0
    summary = capsys.readouterr().out
    for expected in ("AP50", "time_of_day", "blessed", "Contract    kept: 12 checks", str(version), "serving.server"):
        assert expected in summary
    _check_devices(config, version.name, summary)

    run_locally(config)
    unchanged = _states_of_newest_run(config)
    assert unchanged.keys() == first.keys()
    assert {node for node, state in unchanged.items() if state != "CACHED"} == RESOLVERS
    assert list(config.push_directory.iterdir()) == [version], "an unchanged run pushed again"

    assert [one.name for one in (config.device_directory / "onnx").iterdir()] == [version.name]

    prepared = prepare_records(config)
    assert [prepared.examples] == list((config.pipeline_root / "ObjectDetectionExampleGen" / "examples").iterdir())
    assert prepared.judged_split == "eval"
    assert sum(prepared.images.values()) == 40
    assert matching_files(prepared.training(config).train_files)

    annotations = data / "train" / "_annotations.coco.json"
    content = json.loads(annotations.read_text())
    removed = content["annotations"].pop()
    annotations.write_text(json.dumps(content))
    run_locally(config)
    changed = _states_of_newest_run(config)
    assert collections.Counter(changed.values())["CACHED"] == 1, changed  # the schema: it is not made from the data
    versions = sorted(one.name for one in config.push_directory.iterdir())
    assert len(versions) == 2, f"no new version after box {removed} was removed"
    assert sorted(one.name for one in (config.device_directory / "onnx").iterdir()) == versions

    newest, only_prepared, cached, oldest = summarize(RunStore.of_config(config).read())
    assert [one.described_state for one in (newest, only_prepared, cached, oldest)] == [
        "finished",
        "finished at Transform",
        "finished",
        "finished",
    ]
    assert (oldest.split, oldest.verdict, oldest.version) == ("eval", "blessed", version.name)
    assert oldest.average_precision is not None
    assert cached == dataclasses.replace(oldest, run_id=cached.run_id, started_seconds=cached.started_seconds)
    assert newest.version != oldest.version
