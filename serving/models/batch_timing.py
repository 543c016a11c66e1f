"""How long batches take, by those that ran lately."""

from __future__ import annotations

import collections
import math
from typing import Final

_REMEMBERED_BATCHES: Final = 16
_SAFE_SHARE: Final = 0.9


class BatchTiming:
    """Seconds an image of the last batches; not safe to use from several threads at once."""

    def __init__(self) -> None:
        self._last: collections.deque[float] = collections.deque(maxlen=_REMEMBERED_BATCHES)
        # Reckoned when a batch has ended: they are asked for far more often.
        self._usual = self._safe = 0.0

    def add(self, images: int, seconds: float) -> None:
        """Remembers a batch."""
        self._last.append(seconds / max(1, images))
        ordered = sorted(self._last)
        self._usual = ordered[(len(ordered) - 1) // 2]
        self._safe = ordered[math.ceil(_SAFE_SHARE * len(ordered)) - 1]

    def usual_seconds(self, images: int) -> float:
        """What half of the batches of so many images do not take longer than; 0 before there was one."""
        return images * self._usual

    def safe_seconds(self, images: int) -> float:
        """What nine of ten batches of so many images do not take longer than; 0 before there was one."""
        return images * self._safe
