"""Which answers go into which request log: a share of each model's, drawn at random."""

from __future__ import annotations

import dataclasses
import pathlib
import random
import time
from collections.abc import Iterable, Mapping, Sequence

from serving.models.models_config import ModelConfig, ModelsConfigError
from serving.wire.answering import Answered
from serving.wire.request_log import DropObserver, LogFiles, RequestLog


@dataclasses.dataclass(frozen=True)
class RequestLogSettings:
    """What is kept, and where.

    Attributes:
      folder: for the answers of models whose config has no logging_config; None: those are not kept.
      sampling_rate: share of these answers, 0..1.
      max_mib: all files of a log, also of those that a logging_config names.
    """

    folder: pathlib.Path | None = None
    sampling_rate: float = 0.01
    max_mib: float = 1024


@dataclasses.dataclass(frozen=True)
class _Route:
    log: RequestLog
    sampling_rate: float


class RequestSampling:
    """Logs a sample of what was answered: each model as its config says, the others as the settings say."""

    def __init__(self, settings: RequestLogSettings, on_dropped: DropObserver) -> None:
        """Makes the settings' folder; see `follow` for the models.

        Raises:
          OSError: it cannot be made or written to.
        """
        self._settings = settings
        self._on_dropped = on_dropped
        self._logs: dict[LogFiles, RequestLog] = {}
        self._rest: _Route | None = None
        if settings.folder:
            files = LogFiles(settings.folder.resolve(), max_mib=settings.max_mib)
            self._rest = _Route(self._open(files, self._logs), settings.sampling_rate)
        self._kept = dict(self._logs)
        self._routes: Mapping[str, _Route] = {}

    def follow(self, models: Sequence[ModelConfig]) -> None:
        """Logs these models from now on; models of one filename_prefix share its files. Not to be called twice at once.

        Raises:
          ModelsConfigError: a folder cannot be made or written to; everything stays as it was.
        """
        logs = dict(self._kept)
        routes = {}
        try:
            for model in models:
                if model.logging:
                    prefix = model.logging.filename_prefix
                    files = LogFiles(prefix.parent.resolve(), prefix.name, self._settings.max_mib)
                    routes[model.name] = _Route(self._open(files, logs), model.logging.sampling_rate)
        except OSError as error:
            _stop([log for files, log in logs.items() if files not in self._logs], 0)
            raise ModelsConfigError(
                f"model {model.name!r}: logging_config.log_collector_config.filename_prefix {prefix}: "
                f"its folder cannot be written to ({error}); expected one in which this server may make files"
            ) from error
        unused = [log for files, log in self._logs.items() if files not in logs]
        self._logs, self._routes = logs, routes
        _stop(unused, 0)

    def answered(self, answered: Answered) -> None:
        """Takes an answer, if it is one of the sample; an `Observer`."""
        route = self._routes.get(answered.request.model_spec.name, self._rest)
        if route is None or answered.response is None or not is_drawn(route.sampling_rate):
            return
        route.log.write_later(answered.request, answered.response, route.sampling_rate)

    def stop(self, timeout_seconds: float) -> None:
        """Ends all logs; see `RequestLog.stop`."""
        _stop(self._logs.values(), timeout_seconds)

    def _open(self, files: LogFiles, logs: dict[LogFiles, RequestLog]) -> RequestLog:
        """A log that is open or is opened now; it is in `logs` then."""
        if files not in logs:
            logs[files] = self._logs.get(files) or RequestLog(files, self._on_dropped)
        return logs[files]


def is_drawn(share: float) -> bool:
    """True in this share of the calls."""
    # Not a secret: which answers are drawn may be guessed.
    return random.random() < share


def _stop(logs: Iterable[RequestLog], timeout_seconds: float) -> None:
    logs = list(logs)
    for log in logs:
        log.end()
    until = time.monotonic() + timeout_seconds
    for log in logs:
        log.stop(max(0.0, until - time.monotonic()))
