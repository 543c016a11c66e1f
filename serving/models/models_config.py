"""Which models a server serves: TF Serving's `--model_config_file`, and the message of a reload."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.models.version_policy import ALL, NEWEST, VersionPolicy

_PLATFORM = "tensorflow"
_COLLECTOR = "tfrecord"


class ModelsConfigError(Exception):
    """A models.config that cannot be served; the message names the file, the model and the field."""


@dataclasses.dataclass(frozen=True)
class ModelLogging:
    """How a model's answers are logged.

    Attributes:
      filename_prefix: a folder, and what the names of the files in it begin with.
      sampling_rate: share of the answers, 0..1.
    """

    filename_prefix: pathlib.Path
    sampling_rate: float


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A model to serve.

    Attributes:
      name: which requests give.
      base_path: folder of numbered versions.
      policy: which versions ought to be in memory.
      labels: version by label.
      logging: of its answers; None: as the server logs those of any model.
    """

    name: str
    base_path: pathlib.Path
    policy: VersionPolicy = NEWEST
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    logging: ModelLogging | None = None


def read_models_config(path: pathlib.Path) -> list[ModelConfig]:
    """Reads a `ModelServerConfig` in text format.

    Raises:
      ModelsConfigError: it cannot be read, or says something that cannot be done.
    """
    message = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(path.read_text(), message)
    except (OSError, UnicodeDecodeError) as error:
        raise ModelsConfigError(f"{path}: cannot be read ({error})") from error
    except text_format.ParseError as error:
        raise ModelsConfigError(f"{path}:{error}; expected a ModelServerConfig in text format") from error
    return models_of(message, str(path))


def models_of(message: model_server_config_pb2.ModelServerConfig, origin: str) -> list[ModelConfig]:
    """The models of a config.

    Args:
      message: as TF Serving has it.
      origin: where it comes from, for errors.

    Raises:
      ModelsConfigError: it says something that cannot be done.
    """
    if message.WhichOneof("config") != "model_config_list":
        raise ModelsConfigError(
            f"{origin}: ServerModelConfig type not supported; expected a model_config_list with at least one config"
        )
    models = [_model_of(entry, origin) for entry in message.model_config_list.config]
    if not models:
        raise ModelsConfigError(f"{origin}: model_config_list holds no config; expected at least one")
    names = [model.name for model in models]
    for name in {name for name in names if names.count(name) > 1}:
        raise ModelsConfigError(f"{origin}: {names.count(name)} models are named {name!r}; each needs its own name")
    return models


def message_of(models: Sequence[ModelConfig]) -> model_server_config_pb2.ModelServerConfig:
    """The config as TF Serving's message; the other way from `models_of`."""
    message = model_server_config_pb2.ModelServerConfig()
    for model in models:
        entry = message.model_config_list.config.add(
            name=model.name, base_path=str(model.base_path), model_platform=_PLATFORM
        )
        policy = entry.model_version_policy
        if model.policy.specific:
            policy.specific.versions.extend(sorted(model.policy.specific))
        elif model.policy.latest is None:
            policy.all.SetInParent()
        else:
            policy.latest.num_versions = model.policy.latest
        for label, version in model.labels.items():
            entry.version_labels[label] = version
        if model.logging:
            entry.logging_config.log_collector_config.type = _COLLECTOR
            entry.logging_config.log_collector_config.filename_prefix = str(model.logging.filename_prefix)
            entry.logging_config.sampling_config.sampling_rate = model.logging.sampling_rate
    return message


def _model_of(entry: model_server_config_pb2.ModelConfig, origin: str) -> ModelConfig:
    if not entry.name:
        raise ModelsConfigError(f"{origin}: a config has no name; expected one in each")
    where = f"{origin}: model {entry.name!r}"
    if not entry.base_path:
        raise ModelsConfigError(f"{where}: base_path is empty; expected the folder of its numbered versions")
    if entry.model_platform not in ("", _PLATFORM):
        raise ModelsConfigError(f"{where}: model_platform is {entry.model_platform!r}; expected {_PLATFORM!r}")
    labels = dict(entry.version_labels)
    for label, version in labels.items():
        if not label or version <= 0:
            raise ModelsConfigError(
                f"{where}: version_labels maps {label!r} to {version}; expected a word and a version's number"
            )
    logging = _logging_of(entry, where) if entry.HasField("logging_config") else None
    return ModelConfig(entry.name, pathlib.Path(entry.base_path), _policy_of(entry, where), labels, logging)


def _policy_of(entry: model_server_config_pb2.ModelConfig, where: str) -> VersionPolicy:
    choice = entry.model_version_policy.WhichOneof("policy_choice")
    if choice == "all":
        return ALL
    if choice == "specific":
        versions = frozenset(entry.model_version_policy.specific.versions)
        if not versions:
            raise ModelsConfigError(f"{where}: model_version_policy.specific names no versions; expected at least one")
        return VersionPolicy(None, versions)
    # Without a number TF Serving keeps one.
    return VersionPolicy(entry.model_version_policy.latest.num_versions or 1)


def _logging_of(entry: model_server_config_pb2.ModelConfig, where: str) -> ModelLogging:
    where = f"{where}: logging_config"
    message = entry.logging_config
    if message.HasField("custom_logging_config"):
        raise ModelsConfigError(
            f"{where}.custom_logging_config is {message.custom_logging_config.type_url!r}; expected none: this server "
            "logs by log_collector_config alone"
        )
    collector = message.log_collector_config
    # TF Serving has no collector of its own: types are names of what was compiled into a server.
    if collector.type not in ("", _COLLECTOR):
        raise ModelsConfigError(
            f"{where}.log_collector_config.type is {collector.type!r}; expected {_COLLECTOR!r}, the one that this "
            "server has"
        )
    prefix = pathlib.Path(collector.filename_prefix)
    if collector.filename_prefix.endswith("/") or prefix.name in ("", ".."):
        raise ModelsConfigError(
            f"{where}.log_collector_config.filename_prefix is {collector.filename_prefix!r}; expected a folder and "
            f"what the files' names begin with, such as /logs/{entry.name}"
        )
    sampling = message.sampling_config
    if not message.HasField("sampling_config") or not 0 <= sampling.sampling_rate <= 1:
        found = sampling.sampling_rate if message.HasField("sampling_config") else "missing"
        raise ModelsConfigError(
            f"{where}.sampling_config.sampling_rate is {found}; expected the share of the answers to log, 0 to 1"
        )
    if sampling.attributes:
        raise ModelsConfigError(
            f"{where}.sampling_config.attributes is {sampling.attributes}; expected none: what asks this server does "
            "not say its origin or criticality"
        )
    return ModelLogging(prefix, sampling.sampling_rate)
