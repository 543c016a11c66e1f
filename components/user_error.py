"""What the person who runs the pipeline can mend, in contrast to a mistake in the code."""

from __future__ import annotations

import re
import sys
from typing import Final

_IN_TRACEBACK: Final = re.compile(r"^(?P<module>[\w.]+)\.(?P<name>\w+): ", re.MULTILINE)
_BEAM_STEP: Final = re.compile(r" \[while running '[^']*'\]\s*$")


class UserError(ValueError):
    """Data, weights or settings that a run cannot go on with. The message is complete: print it without a traceback."""


def user_error_message(error: BaseException) -> str | None:
    """The message of the ``UserError`` that ``error`` is, was raised from, or tells of; None when there is none.

    Beam runs code in workers and hands on the text of what they raised: an error of ours then ends the message of
    another one.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError):
            return _BEAM_STEP.sub("", str(cause))
        cause = cause.__cause__
    text = str(error)
    for named in reversed(list(_IN_TRACEBACK.finditer(text))):
        kind = getattr(sys.modules.get(named["module"]), named["name"], None)
        if isinstance(kind, type) and issubclass(kind, UserError):
            return _BEAM_STEP.sub("", text[named.end() :]).strip()
    return None


def failure_reason(error: BaseException) -> str:
    """Why a run failed: the message for the user, or what kind of mistake it is with a line about it."""
    message = user_error_message(error)
    if message is not None:
        return message
    lines = str(error).strip().splitlines() or [""]
    # Beam raises the text of a worker's traceback, which ends with what was raised.
    line = lines[-1] if any(line.startswith("Traceback") for line in lines) else lines[0]
    return f"{type(error).__name__}: {line}"
