"""Numbers, flags and ids as other tools write them: one reading of each type, for every format.

A reading is taken only where it can be no other: ``"1"`` and ``1.0`` are the id 1, ``"0"`` is no crowd. ``Coercions``
keeps count of what had to be read so, for one finding a field and file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from components.example_gen.settings import BadInputSettings
from components.findings import Finding

_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE | re.ASCII)
_DECIMAL_COMMA: Final = re.compile(r"[+-]?\d*,\d+")
_INTEGER_ID: Final = re.compile(r"([+-]?\d+)(\.0*)?", re.ASCII)
_FLAGS: Final = {"0": False, "1": True, "false": False, "true": True, "no": False, "yes": True, "": False}

Id = int | float | str
"""An id as JSON has it; the number 1.0 is the number 1."""


def to_float(value: object) -> float:
    """A number, or text that is one; ``nan`` and ``inf`` are numbers.

    Raises:
      ValueError: it is none; the message says what it is.
    """
    if isinstance(value, str):
        text = value.strip()
        if not _NUMBER.fullmatch(text):
            comma = " (a decimal comma; write a point)" if _DECIMAL_COMMA.fullmatch(text) else ""
            raise ValueError(f"{value[:40]!r} is no number{comma}")
        return float(text)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{str(value)[:40]} ({type(value).__name__}) is no number")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"a number of {len(str(value))} digits is too big") from error


def to_int(value: object) -> int:
    """A whole number, written as ``7``, ``7.0`` or text of these.

    Raises:
      ValueError: it is none; the message says what it is.
    """
    number = to_float(value)
    if not number.is_integer():
        raise ValueError(f"{value!r} is no whole number")
    return int(number)


def to_flag(value: object) -> bool:
    """0 or 1, false or true, no or yes, as number, text of any case or JSON's own; nothing (null, empty text) is false.

    Raises:
      ValueError: it is none; the message says what it is.
    """
    if value is None or isinstance(value, bool):
        return bool(value)
    text = value.strip().lower() if isinstance(value, str) else str(value)
    if text in _FLAGS:
        return _FLAGS[text]
    try:
        return {0.0: False, 1.0: True}[to_float(value)]
    except (KeyError, ValueError):
        raise ValueError(f"{str(value)[:40]!r} is neither 0 nor 1, false nor true") from None


def to_size(value: object) -> int | None:
    """Pixels of a side, None where the file says nothing that can be one (an empty field, 0)."""
    try:
        number = to_float(value)
    except ValueError:
        return None
    return int(number) if 1 <= number < 2**31 else None


def is_id(value: object) -> bool:
    """Whether a value of a JSON file can be an id at all."""
    return isinstance(value, (int, float, str)) and not isinstance(value, bool)


def canonical_id(value: Id) -> int | float | str:
    """What ``1``, ``1.0``, ``"1"`` and ``" 1.0 "`` have in common: 1; other text stays as it is, but for its ends."""
    if isinstance(value, str):
        text = value.strip()
        match = _INTEGER_ID.fullmatch(text)
        return int(match[1]) if match and len(text) < 100 else text
    return int(value) if isinstance(value, float) and value.is_integer() else value


def describe_ids(ids: Iterable[Id]) -> str:
    """``0 to 2``; ``0, 2, 5`` where some between are missing."""
    found = list(ids)
    numbers = sorted(number for number in found if isinstance(number, int))
    if len(numbers) == len(found) > 1 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers if len(numbers) == len(found) else found))[:80] or "none"


class IdTable:
    """Ids that a file declares, found as they are written, or in another type where that can be one id only."""

    def __init__(self, ids: Iterable[Id]) -> None:
        self._exact = frozenset(ids)
        self._canonical: dict[int | float | str, list[Id]] = {}
        for number in self._exact:
            self._canonical.setdefault(canonical_id(number), []).append(number)

    def find(self, value: object) -> Id | None:
        """The declared id that a reference means, None when there is none or more than one."""
        if not isinstance(value, (int, float, str)) or isinstance(value, bool):
            return None
        if value in self._exact:
            return value
        found = self._canonical.get(canonical_id(value), [])
        return found[0] if len(found) == 1 else None


class Coercions:
    """Counts what of a file had to be read as another type than its format has."""

    def __init__(self) -> None:
        self._examples: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def note(self, field: str, value: object, read_as: str) -> None:
        """Takes down one value."""
        self._examples.setdefault(field, f"{str(value)[:40]!r} ({type(value).__name__}), read as {read_as}")
        self._counts[field] = self._counts.get(field, 0) + 1

    def number(self, field: str, value: object) -> float:
        """``to_float`` of a value that should have been a number."""
        number = to_float(value)
        if isinstance(value, str):
            self.note(field, value, "a number")
        return number

    def whole(self, field: str, value: object) -> int:
        """``to_int`` of a value that should have been a whole number."""
        number = to_int(value)
        if not isinstance(value, int):
            self.note(field, value, str(number))
        return number

    def flag(self, field: str, value: object) -> bool:
        """``to_flag`` of a value that should have been 0 or 1."""
        flag = to_flag(value)
        if not isinstance(value, int):
            self.note(field, value, str(int(flag)))
        return flag

    def id(self, field: str, asked: object, found: Id) -> None:
        """Takes down a reference whose type is not that of the id it was found to mean."""
        if isinstance(asked, str) != isinstance(found, str):
            self.note(field, asked, repr(found))

    def findings(self, bad_input: BadInputSettings, file: str) -> Iterator[Finding]:
        """One for each field that had any."""
        for field, example in self._examples.items():
            count = self._counts[field]
            yield bad_input.finding("coerced_value", file, field, f"{example}; {count} such values")
