"""What goes wrong while a check asks several loaders: collected, so that one line says all of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from serving.contract.loaders import Loader
from serving.protocol.errors import RequestError

_SHOWN = 3


class Problems:
    """Problems with where they were met; false where there are none."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._place = ""

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __str__(self) -> str:
        """The first ones, and how many there are."""
        left = len(self._lines) - _SHOWN
        return "; ".join(self._lines[:_SHOWN]) + (f"; and {left} more" if left > 0 else "")

    @contextlib.contextmanager
    def of(self, loader: Loader, signature: str) -> Iterator[None]:
        """Inside, a request that fails is a problem of this signature, as is an answer that has not what it should."""
        self._place = f"{loader.name}, {signature}: "
        try:
            yield
        except RequestError as error:
            self.note(f"{error.code.name}: {error.message}")
        except (KeyError, IndexError, ValueError, TypeError) as error:
            self.note(f"an answer that cannot be read: {type(error).__name__}: {error}")

    def note(self, problem: str) -> None:
        """Adds one, met where `of` says; an empty one is none."""
        if problem:
            self._lines.append(self._place + " ".join(problem.split()))
