"""A file of records that is being written: it belongs to a process for as long as that lives, and is salvaged after.

Who writes has a lock on it, which is gone with the process however it ends; servers that share a folder tell so which
of its files somebody still writes.
"""

from __future__ import annotations

import fcntl
import logging
import os
import pathlib
from typing import Final

import tensorflow as tf

_LOG = logging.getLogger(__name__)
PART_SUFFIX: Final = ".part"
_FRAME_BYTES: Final = 16
"""Of a TFRecord beside its data: the length (8), and a checksum of each (4 + 4)."""


class PartFile:
    """Records in a file whose name ends in `.part` until it is complete."""

    def __init__(self, path: pathlib.Path) -> None:
        """Begins the file `path`.part.

        Raises:
          OSError, tf.errors.OpError: it cannot be written.
        """
        self._path = path
        self._part = path.with_name(f"{path.name}{PART_SUFFIX}")
        self._lock = os.open(self._part, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _is_locked(self._lock, self._part)
            self._writer = tf.io.TFRecordWriter(str(self._part))
        except BaseException:
            os.close(self._lock)
            raise
        self.bytes_written = 0

    def write(self, record: bytes) -> None:
        """Appends a record, and hands it to the system: a process that is killed loses none.

        Raises:
          OSError, tf.errors.OpError: it cannot be written.
        """
        self._writer.write(record)
        # A disk that is full is to be seen now, and not when the file is complete.
        self._writer.flush()
        self.bytes_written += len(record)

    def complete(self) -> None:
        """Ends the file and gives it its name.

        Raises:
          OSError, tf.errors.OpError: it cannot be written.
        """
        self._writer.close()
        # Before the lock goes: without it others would salvage the file.
        self._part.rename(self._path)
        os.close(self._lock)

    def give_up(self) -> None:
        """Deletes the file, as far as that can be done."""
        try:
            self._writer.close()
        except (OSError, tf.errors.OpError):
            _LOG.debug("%s: cannot be closed either", self._part)
        try:
            self._part.unlink(missing_ok=True)
        except OSError:
            _LOG.debug("%s: cannot be deleted either", self._part)
        os.close(self._lock)


def salvage(part: pathlib.Path) -> None:
    """Completes what a process that was killed left behind: whole records are kept, what comes after is cut off.

    A file that somebody writes, or of which that cannot be told, is left alone. What is done is logged.

    Raises:
      OSError, tf.errors.OpError: it cannot be read or changed.
    """
    try:
        descriptor = os.open(part, os.O_RDWR)
    except FileNotFoundError:
        # Completed, or salvaged by another server.
        return
    try:
        size = os.fstat(descriptor).st_size
        # One that is empty may have been made this moment, and not been locked yet.
        if size and _is_locked(descriptor, part) and _is_still(descriptor, part):
            _cut_and_rename(descriptor, part, size)
    finally:
        os.close(descriptor)


def _cut_and_rename(descriptor: int, part: pathlib.Path, size: int) -> None:
    whole, records = 0, 0
    try:
        for record in tf.data.TFRecordDataset(str(part)).as_numpy_iterator():
            whole += _FRAME_BYTES + len(record)
            records += 1
    except tf.errors.DataLossError:
        _LOG.debug("%s: torn at byte %d of %d", part, whole, size)
    if not records:
        part.unlink()
        _LOG.warning("%s: left behind by a server that was killed; holds no whole record and is deleted", part)
        return
    os.ftruncate(descriptor, whole)
    part.rename(part.with_suffix(""))
    _LOG.warning(
        "%s: left behind by a server that was killed; %d records are kept, and %d bytes of a torn one cut off",
        part,
        records,
        size - whole,
    )


def _is_locked(descriptor: int, part: pathlib.Path) -> bool:
    """Takes the lock, which is the descriptor's until it is closed; False: another has it, or there are none here."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        _LOG.debug("%s: its file system has no locks (%s); nothing in it is salvaged", part, error)
        return False
    return True


def _is_still(descriptor: int, part: pathlib.Path) -> bool:
    """Whether the file has its name yet: its writer may have completed it before it let go of the lock."""
    try:
        return os.path.samestat(os.fstat(descriptor), part.stat())
    except FileNotFoundError:
        return False
