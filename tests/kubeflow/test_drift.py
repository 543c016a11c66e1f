"""Whether new data is different enough to train again."""

from __future__ import annotations

import json
import pathlib
import time
from typing import Any

import ml_metadata
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ml_metadata.proto import metadata_store_pb2
from PIL import Image

from components.data_profile import DATA_PROFILE_FILE, DataProfile, SplitProfile
from components.example_gen.annotations import DataError
from components.example_gen.settings import DataSettings
from kubeflow import drift
from kubeflow.drift import compare, judge, profile, taken_already
from pipeline.cluster_settings import DriftSettings

LIMITS = DriftSettings(min_objects=10)


def _span(folder: pathlib.Path, number: int, names: list[str], size: int = 16) -> None:
    """A COCO folder with one object an image."""
    place = folder / f"span-{number}"
    place.mkdir(parents=True)
    categories = {name: index for index, name in enumerate(sorted({*names, "stop", "yield"}), 1)}
    content: dict[str, list[dict[str, object]]] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": index, "name": name} for name, index in categories.items()],
    }
    for index, name in enumerate(names):
        Image.new("RGB", (64, 64), (index, 0, 0)).save(place / f"{index}.png")
        content["images"].append({"id": index, "file_name": f"{index}.png", "width": 64, "height": 64})
        content["annotations"].append(
            {"id": index, "image_id": index, "category_id": categories[name], "bbox": [0, 0, size, size]}
        )
    (place / "annotations.json").write_text(json.dumps(content))


def _data(folder: pathlib.Path) -> DataSettings:
    return DataSettings(format="coco", path=f"{folder}/span-{{SPAN}}")


def _store(folder: pathlib.Path, trained_on: int | None) -> ml_metadata.MetadataStore:
    """A store in which a model trained on a span, whose profile is written, was pushed."""
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(folder / "mlmd.sqlite")
    connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    store = ml_metadata.MetadataStore(connection)
    if trained_on is None:
        return store
    contexts = []
    for kind, name in (("pipeline", "signs"), ("pipeline_run", "run-1")):
        type_id = store.put_context_type(metadata_store_pb2.ContextType(name=kind))
        contexts += store.put_contexts([metadata_store_pb2.Context(type_id=type_id, name=name)])
    for kind, key, value in (("Examples", "span", trained_on), ("PushedModel", "pushed", 1)):
        artifact = metadata_store_pb2.Artifact(
            type_id=store.put_artifact_type(metadata_store_pb2.ArtifactType(name=kind))
        )
        artifact.uri = str(folder / kind)
        artifact.custom_properties[key].int_value = value
        [identity] = store.put_artifacts([artifact])
        attributions = [metadata_store_pb2.Attribution(artifact_id=identity, context_id=c) for c in contexts]
        store.put_attributions_and_associations(attributions, [])
    examples = folder / "Examples"
    examples.mkdir()
    trained = profile(_data(folder).model_copy(update={"span": trained_on}))
    (examples / DATA_PROFILE_FILE).write_text(DataProfile({"train": trained, "eval": SplitProfile()}).to_json())
    return store


def test_a_span_has_the_profile_that_its_examples_would_have(tmp_path: pathlib.Path) -> None:
    _span(tmp_path, 1, ["stop", "stop", "yield"])
    (tmp_path / "span-1" / "2.png").write_bytes(b"no image")
    found = profile(_data(tmp_path))
    assert (found.images, found.class_counts) == (2, {"stop": 2})
    assert found.relative_size.quantiles([0.0, 1.0]) == (0.25, 0.25)


def test_a_profile_that_is_gone_is_a_reason_to_train(tmp_path: pathlib.Path) -> None:
    _span(tmp_path, 1, ["stop"] * 10)
    store = _store(tmp_path, 1)
    _span(tmp_path, 2, ["stop"] * 10)
    (tmp_path / "Examples" / DATA_PROFILE_FILE).unlink()
    drifted, why = judge(store, "signs", _data(tmp_path), LIMITS)
    assert drifted
    assert "the profile of span 1" in why


