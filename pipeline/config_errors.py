"""Config errors a person can act on: file, line, key, what was found, what is allowed, the nearest valid spelling."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pydantic

from components.user_error import UserError
from pipeline.settings_tree import Place, resolve

if TYPE_CHECKING:
    from pipeline.config_document import ConfigDocument


class ConfigError(UserError):
    """A config that cannot be used. The message is complete: print it, without a stack trace."""


def _nearest(word: str, choices: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _describe(error: Any, place: Place) -> str:
    """One pydantic error in a line, without its location."""
    context = error.get("ctx", {})
    found = _as_written(error["input"])
    match error["type"]:
        case "extra_forbidden":
            keys = sorted({key for cls in place.classes for key in cls.model_fields})
            return f"unknown key{_nearest(str(place.path[-1]), keys) or '.'} Allowed here: {', '.join(keys)}"
        case "missing":
            return "this key is required"
        case "literal_error" | "enum":
            return f"found {found}, allowed are {_allowed(str(context['expected']), error['input'])}"
        case "union_tag_invalid":
            return f"found {context['tag']!r}, allowed are {_allowed(context['expected_tags'], context['tag'])}"
        case "union_tag_not_found":
            return f"the key {context['discriminator']} is required here"
        case "tuple_type" | "list_type":
            return f"found {found}, expected a list (did you mean [{error['input']}]?)"
        case "model_type" | "dict_type":
            return f"found {found}, expected keys with their values"
        case "value_error":
            return f"{context['error']}"
        case _:
            return f"found {found}: {error['msg'][0].lower()}{error['msg'][1:]}"


def _as_written(value: object) -> str:
    """A value as a person would find it in the file."""
    words = {None: "nothing", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else repr(value)


def _allowed(expected: str, found: object) -> str:
    choices = [choice.strip("' ") for choice in expected.replace(" or ", ", ").split(",")]
    return f"{expected}{_nearest(str(found), choices)}"


def describe_errors(error: pydantic.ValidationError, model: type[pydantic.BaseModel], document: ConfigDocument) -> str:
    """All errors of a config, a line each; what a union says about one value stands in one line.

    Args:
      error: what pydantic found.
      model: the settings class of the whole file.
      document: the file.
    """
    said: dict[str, list[str]] = {}
    for item in error.errors(include_url=False):
        place = resolve(model, item["loc"], lambda path: document.find(path) is not None)
        where = ": ".join(filter(None, (document.where(place.path), ".".join(map(str, place.path)))))
        said.setdefault(where, []).append(_describe(item, place))
    lines = [f"{where}: {'; or '.join(dict.fromkeys(texts))}" for where, texts in said.items()]
    lines.append("`python -m pipeline config --explain` lists every key.")
    return "\n".join(lines)
