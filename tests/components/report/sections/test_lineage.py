"""Where a model comes from."""

from __future__ import annotations

import json
import pathlib

import pytest
from ruamel.yaml import YAML
from tensorflow.core.protobuf import saved_model_pb2

from components.evaluator.settings import EvalSettings
from components.example_gen import keys
from components.report.local_time import local_time
from components.report.node_settings import as_yaml, code_digests, computed_config
from components.report.run_record import read_run
from components.report.section import Run, Unreadable, read_section
from components.report.sections.lineage import SPANS, Lineage
from components.trainer.settings import ModelSettings
from tests.components.report.fake_run import PIPELINE, FakeRun, State
from tests.components.report.whole_run import EVAL


def _facts(run: FakeRun) -> dict[str, str]:
    return dict(Lineage.read(Run(read_run(run.connection, PIPELINE))).facts)


def test_data_code_weights_parents_and_versions(whole: FakeRun) -> None:
    record = read_run(whole.connection, PIPELINE)
    section = Lineage.read(Run(record))
    facts = dict(section.facts)
    assert keys.SPANS == SPANS
    assert facts["data"] == "span 12: /data/span-12\nspan 11: /d/11"
    assert facts["fingerprint of the data"] == "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
    before = read_run(whole.connection, PIPELINE, run_id="before").output("model")
    assert before is not None
    for parent in ("warm start from", "compared with"):
        assert facts[parent].startswith(f"model 1, trained {local_time(before.created_seconds)}, blessed 2")
        assert facts[parent].endswith(before.uri)
    assert facts["start weights"] == "/weights/mobilenet.h5"
    assert facts["digest of the start weights"] == "c3" * 16
    assert facts["what became of them"] == "warm start from the last blessed model\nweights from a"
    assert facts["trained with"] == "Python 3.11.9, tensorflow 2.21.0, keras 3.15.0, tfx 1.21.0"
    assert facts["trained on"] == "GPU (H<200>)"
    assert dict(section.code) == code_digests(record)
    assert set(dict(section.code)) == {"ObjectDetectionExampleGen", "Trainer", "Evaluator"}


def test_the_config_is_what_the_nodes_were_told(whole: FakeRun) -> None:
    tree = computed_config(read_run(whole.connection, PIPELINE))
    assert set(tree) == {"data", "validation", "model", "transfer", "train", "eval"}
    read_back = YAML(typ="safe").load(as_yaml(tree))
    assert read_back == tree
    assert EvalSettings.model_validate(read_back["eval"]) == EVAL
    assert ModelSettings.model_validate(read_back["model"]).pretrained == "/weights/mobilenet.h5"


def test_of_an_earlier_version_what_is_not_known_says_so(fake_run: FakeRun, tmp_path: pathlib.Path) -> None:
    exported = tmp_path / "model" / "Format-Serving"
    exported.mkdir(parents=True)
    saved_model = saved_model_pb2.SavedModel()
    saved_model.meta_graphs.add().meta_info_def.tensorflow_version = "2.21.0"
    (exported / "saved_model.pb").write_bytes(saved_model.SerializeToString())
    fake_run.node(PIPELINE, "Trainer", outputs={"model": tmp_path / "model"}, properties={"tfx_version": "1.20.0"})
    fake_run.node(PIPELINE, "BlessedBaseline")
    facts = _facts(fake_run)
    assert facts["data"] == "no records: the run did not get that far"
    assert facts["start weights"] == facts["digest of the start weights"] == facts["what became of them"] == "not known"
    assert facts["compared with"] == "no model: none was blessed before this one was trained"
    assert facts["TensorFlow, TFX"] == "TensorFlow 2.21.0, TFX 1.20.0"
    assert facts["Keras, devices"].startswith("not known")


@pytest.mark.parametrize(
    ("told", "start", "digest"),
    [
        ({"model": '{"pretrained": null}', "weights_digest": ""}, "none, from scratch", "none: no file"),
        ({"model": '{"pretrained": "imagenet"}'}, "imagenet", "not known"),
    ],
)
def test_start_weights_without_a_file(fake_run: FakeRun, told: dict[str, str], start: str, digest: str) -> None:
    fake_run.node("new", "Trainer", told={"custom_config": json.dumps(told)})
    facts = _facts(fake_run)
    assert facts["start weights"].startswith(start)
    assert facts["digest of the start weights"] == digest
    assert facts["warm start from"] == "no model: transfer.warm_start_from_blessed is not set"
    assert facts["model"] == "none: the run did not get that far"


def test_a_cached_model_is_of_an_earlier_run(fake_run: FakeRun) -> None:
    fake_run.node("old", "Trainer", outputs={"model": fake_run.root / "m"})
    fake_run.node("new", "Trainer", State.CACHED, again={"model": 1})
    assert _facts(fake_run)["model"].endswith(" by an earlier run")


def test_settings_that_are_no_json_are_one_line(fake_run: FakeRun) -> None:
    fake_run.node("new", "Trainer", told={"custom_config": "{"})
    section = read_section(Lineage, Run(read_run(fake_run.connection, PIPELINE)))
    assert isinstance(section, Unreadable)
    assert section.problem.startswith("ML Metadata, run new: JSONDecodeError")