@pytest.mark.parametrize(
    ("names", "size", "drifted", "said"),
    [
        (["stop"] * 10 + ["yield"] * 10, 16, False, "classes 0.000"),
        (["stop"] * 18 + ["yield"] * 2, 16, True, "classes 0.400"),
        (["stop"] * 10 + ["yield"] * 10, 48, True, "sizes 1.000"),
        (["stop"], 16, False, "too few"),
    ],
)
def test_the_newest_span_against_the_one_trained_on(
    tmp_path: pathlib.Path, names: list[str], size: int, drifted: bool, said: str
) -> None:
    _span(tmp_path, 1, ["stop"] * 10 + ["yield"] * 10)
    _span(tmp_path, 2, names, size)
    verdict, why = judge(_store(tmp_path, 1), "signs", _data(tmp_path), LIMITS)
    assert (verdict, said in why) == (drifted, True), why


def test_nothing_new_and_nothing_pushed(tmp_path: pathlib.Path) -> None:
    _span(tmp_path, 3, ["stop"])
    assert judge(_store(tmp_path, 3), "signs", _data(tmp_path), LIMITS)[0] is False
    (tmp_path / "mlmd.sqlite").unlink()
    assert judge(_store(tmp_path, None), "signs", _data(tmp_path), LIMITS) == (True, "nothing was pushed yet")


def _attempt(store: ml_metadata.MetadataStore, span: int, state: int, *, judged: bool) -> None:
    """A run that took a span and pushed nothing."""
    contexts = []
    for kind, name in (("pipeline", "signs"), ("pipeline_run", "run-2")):
        type_id = store.put_context_type(metadata_store_pb2.ContextType(name=kind))
        found = store.get_context_by_type_and_name(kind, name)
        [identity] = (
            [found.id] if found else store.put_contexts([metadata_store_pb2.Context(type_id=type_id, name=name)])
        )
        contexts.append(identity)
    output = metadata_store_pb2.Event(type=metadata_store_pb2.Event.OUTPUT)
    made = []
    for kind in ("Examples", *(["ModelBlessing"] if judged else [])):
        type_id = store.put_artifact_type(metadata_store_pb2.ArtifactType(name=kind))
        artifact = metadata_store_pb2.Artifact(type_id=type_id)
        artifact.custom_properties["span"].int_value = span
        made.append((artifact, output))
    type_id = store.put_execution_type(metadata_store_pb2.ExecutionType(name="Node"))
    execution = metadata_store_pb2.Execution(type_id=type_id, last_known_state=state)
    store.put_execution(execution, made, store.get_contexts_by_id(contexts))


@pytest.mark.parametrize("pushed", [1, None])
@pytest.mark.parametrize(
    ("state", "judged", "said"),
    [("RUNNING", False, "under way"), ("FAILED", False, "and failed"), ("COMPLETE", True, "the gate decided")],
)
def test_a_span_that_was_tried_is_not_tried_every_hour(
    tmp_path: pathlib.Path, pushed: int | None, state: str, judged: bool, said: str
) -> None:
    _span(tmp_path, 1, ["stop"] * 10 + ["yield"] * 10)
    _span(tmp_path, 2, ["stop"] * 20)
    store = _store(tmp_path, pushed)
    assert judge(store, "signs", _data(tmp_path), LIMITS)[0]
    _attempt(store, 2, metadata_store_pb2.Execution.State.Value(state), judged=judged)
    drifted, why = judge(store, "signs", _data(tmp_path), LIMITS)
    assert not drifted
    assert said in why
    if not judged:
        much_later = DriftSettings(min_objects=10, retry_hours=1e-9)
        assert judge(store, "signs", _data(tmp_path), much_later)[0]


