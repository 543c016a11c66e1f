"""Answers kept for later: requests and responses, as TF Serving logs them.

TFRecords of `PredictionLog` in files that are renamed when they are complete; a thread of its own writes them.
"""

from __future__ import annotations

import dataclasses
import glob
import itertools
import logging
import os
import pathlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from serving.wire.bounded_queue import BoundedQueue
from serving.wire.part_file import PART_SUFFIX, PartFile, salvage

_LOG = logging.getLogger(__name__)
_QUEUED_ANSWERS: Final = 256
_QUEUED_BYTES: Final = 64 << 20
_SUFFIX: Final = ".tfrecord"
_STAMP_PATTERN: Final = "[0-9]" * 8 + "T" + "[0-9]" * 6
_TAG: Final = "serve"
_LOOK_SECONDS: Final = 0.2
_LEAST_STOP_SECONDS: Final = 0.5
_NUMBERS: Final = itertools.count(1)
"""Of this process' files, whichever log they belong to: a log may follow another under the same prefix."""

DropObserver = Callable[[str], None]
"""Is told why an answer is not logged: "queue" (it is full) or "disk" (it cannot be written)."""


@dataclasses.dataclass(frozen=True)
class LogFiles:
    """Where answers are kept, and how many.

    Attributes:
      folder: of the files; it may be shared with other servers.
      prefix: that their names begin with; one folder may hold several logs.
      max_mib: all files of the prefix together; the oldest go first.
      file_mib: a file that is so large is complete.
      file_seconds: so is one that is so old.
    """

    folder: pathlib.Path
    prefix: str = "requests"
    max_mib: float = 1024
    file_mib: float = 64
    file_seconds: float = 300


@dataclasses.dataclass(frozen=True)
class _Waiting:
    """An answer that is to be written."""

    request: predict_pb2.PredictRequest
    response: predict_pb2.PredictResponse
    sampling_rate: float
    timestamp_seconds: int

    def record(self) -> bytes:
        """The serialised `PredictionLog`."""
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.CopyFrom(self.request)
        log.predict_log.response.CopyFrom(self.response)
        # The request may name a label or nothing: what answered is what counts.
        log.log_metadata.model_spec.CopyFrom(self.response.model_spec)
        log.log_metadata.sampling_config.sampling_rate = self.sampling_rate
        log.log_metadata.saved_model_tags.append(_TAG)
        log.log_metadata.timestamp_secs = self.timestamp_seconds
        record: bytes = log.SerializeToString()
        return record


class RequestLog:
    """Writes what it is given; never delays whoever gives it."""

    def __init__(self, files: LogFiles, on_dropped: DropObserver) -> None:
        """Makes the folder; what servers that were killed left in it is completed, in the log's thread.

        Raises:
          OSError: it cannot be made or written to.
        """
        self._settings = files
        self._on_dropped = on_dropped
        files.folder.mkdir(parents=True, exist_ok=True)
        if not os.access(files.folder, os.W_OK):
            raise PermissionError(f"{files.folder}: cannot be written to")
        self._waiting: BoundedQueue[_Waiting] = BoundedQueue(_QUEUED_ANSWERS, _QUEUED_BYTES)
        self._file: PartFile | None = None
        self._file_began = 0.0
        self._is_failing = False
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="request-log", daemon=True)
        self._thread.start()

    def write_later(
        self, request: predict_pb2.PredictRequest, response: predict_pb2.PredictResponse, sampling_rate: float
    ) -> None:
        """Takes an answer; neither message may change any more.

        Args:
          request: as it came.
          response: its `model_spec` names the version that answered.
          sampling_rate: the share of all answers that those written stand for.
        """
        waiting = _Waiting(request, response, sampling_rate, int(time.time()))
        if not self._waiting.offer(waiting, request.ByteSize() + response.ByteSize()):
            self._on_dropped("queue")

    def end(self) -> None:
        """Takes nothing more: what waits is written and the file completed, by the log's thread."""
        self._is_ending.set()

    def stop(self, timeout_seconds: float) -> None:
        """Ends, and waits for it: as long as this, and half a second at least."""
        self.end()
        self._thread.join(max(_LEAST_STOP_SECONDS, timeout_seconds))

    def _write_all(self) -> None:
        self._salvage()
        while not (self._is_ending.is_set() and self._waiting.is_empty()):
            with self._waiting.take(_LOOK_SECONDS) as waiting:
                try:
                    if waiting is not None:
                        self._write(waiting.record())
                    self._rotate()
                    self._is_failing = self._is_failing and waiting is None
                except (OSError, tf.errors.OpError) as error:
                    self._give_up_file(error)
                    if waiting is not None:
                        self._on_dropped("disk")
        try:
            self._complete()
        except (OSError, tf.errors.OpError) as error:
            self._give_up_file(error)

    def _write(self, record: bytes) -> None:
        if self._file is None:
            stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
            writer = f"{socket.gethostname()}-{os.getpid()}-{next(_NUMBERS):06d}"
            self._file = PartFile(self._settings.folder / f"{self._settings.prefix}-{stamp}-{writer}{_SUFFIX}")
            self._file_began = time.monotonic()
        self._file.write(record)

    def _rotate(self) -> None:
        settings, file = self._settings, self._file
        if file is None:
            return
        is_old = time.monotonic() - self._file_began >= settings.file_seconds
        if is_old or file.bytes_written >= min(settings.file_mib, settings.max_mib) * 2**20:
            self._complete()

    def _complete(self) -> None:
        if self._file is None:
            return
        self._file.complete()
        self._file = None
        self._prune()

    def _salvage(self) -> None:
        """Completes what servers that were killed left behind."""
        for part in sorted(self._paths(f"{_SUFFIX}{PART_SUFFIX}")):
            try:
                salvage(part)
            except (OSError, tf.errors.OpError) as error:
                _LOG.error("%s: left behind by a server that was killed, and cannot be salvaged: %s", part, error)

    def _paths(self, suffix: str) -> Iterator[pathlib.Path]:
        """Files of this log; `suffix` is a pattern."""
        # With the time: another prefix may begin like this one.
        return self._settings.folder.glob(f"{glob.escape(self._settings.prefix)}-{_STAMP_PATTERN}-*{suffix}")

    def _prune(self) -> None:
        """Deletes the oldest files, and what could not be salvaged, until the rest is small enough."""
        files = []
        for path in self._paths(f"{_SUFFIX}*"):
            try:
                found = path.stat()
            except FileNotFoundError:
                # Another server that shares the folder was quicker.
                continue
            files.append((found.st_mtime_ns, found.st_size, path))
        excess = sum(size for _, size, _ in files) - self._settings.max_mib * 2**20
        for _, size, path in sorted(files):
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= size

    def _give_up_file(self, error: Exception) -> None:
        if not self._is_failing:
            _LOG.error(
                "%s: the request log cannot be written; requests are answered as before, and it goes on when it can "
                "(this is logged once): %s",
                self._settings.folder,
                error,
            )
        self._is_failing = True
        file, self._file = self._file, None
        if file is not None:
            file.give_up()
