"""A queue between those who answer and a thread that works later: bounded, and nobody waits to put something in."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class BoundedQueue(Generic[Item]):
    """Bounded by items and by their bytes; safe to use from several threads."""

    def __init__(self, most_items: int, most_bytes: int) -> None:
        self._items: queue.Queue[tuple[Item, int]] = queue.Queue(most_items)
        self._most_bytes = most_bytes
        self._bytes = 0
        self._lock = threading.Lock()

    def offer(self, item: Item, size_bytes: int) -> bool:
        """Puts an item at the end; False: there is no room."""
        with self._lock:
            if self._bytes + size_bytes > self._most_bytes:
                return False
            self._bytes += size_bytes
        try:
            self._items.put_nowait((item, size_bytes))
        except queue.Full:
            self._release(size_bytes)
            return False
        return True

    @contextlib.contextmanager
    def take(self, timeout_seconds: float) -> Iterator[Item | None]:
        """The oldest item, None where there is none in time; its bytes count until the block ends."""
        try:
            item, size_bytes = self._items.get(timeout=timeout_seconds)
        except queue.Empty:
            yield None
            return
        try:
            yield item
        finally:
            self._release(size_bytes)

    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return self._items.empty()

    def _release(self, size_bytes: int) -> None:
        with self._lock:
            self._bytes -= size_bytes
