"""Beam's log, reduced to what somebody who runs the command can act on."""

from __future__ import annotations

import logging
from typing import Final

from serving.bulk_inference.errors import BulkError

_UNHEEDED: Final = (
    "No semi_persistent_directory found",  # every worker process of Beam
    "KeyboardInterrupt [while running",
    f"{BulkError.__module__}.{BulkError.__name__}: ",  # the text of a traceback, from another process
)


class Heeded(logging.Filter):
    """Holds back what every good run says, and what ends a run, on its way: the command tells it at its end."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Is the record to be seen?"""
        message = record.getMessage()
        is_ours = record.exc_info is not None and isinstance(record.exc_info[1], BulkError)
        return not is_ours and not any(part in message for part in _UNHEEDED)


def quieten() -> None:
    """Puts the filter before the handlers that there are."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(Heeded())
