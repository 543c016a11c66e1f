"""A model server's answers without one."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from serving.protocol.detections import Detection

STOP = Detection(1, "stop", 0.9, (0.25, 0.5, 0.75, 1.0))
"""At the right border."""
YIELD = Detection(2, "yield", 0.6, (0.0, 0.1, 0.2, 0.3))
"""At the upper border."""
FAINT = Detection(2, "yield", 0.2, (0.5, 0.1, 0.9, 0.3))


class FakeClient:
    """Finds the same in every image, or raises `error`.

    Attributes:
      asked: images, in the order of the requests.
      seconds: how long an answer takes; long enough for a second request to be noticed beside it.
      most_at_once: requests that were in progress at the same time.
    """

    def __init__(self, *detections: Detection, version: int = 3) -> None:
        self.detections = detections
        self.version = version
        self.error: Exception | None = None
        self.asked: list[bytes] = []
        self.seconds = 0.02
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()

    def detect(self, images: Sequence[bytes], score_threshold: float = 0.0) -> tuple[list[tuple[Detection, ...]], int]:
        with self._lock:
            self.asked.extend(images)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        time.sleep(self.seconds)
        with self._lock:
            self._at_once -= 1
        if self.error:
            raise self.error
        return [self.detections for _ in images], self.version
