"""YAML 1.2, positions, and values as they were typed."""

from __future__ import annotations

import pathlib

import pytest

from kubeflow.step_config import cluster_config, decode_config, encode_config
from pipeline.config import load_config
from pipeline.config_document import ConfigDocument
from pipeline.config_errors import ConfigError

CONFIG = "name: signs\ndata: {format: coco, path: data}\n"


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4e-5", 4e-5),
        ("1e-06", 1e-6),
        ("no", "no"),
        ("on", "on"),
        ("0o17", 15),
        ("12:30:45", "12:30:45"),
        ("2026-11-23", "2026-11-23"),
        ("=", "="),
        ("true", True),
        ("", None),
        ("[~, null]", [None, None]),
        ("{1: a, no: b, 2026-11-23: c, ~: d}", {"1": "a", "no": "b", "2026-11-23": "c", "~": "d"}),
    ],
)
def test_values_are_those_of_yaml_1_2_and_keys_are_text(text: str, value: object) -> None:
    document = ConfigDocument(f"key: {text}\n", "file")
    document.assign(f"set={text}")
    assert document.values() == {"key": value, "set": value}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", 'file:2: .*duplicate key "a"'),
        ("a: {b: 1,\n  b: 2}", 'file:2: .*duplicate key "b"'),
        ("a:\n\t- b", "file:2: .*'\\\\t'"),
        ("a: !!python/name:os.getcwd x", "file:1: .*python"),
        ("a: 1\n---\nb: 2", "file:2: .*another document"),
        ("a: *b", "file:1: .*alias 'b'"),
        ("? {a: b}\n: 1", "file:1: .*where a key is expected"),
        ("", "expected a mapping"),
    ],
)
def test_what_is_no_config_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ConfigDocument(text, "file").values()


def test_an_assignment_leaves_other_places_of_an_alias_alone() -> None:
    document = ConfigDocument("a: &x {b: 1, c: 2}\nd: *x\ne: {<<: *x, f: 3}\n", "file")
    document.assign("d.b=4")
    document.assign("e.c=5")
    assert document.values() == {"a": {"b": 1, "c": 2}, "d": {"b": 4, "c": 2}, "e": {"b": 1, "c": 5, "f": 3}}


def test_positions_are_those_of_the_file_and_of_the_command_line() -> None:
    document = ConfigDocument("a:\n  b: 1\n  c: [1,\n      2]\n", "file")
    document.assign("a.d=[5]")
    found = [document.where(path) for path in (["a"], ["a", "b", "x"], ["a", "c", 1], ["a", "d", 0], ["z"])]
    assert found == ["file:1", "file:2", "file:4", "--set a.d=[5]", "file"]


def test_text_is_taken_as_it_was_typed(file: pathlib.Path) -> None:
    file.write_text(
        CONFIG.replace("path: data", "path: 007, metadata: [02146, 1.10, true, plain]")
        + "cluster:\n  overrides: {data.images: 0010, data.split.ratios: {train: 0.5, eval: 1e-6}}\n"
        + "  default_step: {env: {DEBUG: true, LEVEL: 08}}\n"
    )
    config = cluster_config(file, ["data.label_map=1e3"])
    for data in (config.data, decode_config(encode_config(config)).data):
        assert (data.path, data.metadata) == ("007", ["02146", "1.10", "true", "plain"])
        assert (data.images, data.label_map, data.split.ratios["eval"]) == ("0010", "1e3", 1e-6)
    assert config.cluster.default_step.env == {"DEBUG": "true", "LEVEL": "08"}


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("data.path=", "data.path: found nothing"),
        ("data.path=[a]", "data.path: found"),
        ("transfer.trainable=5", "transfer.trainable: found 5"),
    ],
)
def test_no_other_value_becomes_text(file: pathlib.Path, assignment: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(file, [assignment])
    assert f"--set {assignment}: {said}" in str(raised.value)
