"""Answers kept for later: a sample of requests and responses, as TF Serving logs them.

TFRecords of `PredictionLog` in files that are renamed when they are complete; a thread of its own writes them.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import pathlib
import queue
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.wire.answering import Answered

_LOG = logging.getLogger(__name__)
_QUEUED_ANSWERS: Final = 256
_QUEUED_BYTES: Final = 64 << 20
_PART_SUFFIX: Final = ".part"
_SUFFIX: Final = ".tfrecord"
_TAG: Final = "serve"
_LOOK_SECONDS: Final = 0.2

DropObserver = Callable[[str], None]
"""Is told why a sampled answer is not logged: "queue" (it is full) or "disk" (it cannot be written)."""


@dataclasses.dataclass(frozen=True)
class RequestLogSettings:
    """What is kept, and where.

    Attributes:
      folder: of the files; it may be shared with other servers.
      sampling_rate: share of the answers, 0..1.
      max_mib: all files together; the oldest go first.
      file_mib: a file that is so large is complete.
      file_seconds: so is one that is so old.
    """

    folder: pathlib.Path
    sampling_rate: float = 0.01
    max_mib: float = 1024
    file_mib: float = 64
    file_seconds: float = 300


class RequestLog:
    """Writes a sample of what was answered; never delays an answer."""

    def __init__(self, settings: RequestLogSettings, on_dropped: DropObserver) -> None:
        """Makes the folder.

        Raises:
          OSError: it cannot be made or written to.
        """
        self._settings = settings
        self._on_dropped = on_dropped
        settings.folder.mkdir(parents=True, exist_ok=True)
        if not os.access(settings.folder, os.W_OK):
            raise PermissionError(f"{settings.folder}: cannot be written to")
        self._waiting: queue.Queue[tuple[prediction_log_pb2.PredictionLog, int]] = queue.Queue(_QUEUED_ANSWERS)
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._part: pathlib.Path | None = None
        self._writer: tf.io.TFRecordWriter | None = None
        self._part_bytes = 0
        self._part_began = 0.0
        self._files = 0
        self._is_failing = False
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="request-log", daemon=True)
        self._thread.start()

    def answered(self, answered: Answered) -> None:
        """Takes an answer, if it is one of the sample; an `Observer`."""
        # Not a secret: which answers are drawn may be guessed.
        if answered.response is None or random.random() >= self._settings.sampling_rate:
            return
        size = answered.request.ByteSize() + answered.response.ByteSize()
        with self._lock:
            if self._waiting_bytes + size > _QUEUED_BYTES:
                self._on_dropped("queue")
                return
            self._waiting_bytes += size
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.CopyFrom(answered.request)
        log.predict_log.response.CopyFrom(answered.response)
        # The request may name a label or nothing: what answered is what counts.
        log.log_metadata.model_spec.CopyFrom(answered.response.model_spec)
        log.log_metadata.sampling_config.sampling_rate = self._settings.sampling_rate
        log.log_metadata.saved_model_tags.append(_TAG)
        log.log_metadata.timestamp_secs = int(time.time())
        try:
            self._waiting.put_nowait((log, size))
        except queue.Full:
            self._release(size)
            self._on_dropped("queue")

    def stop(self, timeout_seconds: float) -> None:
        """Writes what waits, if there is time, and completes the file."""
        self._is_ending.set()
        self._thread.join(timeout_seconds)

    def _write_all(self) -> None:
        while not (self._is_ending.is_set() and self._waiting.empty()):
            try:
                log, size = self._waiting.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                log, size = None, 0
            try:
                if log is not None:
                    self._write(log.SerializeToString())
                self._rotate()
                self._is_failing = self._is_failing and log is None
            except (OSError, tf.errors.OpError) as error:
                self._give_up_file(error)
                if log is not None:
                    self._on_dropped("disk")
            finally:
                self._release(size)
        try:
            self._complete()
        except (OSError, tf.errors.OpError) as error:
            self._give_up_file(error)

    def _write(self, record: bytes) -> None:
        if self._writer is None:
            self._files += 1
            stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
            name = f"requests-{stamp}-{socket.gethostname()}-{os.getpid()}-{self._files:06d}{_SUFFIX}"
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
        for path in self._settings.folder.glob(f"requests-*{_SUFFIX}*"):
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

    def _release(self, size: int) -> None:
        with self._lock:
            self._waiting_bytes -= size
