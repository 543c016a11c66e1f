"""How far a long piece of work is and how long it will still take, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TextIO, TypeVar

_Thing = TypeVar("_Thing")

_EVERY_SECONDS: Final = 5.0
_EVERY_SECONDS_ON_A_TERMINAL: Final = 0.5


class CountedProgress:
    """Lines such as ``masks 320/1000, 0:25 left``: on a terminal one that changes, else a new one now and then."""

    def __init__(
        self, what: str, total: int, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Starts the clock.

        Args:
          what: is counted.
          total: so much is to be done.
          stream: standard error where it is None.
          clock: seconds.
        """
        self._what, self._total, self._clock = what, total, clock
        self._stream = sys.stderr if stream is None else stream
        self._on_terminal = self._stream.isatty()
        self._every = _EVERY_SECONDS_ON_A_TERMINAL if self._on_terminal else _EVERY_SECONDS
        self._done = 0
        self._started = self._said = clock()

    def advance(self, count: int = 1) -> None:
        """So much more is done."""
        self._done += count
        now = self._clock()
        is_last = self._done >= self._total
        if not is_last and now - self._said < self._every:
            return
        self._said = now
        took = now - self._started
        line = f"{self._what} {self._done}/{self._total}, "
        if is_last:
            line += f"{duration(took)}"
        else:
            line += f"{duration(took / self._done * (self._total - self._done))} left"
        start, end = ("\r", "\033[K\n" if is_last else "\033[K") if self._on_terminal else ("", "\n")
        print(f"{start}{line}", end=end, file=self._stream, flush=True)

    def of(self, things: Iterable[_Thing]) -> Iterator[_Thing]:
        """The same things; each counts as done when the next one is asked for."""
        for thing in things:
            yield thing
            self.advance()


def duration(seconds: float) -> str:
    """Minutes and seconds, with hours where there are such.

    >>> duration(65.4), duration(3661)
    ('1:05', '1:01:01')
    """
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
