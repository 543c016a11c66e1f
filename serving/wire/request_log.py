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
from collections.abc import Callable
from typing import Final

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from serving.wire.bounded_queue import BoundedQueue

_LOG = logging.getLogger(__name__)
_QUEUED_ANSWERS: Final = 256
_QUEUED_BYTES: Final = 64 << 20
_PART_SUFFIX: Final = ".part"
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
        """Makes the folder.

        Raises:
          OSError: it cannot be made or written to.
        """
        self._settings = files
        self._on_dropped = on_dropped
        files.folder.mkdir(parents=True, exist_ok=True)
        if not os.access(files.folder, os.W_OK):
            raise PermissionError(f"{files.folder}: cannot be written to")
        self._waiting: BoundedQueue[_Waiting] = BoundedQueue(_QUEUED_ANSWERS, _QUEUED_BYTES)
        self._part: pathlib.Path | None = None
        self._writer: tf.io.TFRecordWriter | None = None
        self._part_bytes = 0
        self._part_began = 0.0
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
        if self._writer is None:
            stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
            writer = f"{socket.gethostname()}-{os.getpid()}-{next(_NUMBERS):06d}"
            name = f"{self._settings.prefix}-{stamp}-{writer}{_SUFFIX}"
            self._part = self._settings.folder / f"{name}{_PART_SUFFIX}"
            self._writer = tf.io.TFRecordWriter(str(self._part))
            self._part_bytes, self._part_began = 0, time.monotonic()
        self._writer.write(record)
        # A disk that is full is to be seen now, and not when the file is complete.
        self._writer.flush()
        self._part_bytes += len(record)

    def _rotate(self) -> None:
        settings = self._settings
        is_old = time.monotonic() - self._part_began >= settings.file_seconds
        if self._writer is not None and (
            is_old or self._part_bytes >= min(settings.file_mib, settings.max_mib) * 2**20
        ):
            self._complete()

    def _complete(self) -> None:
        writer, part = self._writer, self._part
        if writer is None or part is None:
            return
        writer.close()
        self._writer = self._part = None
        part.rename(part.with_suffix(""))
        self._prune()

    def _prune(self) -> None:
        """Deletes the oldest files, and what servers that died left behind, until the rest is small enough."""
        files = []
        # With the time: another prefix may begin like this one.
        pattern = f"{glob.escape(self._settings.prefix)}-{_STAMP_PATTERN}-*{_SUFFIX}*"
        for path in self._settings.folder.glob(pattern):
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
        writer, part = self._writer, self._part
        self._writer = self._part = None
        try:
            if writer is not None:
                writer.close()
        except (OSError, tf.errors.OpError):
            _LOG.debug("%s: cannot be closed either", part)
        try:
            if part is not None:
                part.unlink(missing_ok=True)
        except OSError:
            _LOG.debug("%s: cannot be deleted either", part)