def _execution(
    store: ml_metadata.MetadataStore, run: str, kind: str, state: int, events: list[tuple[int, int]]
) -> None:
    """A step of a run with artifacts by id and how it came by them."""
    contexts = []
    for type_name, name in (("pipeline", "signs"), ("pipeline_run", run), ("node", f"signs.{kind}")):
        type_id = store.put_context_type(metadata_store_pb2.ContextType(name=type_name))
        found = store.get_context_by_type_and_name(type_name, name)
        if found is None:
            store.put_contexts([metadata_store_pb2.Context(type_id=type_id, name=name)])
        contexts.append(store.get_context_by_type_and_name(type_name, name))
    type_id = store.put_execution_type(metadata_store_pb2.ExecutionType(name=kind))
    artifacts = {artifact.id: artifact for artifact in store.get_artifacts_by_id([i for i, _ in events])}
    store.put_execution(
        metadata_store_pb2.Execution(type_id=type_id, last_known_state=state),
        [(artifacts[i], metadata_store_pb2.Event(artifact_id=i, type=event)) for i, event in events],
        contexts,
    )


def _artifact(store: ml_metadata.MetadataStore, kind: str, span: int | None = None) -> int:
    type_id = store.put_artifact_type(metadata_store_pb2.ArtifactType(name=kind))
    artifact = metadata_store_pb2.Artifact(type_id=type_id)
    if span is not None:
        artifact.custom_properties["span"].int_value = span
    [identity] = store.put_artifacts([artifact])
    return int(identity)


Event, Execution = metadata_store_pb2.Event, metadata_store_pb2.Execution
_DAY_SECONDS = 24 * 3600


def test_a_failed_run_that_took_its_examples_from_the_cache_counts_from_its_own_time(tmp_path: pathlib.Path) -> None:
    store = _store(tmp_path, None)
    examples = _artifact(store, "Examples", span=2)
    _execution(store, "run-1", "ObjectDetectionExampleGen", Execution.COMPLETE, [(examples, Event.OUTPUT)])
    time.sleep(0.02)
    between = time.time()
    time.sleep(0.02)
    assert taken_already(store, "signs", 2, 24, between + _DAY_SECONDS) is None
    _execution(store, "run-2", "ObjectDetectionExampleGen", Execution.CACHED, [(examples, Event.OUTPUT)])
    assert taken_already(store, "signs", 2, 24, between + _DAY_SECONDS) is not None
    assert taken_already(store, "signs", 2, 24, between + 2 * _DAY_SECONDS) is None


def test_a_blessing_that_a_failed_run_only_looked_up_decides_nothing(tmp_path: pathlib.Path) -> None:
    store = _store(tmp_path, None)
    blessing, examples = _artifact(store, "ModelBlessing"), _artifact(store, "Examples", span=2)
    _execution(store, "run-2", "ObjectDetectionExampleGen", Execution.COMPLETE, [(examples, Event.OUTPUT)])
    _execution(store, "run-2", "BlessedBaseline", Execution.COMPLETE, [(blessing, Event.INTERNAL_OUTPUT)])
    _execution(store, "run-2", "Trainer", Execution.FAILED, [(examples, Event.INPUT)])
    later = time.time() + 2 * _DAY_SECONDS
    assert taken_already(store, "signs", 2, 24, later) is None
    _execution(store, "run-3", "ObjectDetectionExampleGen", Execution.CACHED, [(examples, Event.OUTPUT)])
    _execution(store, "run-3", "Evaluator", Execution.COMPLETE, [(blessing, Event.OUTPUT)])
    assert "the gate decided" in str(taken_already(store, "signs", 2, 24, later))


def test_a_span_that_cannot_be_read_is_not_tried_every_hour(tmp_path: pathlib.Path) -> None:
    store = _store(tmp_path, None)
    _execution(store, "run-1", "ImportSchemaGen", Execution.COMPLETE, [(_artifact(store, "Schema"), Event.OUTPUT)])
    _execution(store, "run-1", "ObjectDetectionExampleGen", Execution.FAILED, [])
    assert "could not be read" in str(taken_already(store, "signs", 2, 24, time.time()))
    assert taken_already(store, "signs", 2, 24, time.time() + 2 * _DAY_SECONDS) is None
    # A second attempt could read another span.
    examples = _artifact(store, "Examples", span=1)
    _execution(store, "run-1", "ObjectDetectionExampleGen", Execution.COMPLETE, [(examples, Event.OUTPUT)])
    assert taken_already(store, "signs", 2, 24, time.time()) is None


