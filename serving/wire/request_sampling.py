"""Which answers go into a request log: a share of them, drawn at random."""

from __future__ import annotations

import dataclasses
import random

from serving.wire.answering import Answered
from serving.wire.request_log import DropObserver, LogFiles, RequestLog


@dataclasses.dataclass(frozen=True)
class RequestLogSettings:
    """What is kept, and where.

    Attributes:
      files: that it is kept in.
      sampling_rate: share of the answers, 0..1.
    """

    files: LogFiles
    sampling_rate: float = 0.01


class RequestSampling:
    """Logs a sample of what was answered."""

    def __init__(self, settings: RequestLogSettings, on_dropped: DropObserver) -> None:
        """Makes the folder.

        Raises:
          OSError: it cannot be made or written to.
        """
        self._log = RequestLog(settings.files, on_dropped)
        self._sampling_rate = settings.sampling_rate

    def answered(self, answered: Answered) -> None:
        """Takes an answer, if it is one of the sample; an `Observer`."""
        if answered.response is None or not is_drawn(self._sampling_rate):
            return
        self._log.write_later(answered.request, answered.response, self._sampling_rate)

    def stop(self, timeout_seconds: float) -> None:
        """See `RequestLog.stop`."""
        self._log.stop(timeout_seconds)


def is_drawn(share: float) -> bool:
    """True in this share of the calls."""
    # Not a secret: which answers are drawn may be guessed.
    return random.random() < share
