"""The config on its way into a step: compressed in the compiled pipeline, unpacked and checked again in the pod.

The step compiles the graph from it once more instead of carrying the compiled graph: run parameters may then be any key
of the config, and image and graph cannot be of different versions.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import json
import pathlib
import zlib
from collections.abc import Sequence

from pipeline.config import PipelineConfig, check_config
from pipeline.config_document import ConfigDocument
from pipeline.config_errors import ConfigError


def cluster_config(path: pathlib.Path, overrides: Sequence[str] = ()) -> PipelineConfig:
    """The config as it holds on the cluster: the file, then `cluster.root` and `cluster.overrides`, then ``overrides``.

    Raises:
      ConfigError: the file or one of the overrides is wrong.
    """
    document = ConfigDocument.read(path)
    cluster = check_config(document, overrides).cluster
    document.assign(f"root={json.dumps(str(cluster.root))}")
    for key in cluster.overrides:
        document.copy(["cluster", "overrides", key], key)
    return check_config(document, overrides)


def encode_config(config: PipelineConfig) -> str:
    """The keys that were set, as compressed text without characters that a template language could take for its own."""
    text = config.model_dump_json(exclude_unset=True)
    return base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode("ascii")


def decode_config(encoded: str, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Reads the text of ``encode_config``.

    Args:
      encoded: the text.
      overrides: run parameters, ``KEY=VALUE``; one with an empty value leaves the key as it is.

    Raises:
      ConfigError: the text is damaged, or a run parameter has a value that the config does not allow.
    """
    try:
        text = zlib.decompress(base64.urlsafe_b64decode(encoded.encode("ascii"))).decode()
    except (ValueError, binascii.Error, zlib.error) as error:
        raise ConfigError(
            f"--config: not what `kubeflow.compile` wrote ({error}); compile the pipeline again"
        ) from error
    given = [assignment for assignment in overrides if assignment.partition("=")[2].strip()]
    return check_config(ConfigDocument(text, "--config"), given)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds how a command is told its config: encoded, as in a step, or by file, as a person does."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", metavar="TEXT", help="the config as `kubeflow.compile` encodes it")
    source.add_argument("--file", type=pathlib.Path, help="the config file, read as it holds on the cluster")
    parser.add_argument("--run-id", default="", help="Kubeflow's id of the run; all steps of a run share it")
    parser.add_argument("--set", dest="overrides", metavar="KEY=VALUE", action="append", default=[])


def config_from_arguments(arguments: argparse.Namespace) -> PipelineConfig:
    """The config that the arguments of ``add_config_arguments`` name.

    Raises:
      ConfigError: it is wrong.
    """
    if arguments.file is not None:
        return cluster_config(arguments.file, arguments.overrides)
    return decode_config(arguments.config, arguments.overrides)
