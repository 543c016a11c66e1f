"""Changes to the Trainer's config by dotted keys, such as ``train.optimizer.learning_rate``.

The config is what ``run_fn`` is told: the sections ``model``, ``transfer`` and ``train`` as JSON text. The ladder of a
comparison and the trials of a search differ from it in a few keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pydantic

from components.detector.weights.weights_digest import weights_digest
from components.trainer.settings import ModelSettings, TrainConfig
from components.trainer.strategies.settings.transfer import TransferSettings
from components.user_error import UserError

_SECTIONS: Final[Mapping[str, pydantic.TypeAdapter[Any]]] = {
    "model": pydantic.TypeAdapter(ModelSettings),
    "transfer": pydantic.TypeAdapter(TransferSettings),
    "train": pydantic.TypeAdapter(TrainConfig),
}


class OverrideError(UserError):
    """A key that there is not, or a value that it does not take."""


def with_overrides(config: Mapping[str, str], overrides: Mapping[str, Any]) -> dict[str, str]:
    """The config with some keys changed and checked; where the start weights are others, so is their digest.

    Args:
      config: of the Trainer, as ``run_fn`` gets it.
      overrides: values by dotted key; a key without a dot replaces a whole section.

    Raises:
      OverrideError: the sections do not allow it; the message names key and value.
    """
    sections = {name: json.loads(config[name]) for name in _SECTIONS}
    for key, value in overrides.items():
        _put(sections, key, value)
    changed = dict(config)
    for name, adapter in _SECTIONS.items():
        try:
            changed[name] = adapter.dump_json(adapter.validate_python(sections[name])).decode()
        except pydantic.ValidationError as error:
            raise OverrideError(_described(name, error)) from error
    before, after = (json.loads(one["model"])["pretrained"] for one in (config, changed))
    if before != after:
        changed["weights_digest"] = weights_digest(after)
    return changed


def _put(sections: dict[str, Any], key: str, value: Any) -> None:
    first, *rest = key.split(".")
    if first not in sections:
        raise OverrideError(f"{key}: expected a key of {', '.join(_SECTIONS)}")
    node: dict[str, Any] = sections
    for step, following in zip([first, *rest], rest, strict=False):
        if node.get(step) is None:
            node[step] = {}
        node = node[step]
        if not isinstance(node, dict):
            raise OverrideError(f"{key}: {step} is a value, so there is no {following} in it")
    node[[first, *rest][-1]] = value


def _described(section: str, error: pydantic.ValidationError) -> str:
    return "; ".join(
        f"{'.'.join([section, *map(str, item['loc'])])}: found {item['input']!r}: {item['msg']}"
        for item in error.errors(include_url=False)
    )
