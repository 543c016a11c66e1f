"""TF Serving's models.config: what it says, and what is refused with the model and the field."""

from __future__ import annotations

import pathlib

import pytest

from serving.models.models_config import ModelConfig, ModelsConfigError, message_of, models_of, read_models_config
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
}
"""


def test_every_policy_and_label_is_read_and_written(tmp_path: pathlib.Path) -> None:
    (tmp_path / "models.config").write_text(_CONFIG)
    models = read_models_config(tmp_path / "models.config")
    assert models == [
        ModelConfig("a", pathlib.Path("/models/a"), NEWEST),
        ModelConfig("b", pathlib.Path("/models/b"), VersionPolicy(3)),
        ModelConfig("c", pathlib.Path("/models/c"), ALL),
        ModelConfig("d", pathlib.Path("/models/d"), VersionPolicy(None, frozenset({4, 7})), {"stable": 4, "canary": 7}),
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
