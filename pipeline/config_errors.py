"""Config errors a person can act on: file, line, key, what was found, what is allowed, the nearest valid spelling."""

from __future__ import annotations

import difflib
import pathlib
from collections.abc import Sequence
from typing import Any, get_args

import pydantic
import yaml


class ConfigError(ValueError):
    """A config that cannot be used. The message is complete: print it, without a stack trace."""


def _line_of(node: yaml.Node | None, path: Sequence[str | int]) -> int | None:
    """1-based line of the deepest part of ``path`` that stands in the file."""
    line = None
    for step in path:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(step)]
            if not found:
                return line
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line


def _settings_in(annotation: Any) -> list[type[pydantic.BaseModel]]:
    """Settings classes that a field's annotation mentions, at any depth (``list[X | None]`` -> ``[X]``)."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _settings_in(part)]


def _keys_at(model: type[pydantic.BaseModel], path: Sequence[str | int]) -> list[str]:
    """Valid keys of the section that ``path`` leads to."""
    models = [model]
    for step in path:
        fields = [m.model_fields[step] for m in models if isinstance(step, str) and step in m.model_fields]
        if fields:
            models = [found for field in fields for found in _settings_in(field.annotation)]
    return sorted({key for m in models for key in m.model_fields})


def _nearest(word: str, choices: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _describe(error: Any, model: type[pydantic.BaseModel]) -> str:
    """One pydantic error in a line, without its location."""
    found, context = error["input"], error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            keys = _keys_at(model, error["loc"][:-1])
            return f"unknown key{_nearest(str(error['loc'][-1]), keys)} Allowed here: {', '.join(keys)}"
        case "missing":
            return "this key is required"
        case "literal_error":
            allowed = str(context["expected"])
            choices = [choice.strip("' ") for choice in allowed.replace(" or ", ", ").split(",")]
            return f"found {found!r}, allowed are {allowed}{_nearest(str(found), choices)}"
        case "tuple_type" | "list_type":
            return f"found {found!r}, expected a list (did you mean [{found}]?)"
        case "value_error":
            return f"{context['error']}"
        case _:
            return f"found {found!r}: {error['msg'][0].lower()}{error['msg'][1:]}"


def describe_errors(
    error: pydantic.ValidationError, model: type[pydantic.BaseModel], path: pathlib.Path, nodes: yaml.Node | None
) -> str:
    """All errors of a config, a line each.

    Args:
      error: what pydantic found.
      model: the settings class of the whole file.
      path: the file, for the message.
      nodes: the file as composed YAML nodes, for line numbers.
    """
    lines = []
    for item in error.errors(include_url=False):
        line = _line_of(nodes, item["loc"])
        where = f"{path}:{line}" if line else f"{path}"
        key = ".".join(str(step) for step in item["loc"])
        lines.append(f"{where}: {key}: {_describe(item, model)}" if key else f"{where}: {_describe(item, model)}")
    lines.append("`python -m pipeline.config --explain` lists every key.")
    return "\n".join(lines)