def _profile(objects: list[tuple[str, float]]) -> SplitProfile:
    found = SplitProfile()
    boxes = [(0.0, 0.0, size, size) for _, size in objects]
    found.add([name for name, _ in objects], boxes, height_pixels=100, width_pixels=100)
    return found


_PROFILES = st.lists(st.tuples(st.sampled_from("abc"), st.floats(1e-4, 1)), min_size=1, max_size=50).map(_profile)


@given(_PROFILES, _PROFILES)
def test_distances_are_symmetric_bounded_and_zero_for_the_same(one: SplitProfile, other: SplitProfile) -> None:
    drift, reverse = compare(one, other), compare(other, one)
    assert 0 <= drift.class_distance <= 1
    assert -1e-9 <= drift.size_distance <= 1 + 1e-9
    assert drift.class_distance == pytest.approx(reverse.class_distance)
    assert drift.size_distance == pytest.approx(reverse.size_distance)
    same = compare(one, one)
    assert (same.class_distance, same.size_distance) == (0, pytest.approx(0, abs=1e-12))


def test_a_label_map_that_is_gone_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"name: signs\ndata: {{format: coco, path: {tmp_path}, label_map: {tmp_path}/gone.txt}}\n")
    for variable in ("HOST", "DATABASE", "USER", "PASSWORD"):
        monkeypatch.setenv(f"METADATA_STORE_{variable}", "any")
    monkeypatch.setattr(drift, "wait_for_store", lambda address, seconds: None)
    monkeypatch.setattr(ml_metadata, "MetadataStore", lambda connection: None)
    monkeypatch.setattr(drift, "judge", lambda store, name, data, limits, served: drift.profile(data))
    assert drift.main(["--file", str(config)]) == 2
    assert "gone.txt: cannot be read as a label map" in capsys.readouterr().err


def test_the_schedule_is_looked_for_in_the_configs_namespace(
    kfp_server: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("name: signs\ndata: {format: coco, path: data}\ncluster: {namespace: team-a}\n")
    for variable in ("HOST", "DATABASE", "USER", "PASSWORD"):
        monkeypatch.setenv(f"METADATA_STORE_{variable}", "any")
    monkeypatch.setattr(drift, "wait_for_store", lambda address, seconds: None)
    monkeypatch.setattr(ml_metadata, "MetadataStore", lambda connection: None)
    monkeypatch.setattr(drift, "judge", lambda *arguments: (True, "more cars"))
    watch = ["--file", str(config), "--trigger", "nightly", "--host", kfp_server.url]
    assert drift.main(watch) == 2
    assert "schedule 'nightly': there is none" in capsys.readouterr().err
    assert [experiment["namespace"] for experiment in kfp_server.experiments.values()] == ["team-a"]
    drift.main([*watch, "--namespace", "team-b", "--experiment", "other"])
    assert [experiment["namespace"] for experiment in kfp_server.experiments.values()] == ["team-a", "team-b"]


def test_what_is_served_starts_a_run_when_there_is_something_new_to_learn(tmp_path: pathlib.Path) -> None:
    report = tmp_path / "drift.json"
    report.write_text(json.dumps({"version": 3, "figures": {"brightness": {"is_beyond": True}}}))
    served = drift.read_served_drift(report)
    assert served == "what version 3 is asked has drifted: brightness"
    _span(tmp_path, 1, ["stop"] * 20)
    store = _store(tmp_path, trained_on=1)
    drifted, why = judge(store, "signs", _data(tmp_path), LIMITS, served)
    assert not drifted
    assert "label some of it as span 2" in why
    _span(tmp_path, 2, ["stop"] * 20)
    assert not judge(store, "signs", _data(tmp_path), LIMITS)[0]
    assert judge(store, "signs", _data(tmp_path), LIMITS, served) == (True, f"{served}, and span 2 has come since")
    report.write_text(json.dumps({"version": 3, "figures": {"brightness": {"is_beyond": False}}}))
    assert drift.read_served_drift(report) is None
    report.write_text("[]")
    with pytest.raises(DataError, match=r"drift.json: is not what `python -m pipeline drift` writes"):
        drift.read_served_drift(report)
