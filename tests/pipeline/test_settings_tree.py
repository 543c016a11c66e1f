"""Unions of settings classes: how they are documented, and how a mistake in them is told."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
import pytest

from components.settings import Settings
from pipeline.config_document import ConfigDocument
from pipeline.config_errors import describe_errors
from pipeline.explain import explain


class Common(Settings):
    momentum: float = 0.9
    """Of all."""


class Tune(Common):
    """Trains it."""

    strategy: Literal["tune"] = "tune"
    """Which."""
    freeze: bool = False
    """Whether."""


class Distill(Common):
    """Learns from a teacher.

    In more words.
    """

    strategy: Literal["distill", "self_distill"]
    """Which."""
    teacher: str
    """Path of the teacher."""


class Wide(Settings):
    """A wide one."""

    alpha: float = 1.0
    """Width."""


class Deep(Settings):
    """A deep one."""

    depth: int = 3
    """Depth."""


def _strategy(value: Any) -> str:
    return str(value.get("strategy", "tune")) if isinstance(value, dict) else getattr(value, "strategy", "tune")


class Whole(Settings):
    by_field: Tune | Distill = pydantic.Field(default=Tune(), discriminator="strategy")
    """Told apart by a field."""
    by_tag: Annotated[
        Annotated[Tune, pydantic.Tag("tune")] | Annotated[Distill, pydantic.Tag("distill")],
        pydantic.Discriminator(_strategy),
    ] = Tune()
    """Told apart by a function, the default may be left out."""
    by_class: Wide | Deep | None = None
    """Told apart by trying."""
    listed: list[Annotated[Tune | Distill, pydantic.Field(discriminator="strategy")]] = []
    """Several."""
    named: dict[str, Wide] = {}
    """By name."""
    size: Literal["small", "large"] | int = "small"
    """A word or a number."""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("by_field:\n  strategy: tune\n  freze: true", ["file:3: by_field.freze: unknown key; did you mean 'freeze'?"]),
        (
            "by_field: {strategy: tune, teacher: x}",
            ["by_field.teacher: unknown key", "here: freeze, momentum, strategy"],
        ),
        ("by_field:\n  strategy: distill", ["file:1: by_field.teacher: this key is required"]),
        ("by_field:\n  strategy: distil", ["file:1: by_field: found 'distil'", "did you mean 'distill'?"]),
        ("by_field:\n  freeze: true", ["file:1: by_field: the key 'strategy' is required here"]),
        ("by_tag: distill", ["file:1: by_tag: found 'distill', expected keys with their values"]),
        ("by_tag:\n  momentum: 1\n  freeze: 3", ["file:3: by_tag.freeze: found 3"]),
        ("by_tag:\n  strategy: distill\n  teacher: [x]", ["file:3: by_tag.teacher: found ['x']"]),
        ("by_class:\n  dept: 3", ["file:2: by_class.dept: unknown key", "did you mean 'depth'?"]),
        ("listed:\n- strategy: tune\n- strategy: tune\n  x: 1", ["file:4: listed.1.x: unknown key"]),
        ("named:\n  alpha:\n    alpa: 1", ["file:3: named.alpha.alpa: unknown key; did you mean 'alpha'?"]),
        ("size: smal", ["file:1: size: found 'smal', allowed are 'small' or 'large'; did you mean 'small'?; or "]),
    ],
)
def test_a_mistake_in_a_union_has_key_line_and_nearest_spelling(text: str, said: list[str]) -> None:
    document = ConfigDocument(text, "file")
    with pytest.raises(pydantic.ValidationError) as raised:
        Whole.model_validate(document.values())
    message = describe_errors(raised.value, Whole, document)
    for part in said:
        assert part in message


def test_every_member_of_a_union_is_documented_and_what_they_share_once() -> None:
    text = explain(Whole)
    assert "by_field: section by strategy: tune | distill | self_distill" in text
    assert 'by_field.strategy: tune | distill | self_distill (default "tune")\n    Which.\n' in text
    assert (
        "by_field with strategy distill | self_distill:\n    Learns from a teacher.\n\nby_field.teacher: text" in text
    )
    assert text.count("by_field.momentum:") == text.count("by_tag.momentum:") == text.count("listed[].momentum:") == 1
    assert "by_tag with strategy tune:\n    Trains it.\n\nby_tag.freeze: true | false (default false)" in text
    assert "by_class for Wide:\n    A wide one.\n\nby_class.alpha: number" in text
    assert "by_class for Deep:\n    A deep one.\n\nby_class.depth: whole number" in text
    assert "named: mapping of names to sections" in text
    assert "named.NAME.alpha: number" in text
