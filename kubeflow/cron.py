"""Cron expressions as Kubeflow's scheduler (robfig/cron v1) reads them: checked before they are sent, and explained.

Six fields, seconds first: ``0 30 2 * * 1-5`` is 02:30:00 from Monday to Friday. Five fields get ``0`` in front.
Kubeflow takes an expression that can never come true (31 February) for a schedule that never runs; here it is refused.

robfig/cron looks no further than the fifth calendar year from now. Kubeflow takes what it does not find for a time long
past, so one that comes true later is refused when a schedule is made of it (``first_missed``).
"""

from __future__ import annotations

import calendar
import dataclasses
import datetime
from collections.abc import Iterator
from typing import Final

from croniter import CroniterBadDateError, croniter

_MONTHS: Final = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
_YEARS_AHEAD: Final = 5
_DAYS: Final = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}


class CronError(ValueError):
    """An expression that Kubeflow would not take, or that never comes true. The message is complete."""


@dataclasses.dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    names: dict[str, int] = dataclasses.field(default_factory=dict)


_FIELDS: Final = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 6, _DAYS),
)


@dataclasses.dataclass(frozen=True)
class Cron:
    """A checked expression.

    Attributes:
      text: with six fields.
      values: the numbers that each field allows.
      any_day: day of month or day of week is ``*`` or ``?``, also with a step. If neither is, a day that fits one of
        the two counts; else it has to fit both.
    """

    text: str
    values: tuple[frozenset[int], ...]
    any_day: bool

    def times(self, after: datetime.datetime) -> Iterator[datetime.datetime]:
        """The times after ``after``, in its time zone.

        Raises:
          CroniterBadDateError: there are none within 50 years.
        """
        # As numbers: croniter takes 5-5 and */90 for *.
        expression = " ".join(",".join(map(str, sorted(values))) for values in self.values)
        schedule = croniter(expression, after, day_or=not self.any_day, second_at_beginning=True)
        yield from schedule.all_next(datetime.datetime)

    def first_missed(self, after: datetime.datetime) -> datetime.datetime | None:
        """The next time, when it is too far away for robfig/cron to find it from ``after``; None when it finds it."""
        following = next(self.times(after))
        return following if following.year > after.year + _YEARS_AHEAD else None


def parse_cron(text: str) -> Cron:
    """Checks an expression of five or six fields.

    Raises:
      CronError: the message names the field, what was found and what is allowed.
    """
    fields = text.split()
    if text.strip().startswith("@"):
        raise CronError(f"cron {text!r}: descriptors are not used here; write five or six fields, or interval_seconds")
    if len(fields) == len(_FIELDS) - 1:
        fields = ["0", *fields]
    if len(fields) != len(_FIELDS):
        raise CronError(
            f"cron {text!r}: found {len(fields)} fields, expected five (minute hour day-of-month month day-of-week) or "
            "six (second first)"
        )
    values = tuple(_parse_field(text, word, field) for word, field in zip(fields, _FIELDS, strict=True))
    cron = Cron(" ".join(fields), values, _is_any(fields[3]) or _is_any(fields[5]))
    try:
        next(cron.times(datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)))
    except CroniterBadDateError as error:
        raise CronError(f"cron {text!r}: never comes true; there is no such day in any month it names") from error
    return cron


def _is_any(word: str) -> bool:
    return any(part.partition("/")[0] in ("*", "?") for part in word.split(","))


def _parse_field(text: str, word: str, field: _Field) -> frozenset[int]:
    return frozenset(value for part in word.split(",") for value in _parse_part(text, part, field))


def _parse_part(text: str, part: str, field: _Field) -> range:
    """One range: ``*``, ``?``, ``7``, ``1-5``, ``mon-fri``, ``*/15``, ``10-40/10`` or ``5/10`` (from 5 on)."""
    span, slash, step_text = part.partition("/")
    step = 1
    if slash:
        if not (step_text.isdecimal() and step_text.isascii()) or int(step_text) == 0:
            raise CronError(f"cron {text!r}: {field.name} {part!r}: the step after / must be a whole number from 1 on")
        step = int(step_text)
    if span in ("*", "?"):
        low, high = field.low, field.high
    else:
        first, dash, last = span.partition("-")
        low = _number(text, part, first, field)
        # robfig/cron: 5/10 is 5-59/10.
        high = _number(text, part, last, field) if dash else (field.high if slash else low)
    if low > high:
        raise CronError(f"cron {text!r}: {field.name} {part!r}: the range ends before it begins")
    return range(low, high + 1, step)


def _number(text: str, part: str, word: str, field: _Field) -> int:
    value = field.names.get(word.lower(), int(word) if word.isdecimal() and word.isascii() else -1)
    if not field.low <= value <= field.high:
        names = f" or {', '.join(field.names)}" if field.names else ""
        hint = "; Sunday is 0" if field.names is _DAYS and word == "7" else ""
        raise CronError(
            f"cron {text!r}: {field.name} {part!r}: found {word!r}, expected {field.low} to {field.high}{names}{hint}"
        )
    return value
