"""The config file: what is read, and what a person is told about a mistake."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import textwrap

import pytest

from pipeline import config as config_module
from pipeline.config import PipelineConfig, load_config
from pipeline.config_errors import ConfigError
from pipeline.explain import explain

REPOSITORY = pathlib.Path(config_module.__file__).parents[1]

MINIMAL = """\
    name: traffic-signs
    data:
      format: coco
      path: /data/signs
    """


@pytest.fixture
def write(tmp_path: pathlib.Path):
    def _write(text: str) -> pathlib.Path:
        path = tmp_path / "pipeline.yaml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return _write


def test_minimal_file_gets_defaults(write):
    config = load_config(write(MINIMAL))
    assert config.data.format == "coco"
    assert config.pipeline_root == pathlib.Path("build/pipelines/traffic-signs").absolute()
    assert config.metadata_path == config.pipeline_root / "metadata.sqlite"
    assert config.push_directory == config.pipeline_root / "served" / "detector"
    assert config.device_directory == config.pipeline_root / "served" / "devices"


def test_overrides_win_over_the_file(write):
    config = load_config(write(MINIMAL), ["train.steps=200", "train.optimizer.learning_rate=1e-3", "name=other"])
    assert (config.train.steps, config.train.optimizer.learning_rate, config.name) == (200, 0.001, "other")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MINIMAL + "train: {stepz: 3}", [":5: train.stepz", "unknown key", "did you mean 'steps'?"]),
        (
            MINIMAL.replace("coco", "cocco"),
            [":3: data.format", "found 'cocco'", "did you mean 'coco'?", "'pascal_voc'"],
        ),
        (
            MINIMAL.replace("path: /data/signs", "path: /data/signs\n      target: {path: /data/fog}"),
            ["data.target is given, but nothing uses it", "'fine_tune' does not learn from it"],
        ),
        (MINIMAL + "transfer: {strategy: mean_teacher}", ["'mean_teacher' adapts", "give their folder in data.target"]),
        (
            MINIMAL + "transfer: {strategy: mean_teacher, score_threshold: 0.1}",
            [":5: transfer", "ignored_from 0.2 is above a threshold of 0.1"],
        ),
        (MINIMAL + "eval: {split: target_test}", ["'target_test' is a split of data.target, which is not given"]),
        (MINIMAL + "train: {steps: 0}", [":5: train.steps", "found 0", "greater than 0"]),
        (MINIMAL + "train: {steps: many}", [":5: train.steps", "found 'many'", "integer"]),
        (MINIMAL.replace("traffic-signs", "Traffic Signs"), [":1: name", "found 'Traffic Signs'"]),
        (MINIMAL.replace("  path: /data/signs", ""), [":2: data.path", "required"]),
        (MINIMAL + "name: again", [":5: not YAML", 'duplicate key "name"']),
        (MINIMAL + "beam: {runner: FlinkRunner, workers: 3}", [":5: beam", "'FlinkRunner'", "options"]),
        (MINIMAL + "beam: {runner: DirctRunner}", [":5: beam.runner", "'DirctRunner'", "did you mean 'DirectRunner'?"]),
        (MINIMAL + "eval: {split: val}", [":5: eval.split", "found 'val'", "did you mean 'eval'?"]),
        (MINIMAL + "eval: {slices: [weather]}", [":5: eval.slices.0", "expected a list", "[weather]"]),
        (MINIMAL + "transfer: {trainable: heds}", [":5: transfer.trainable", "'heds'", "did you mean 'heads'?"]),
        (MINIMAL + "model: {options: {alpa: 0.35}}", [":5: model", "'alpa'", "did you mean 'alpha'?"]),
        (
            MINIMAL + "push: {formats: [saved_model, onxx]}",
            [":5: push.formats.1", "found 'onxx'", "did you mean 'onnx'?"],
        ),
        (MINIMAL + "push: {formats: [onnx]}", [":5: push.formats", "without 'saved_model'"]),
        (
            MINIMAL + "push: {formats: [saved_model, onnx], devices: {by_format: {onnx: {max_drop: {AP: 1}}}}}",
            [":5: push.devices.by_format.onnx.max_drop.AP"],
        ),
        (
            MINIMAL + "push: {formats: [saved_model, onnx]}\n    model: {tiling: {rows: 2}}",
            ["push.formats names 'onnx', which cannot be made of this model", "leave out model.tiling"],
        ),
        (
            MINIMAL
            + "push: {formats: [saved_model, onnx]}\n    transfer: {strategy: feature_extraction, classifier: svm}",
            ["push.formats names 'onnx'", "a fitted classifier (svm)"],
        ),
        (MINIMAL + "root: gs://bucket/p", [":5: root: found 'gs://bucket/p'", "mount the storage", "`cluster.root`"]),
        (
            MINIMAL + "metadata: gs://b/m.sqlite",
            [":5: metadata: found 'gs://b/m.sqlite', expected a path on this machine"],
        ),
        (MINIMAL + "push: {directory: s3://b/p}", [":5: push.directory: found 's3://b/p', expected a path"]),
        (MINIMAL + "cluster: {root: gs://b/p}", [":5: cluster.root: found 'gs://b/p', expected a path", "volume"]),
        (MINIMAL.replace("/data/signs", "s3://b/p"), [":4: data.path: found 's3://b/p'", "opens no s3://, only gs://"]),
        (
            MINIMAL + "  label_map: gs://b/labels.txt",
            [":5: data.label_map: found 'gs://b/labels.txt', expected a path"],
        ),
        (MINIMAL + "model: {pretrained: https://b/p}", [":5: model.pretrained: found 'https://b/p'", "only gs://"]),
        (
            MINIMAL + "train: {input: {replay_share: 0.5}}",
            ["train.input.replay_share is set, but data.span_window is 1", "set data.span_window"],
        ),
        (
            MINIMAL.replace("/data/signs", '"/data/{SPAN}"\n      span_window: 2')
            + "train: {input: {replay_share: 0.5}}\n    transfer: {strategy: feature_extraction}",
            ["train.input.replay_share is set", "'feature_extraction' takes every image as often"],
        ),
        (
            MINIMAL + "train: {sampling: {repeat_threshold: 0.1}}\n    transfer: {strategy: feature_extraction}",
            ["train.sampling.repeat_threshold is set", "'feature_extraction' takes every image as often"],
        ),
        (
            MINIMAL + "train: {sampling: {repeat_threshold: 0.1}, input: {replay_share: 0.5}}",
            ["sampling.repeat_threshold and input.replay_share both say"],
        ),
        (MINIMAL + "train:", [":5: train: found nothing, expected keys with their values"]),
        (
            MINIMAL + "root: $NOWHERE/p",
            [":5: root: found '$NOWHERE/p', but the environment variable NOWHERE is not set"],
        ),
        (MINIMAL + "? [a, b]", [":5: ", "a list or mapping stands where a key is expected"]),
        ("[1, 2]", ["expected a mapping"]),
        ("name: [", [":1: not YAML"]),
    ],
)
def test_mistake_names_line_key_value_and_what_is_allowed(write, text, expected):
    path = write(text)
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    assert str(path) in str(raised.value)
    for part in expected:
        assert part in str(raised.value)


def test_home_and_variables_in_paths_are_what_a_shell_would_make_of_them(write, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/mnt/data")
    text = "name: signs\nroot: ~/pipelines\ndata: {format: coco, path: '$DATA/span-{SPAN}', label_map: ~/labels.txt}\n"
    config = load_config(write(text), ["push.directory=${DATA}/served", "model.pretrained=gs://bucket/model"])
    assert (config.data.path, config.data.label_map) == ("/mnt/data/span-{SPAN}", "/home/me/labels.txt")
    assert (str(config.root), str(config.push.directory)) == ("/home/me/pipelines", "/mnt/data/served")
    assert config.model.pretrained == "gs://bucket/model"


def test_every_mistake_is_reported_at_once(write):
    with pytest.raises(ConfigError) as raised:
        load_config(write(MINIMAL + "train: {stepz: 1, batch_size: -4}"))
    assert "train.stepz" in str(raised.value)
    assert "train.batch_size" in str(raised.value)


@pytest.mark.parametrize("assignment", ["train.steps", "=3", "name.x=3", "train.steps=[1"])
def test_malformed_override_is_named(write, assignment):
    with pytest.raises(ConfigError, match="--set"):
        load_config(write(MINIMAL), [assignment])


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")


def test_every_key_is_documented_where_it_is_defined():
    for paragraph in explain(PipelineConfig).split("\n\n"):
        heading, _, documentation = paragraph.partition("\n")
        assert documentation.strip(), f"{heading} has no docstring under its field"


def test_config_errors_do_not_wait_for_tensorflow(tmp_path):
    code = "import sys, pipeline.local_runner; from pipeline.verbs import config, inspect, run; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert not {"tensorflow", "tfx", "keras", "apache_beam"} & set(modules.stdout.split())


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "pipeline" / "configs").glob("*.yaml")), ids=lambda path: path.stem
)
def test_ready_configs_are_valid(path):
    load_config(path)


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ("train.optimizer.learnig_rate: {min: 0.1, max: 1.0}", "unknown key; did you mean 'learning_rate'"),
        ("train.batch_size: {min: 0, max: 8}", "greater than 0"),
        ("model.detector: {choices: [ssd_mobilenet_v2, ssd_mobilenet_v3]}", "did you mean 'ssd_mobilenet_v2'"),
        ("transfer.trainable: {choices: [all, heds]}", "did you mean 'heads'"),
        ("train.batch_size: {min: 1, max: 8, scale: cubic}", "allowed are 'linear' or 'log'"),
        ("data.path: {choices: [a, b]}", "expected dotted keys of model, transfer, train"),
    ],
)
def test_what_a_search_would_stumble_over_is_an_error_with_its_line(
    tmp_path: pathlib.Path, search: str, said: str
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(f"name: signs\ndata: {{format: coco, path: data}}\ntuner:\n  search:\n    {search}\n")
    with pytest.raises(ConfigError) as raised:
        load_config(file)
    assert said in str(raised.value)
    assert str(raised.value).startswith((f"{file}:5: ", f"{file}:4: ")), str(raised.value)


def test_a_search_within_the_settings_is_none(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "c.yaml"
    rate = "train.optimizer.learning_rate: {min: 1.0e-4, max: 1.0e-2, scale: log}"
    search = f"tuner: {{search: {{{rate}, transfer.trainable: {{choices: [all, 0.5]}}}}}}"
    file.write_text(f"name: signs\ndata: {{format: coco, path: data}}\n{search}\n")
    assert load_config(file).tuner is not None
    with pytest.raises(ConfigError, match="let auto choose first"):
        load_config(file, ["transfer.strategy=auto"])


def test_trials_that_the_stages_do_not_fit_into_are_refused(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "c.yaml"
    stages = "transfer: {stages: [{trainable: heads, steps: 100}, {steps: 300}]}\ntrain: {steps: 400}"
    search = "tuner: {search: {train.optimizer.learning_rate: {min: 1.0e-4, max: 1.0e-2, scale: log}}}"
    file.write_text(f"name: signs\ndata: {{format: coco, path: data}}\n{stages}\n{search}\n")
    with pytest.raises(ConfigError, match=r"trials have 100 steps \(tuner\.steps\).*give shares of it"):
        load_config(file)
    assert load_config(file, ["tuner.steps=400"]).tuner is not None
    assert load_config(file, ["transfer.stages=[{steps: 0.25}, {}]"]).tuner is not None
