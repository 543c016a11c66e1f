"""What the nodes of a run were told: the config as far as anything was computed from it, from ML Metadata."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any, Final

from ruamel.yaml import YAML

from components.code_digest import CODE_DIGEST
from components.report.run_record import NodeRun, RunRecord

EXAMPLE_GEN: Final = "ObjectDetectionExampleGen"
TRAINER: Final = "Trainer"
EVALUATOR: Final = "Evaluator"
_SETTINGS: Final = "settings"
_CUSTOM_CONFIG: Final = "custom_config"
_SECTION_OF_NODE: Final = {
    EXAMPLE_GEN: "data",
    "AnnotationValidator": "validation",
    EVALUATOR: "eval",
    "ServingContract": "push.contract",
    "Exporter": "push.devices",
    "DeviceEvaluator": "push.devices",
}
"""Section of the config that a node has as its parameter ``settings``, whole or the part that it needs."""
_SECTIONS_OF_CUSTOM_CONFIG: Final = ("model", "transfer", "train", "tuner")
"""Sections that TFX's own components have in their ``custom_config``, as JSON text."""

Tree = dict[str, Any]


def custom_config(node: NodeRun | None) -> Tree:
    """The ``custom_config`` of a node of TFX; empty without one.

    Raises:
      ValueError: it is no JSON object.
    """
    text = node.properties.get(_CUSTOM_CONFIG) if node else None
    tree = json.loads(text) if text else {}
    return tree if isinstance(tree, dict) else {}


def settings_of(node: NodeRun | None) -> Tree:
    """The parameter ``settings`` of one of our components; empty without one.

    Raises:
      ValueError: it is no JSON object.
    """
    text = node.properties.get(_SETTINGS) if node else None
    return dict(json.loads(text)) if text else {}


def computed_config(record: RunRecord) -> Tree:
    """The sections of the config that the nodes of a run were told, defaults filled in.

    Raises:
      ValueError: ML Metadata holds something else than JSON.
    """
    sections: Tree = {}
    for node in record.nodes:
        if node.node in _SECTION_OF_NODE and _SETTINGS in node.properties:
            section = _SECTION_OF_NODE[node.node]
            sections[section] = {**sections.get(section, {}), **settings_of(node)}
        told = custom_config(node)
        sections |= {name: json.loads(told[name]) for name in _SECTIONS_OF_CUSTOM_CONFIG if told.get(name)}
    return sections


def as_yaml(tree: Mapping[str, Any]) -> str:
    """A tree as YAML; empty for an empty one."""
    if not tree:
        return ""
    output = io.StringIO()
    YAML().dump(dict(tree), output)
    return output.getvalue()


def code_digests(record: RunRecord) -> dict[str, str]:
    """Digest of the code that each node ran, by node; of those that have one."""
    found = {
        node.node: node.properties.get(CODE_DIGEST) or custom_config(node).get(CODE_DIGEST) for node in record.nodes
    }
    return {node: digest for node, digest in found.items() if digest}
