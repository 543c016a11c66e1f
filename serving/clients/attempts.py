"""How often one request is tried, and how long in all."""

from __future__ import annotations

import random
import time
from typing import Final

from serving.clients.errors import AwayError

_MOST: Final = 4
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 2.0
_SHORTEST_TRY_SECONDS: Final = 1e-3
_JITTER: Final = (0.8, 1.2)
"""Clients that one server refused together do not come back together."""


class Attempts:
    """The tries of one request: each pause is twice the one before it, and all are over when the deadline is."""

    def __init__(self, timeout_seconds: float, *, retries: bool) -> None:
        """`timeout_seconds` from now on is the deadline; without `retries` there is one try."""
        self._until = time.monotonic() + timeout_seconds
        self._left = _MOST - 1 if retries else 0
        self._pause_seconds = _FIRST_PAUSE_SECONDS

    def seconds_left(self) -> float:
        """For the next try."""
        return max(self._until - time.monotonic(), _SHORTEST_TRY_SECONDS)

    def pause_seconds(self, error: AwayError) -> float:
        """How long to wait after `error` before the next try.

        Raises:
          AwayError: `error`, where there is none.
        """
        pause = self._pause_seconds * random.uniform(*_JITTER)
        if not self._left or pause >= self._until - time.monotonic():
            raise error
        self._left -= 1
        self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
        return pause
