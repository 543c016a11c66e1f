"""The one YAML file that describes a pipeline, as typed settings that are checked before any work starts.

    python -m pipeline.config --explain            every key with its type, default and documentation
    python -m pipeline.config --check FILE         checks a file and prints it with the defaults filled in

Relative paths in the file are relative to the current directory. Importing this module imports neither TFX nor
TensorFlow: a config error is printed in well under a second.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import pydantic
import yaml

from components.evaluator.settings import EvalSettings
from components.example_gen.settings import DataSettings
from components.settings import Settings
from components.trainer.settings import ModelSettings, TrainSettings, TransferSettings
from components.validation.settings import ValidationSettings
from pipeline.beam_settings import BeamSettings
from pipeline.cluster_settings import ClusterSettings
from pipeline.config_errors import ConfigError, describe_errors
from pipeline.explain import explain

CONFIG_VARIABLE = "PIPELINE_CONFIG"
"""Environment variable that names the config file for the TFX CLI, which passes no arguments on."""


class PushSettings(Settings):
    """Where blessed models go."""

    directory: pathlib.Path | None = None
    """Folder of the served model; every blessed model becomes a new numbered version in it, as TF Serving expects.
    Default: `<root>/served/detector`."""


class PipelineConfig(Settings):
    """The whole file."""

    name: str = pydantic.Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    """Name of the pipeline: lower-case letters, digits and dashes. Runs under one name share their cache and their
    blessed models."""
    root: pathlib.Path = pathlib.Path("build/pipelines")
    """Folder under which the pipeline keeps its artifacts and, unless `metadata` says otherwise, its ML Metadata."""
    metadata: pathlib.Path | None = None
    """SQLite file of the ML Metadata store. Default: `<root>/<name>/metadata.sqlite`."""
    data: DataSettings
    """Where the annotated images are and how to read them."""
    validation: ValidationSettings = ValidationSettings()
    """What is checked about the data before training."""
    model: ModelSettings = ModelSettings()
    """Which detector, and from which weights it starts."""
    transfer: TransferSettings = TransferSettings()
    """What of the detector is trained, and how."""
    train: TrainSettings = TrainSettings()
    """The training run."""
    eval: EvalSettings = EvalSettings()
    """Slices and the gate that a model passes to be served."""
    push: PushSettings = PushSettings()
    """Where blessed models go."""
    beam: BeamSettings = BeamSettings()
    """The Beam runner."""
    cluster: ClusterSettings = ClusterSettings()
    """The same graph on Kubeflow Pipelines; a run on this machine takes no notice of it."""

    @property
    def pipeline_root(self) -> pathlib.Path:
        """Absolute folder of this pipeline's artifacts."""
        return (self.root / self.name).absolute()

    @property
    def metadata_path(self) -> pathlib.Path:
        """Absolute path of the ML Metadata SQLite file."""
        return (self.metadata or self.pipeline_root / "metadata.sqlite").absolute()

    @property
    def push_directory(self) -> pathlib.Path:
        """Absolute folder that receives the numbered versions."""
        return (self.push.directory or self.pipeline_root / "served" / "detector").absolute()


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML's own rule that a key stands once in a mapping, which PyYAML does not check."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a list or mapping stands where a key is expected", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _set(tree: dict[str, Any], assignment: str) -> None:
    """Applies ``a.b.c=VALUE`` (VALUE in YAML) to a nested dictionary."""
    path, equals, text = assignment.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {assignment}: expected KEY=VALUE, for example --set train.steps=200")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {assignment}: the value is not YAML: {error}") from error
    *sections, key = path.split(".")
    for section in sections:
        if not isinstance(tree.setdefault(section, {}), dict):
            raise ConfigError(f"--set {assignment}: {section!r} is a value, not a section")
        tree = tree[section]
    tree[key] = value


def load_config(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> PipelineConfig:
    """Reads and checks a config file.

    Args:
      path: the YAML file.
      overrides: assignments such as ``train.steps=200``, applied over the file.

    Raises:
      ConfigError: the file cannot be read, is not YAML or holds a wrong key or value. The message names the file, the
        line, the key, what was found, what is allowed and the nearest valid spelling.
    """
    path = pathlib.Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the config file cannot be read: {error}") from error
    try:
        tree = yaml.load(text, _UniqueKeyLoader)  # noqa: S506 - a SafeLoader
        nodes = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not a YAML file: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected a mapping with the keys {', '.join(PipelineConfig.model_fields)}")
    for assignment in overrides:
        _set(tree, assignment)
    try:
        return PipelineConfig.model_validate(tree)
    except pydantic.ValidationError as error:
        raise ConfigError(describe_errors(error, PipelineConfig, path, nodes)) from error


def config_from_environment() -> PipelineConfig:
    """The config that ``PIPELINE_CONFIG`` names.

    Raises:
      ConfigError: the variable is not set, or the file is wrong.
    """
    path = os.environ.get(CONFIG_VARIABLE)
    if not path:
        raise ConfigError(
            f"the environment variable {CONFIG_VARIABLE} is not set; "
            f"say which pipeline to run, for example {CONFIG_VARIABLE}=$PWD/pipeline/configs/demo.yaml"
        )
    return load_config(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m pipeline.config``."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.config", description=__doc__.splitlines()[0])
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--explain", action="store_true", help="print every key with its default and documentation")
    action.add_argument("--check", metavar="FILE", help="check a config file and print it with defaults filled in")
    arguments = parser.parse_args(argv)
    if arguments.explain:
        print(explain(PipelineConfig))
        return 0
    try:
        config = load_config(arguments.check)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    print(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
