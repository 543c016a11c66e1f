"""TF Serving's models.config: what it says, and what is refused with the model and the field."""

from __future__ import annotations

import pathlib

import pytest

from serving.models.models_config import (
    ModelConfig,
    ModelLogging,
    ModelsConfigError,
    message_of,
    models_of,
    read_models_config,
)
from serving.models.version_policy import ALL, NEWEST, VersionPolicy

_CONFIG = """
model_config_list {
  config { name: "a" base_path: "/models/a" model_platform: "tensorflow" }
  config { name: "b" base_path: "/models/b" model_version_policy { latest { num_versions: 3 } } }
  config { name: "c" base_path: "/models/c" model_version_policy { all {} } }
  config {
    name: "d"
    base_path: "/models/d"
    model_version_policy { specific { versions: 4 versions: 7 } }
    version_labels { key: "stable" value: 4 }
    version_labels { key: "canary" value: 7 }
  }
  config {
    name: "e"
    base_path: "/models/e"
    logging_config {
      log_collector_config { type: "tfrecord" filename_prefix: "/logs/e" }
      sampling_config { sampling_rate: 0.25 }
    }
  }
}
"""


def test_every_policy_label_and_log_is_read_and_written(tmp_path: pathlib.Path) -> None:
    (tmp_path / "models.config").write_text(_CONFIG)
    models = read_models_config(tmp_path / "models.config")
    assert models == [
        ModelConfig("a", pathlib.Path("/models/a"), NEWEST),
        ModelConfig("b", pathlib.Path("/models/b"), VersionPolicy(3)),
        ModelConfig("c", pathlib.Path("/models/c"), ALL),
        ModelConfig("d", pathlib.Path("/models/d"), VersionPolicy(None, frozenset({4, 7})), {"stable": 4, "canary": 7}),
        ModelConfig("e", pathlib.Path("/models/e"), NEWEST, logging=ModelLogging(pathlib.Path("/logs/e"), 0.25)),
    ]
    assert models_of(message_of(models), "again") == models


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model_config_list { config { nam: 'a' } }", r"models.config:1:\d+.*nam"),
        ("", "expected a model_config_list"),
        ("model_config_list {}", "holds no config"),
        ("model_config_list { config { base_path: 'x' } }", "has no name"),
        ("model_config_list { config { name: 'a' } }", "model 'a': base_path is empty"),
        ("model_config_list { config { name: 'a' base_path: 'x' model_platform: 'torch' } }", "'torch'; expected"),
        (
            "model_config_list { config { name: 'a' base_path: 'x' version_labels { key: 's' value: 0 } } }",
            "version_labels maps 's' to 0",
        ),
        (
            "model_config_list { config { name: 'a' base_path: 'x' model_version_policy { specific {} } } }",
            "specific names no versions",
        ),
        ("model_config_list { config { name: 'a' base_path: 'x' } config { name: 'a' base_path: 'y' } }", "2 models"),
    ],
)
def test_what_cannot_be_served_names_the_place(tmp_path: pathlib.Path, text: str, words: str) -> None:
    (tmp_path / "models.config").write_text(text)
    with pytest.raises(ModelsConfigError, match=words):
        read_models_config(tmp_path / "models.config")


_COLLECTOR = "log_collector_config { filename_prefix: '/logs/a' }"
_SAMPLING = "sampling_config { sampling_rate: 1 }"


@pytest.mark.parametrize(
    ("logging", "words"),
    [
        ("log_collector_config { type: 'kafka' filename_prefix: '/logs/a' }", "type is 'kafka'; expected 'tfrecord'"),
        (_SAMPLING, "filename_prefix is ''; expected a folder and what the files' names begin with, such as /logs/a"),
        ("log_collector_config { filename_prefix: '/logs/' }", "filename_prefix is '/logs/'"),
        ("log_collector_config { filename_prefix: '/logs/..' }", r"filename_prefix is '/logs/\.\.'"),
        (_COLLECTOR, "sampling_rate is missing; expected the share"),
        (f"{_COLLECTOR} sampling_config {{ sampling_rate: 1.5 }}", r"sampling_rate is 1\.5"),
        (f"{_COLLECTOR} sampling_config {{ sampling_rate: nan }}", "sampling_rate is nan"),
        (f"{_COLLECTOR} sampling_config {{ sampling_rate: 1 attributes: 1 }}", "attributes is 1; expected none"),
        (f"{_COLLECTOR} {_SAMPLING} custom_logging_config {{ type_url: 'a/b' }}", "custom_logging_config is 'a/b'"),
    ],
)
def test_a_log_that_cannot_be_written_so_is_refused(tmp_path: pathlib.Path, logging: str, words: str) -> None:
    text = f"model_config_list {{ config {{ name: 'a' base_path: 'x' logging_config {{ {logging} }} }} }}"
    (tmp_path / "models.config").write_text(text)
    with pytest.raises(ModelsConfigError, match=f"models.config: model 'a': logging_config.*{words}"):
        read_models_config(tmp_path / "models.config")


def test_a_log_without_a_type_is_the_one_that_there_is(tmp_path: pathlib.Path) -> None:
    logging = f"logging_config {{ {_COLLECTOR} {_SAMPLING} }}"
    (tmp_path / "models.config").write_text(f"model_config_list {{ config {{ name: 'a' base_path: 'x' {logging} }} }}")
    [model] = read_models_config(tmp_path / "models.config")
    assert model.logging == ModelLogging(pathlib.Path("/logs/a"), 1.0)
