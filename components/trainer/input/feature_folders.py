"""The folders of kept features below one root, which trainings share: found by name, held while in use, bounded.

What has not been used for longest goes first when a new one needs the room. All of them may be deleted at any time when
nothing trains: only the time to make them is lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Final

from components.trainer.input.feature_store import folder_bytes, remove_folder
from components.user_error import UserError

_LOCK_SUFFIX: Final = ".lock"


class FeatureCacheError(UserError):
    """Features cannot be kept: no room, or too little is allowed."""


class Held:
    """A folder that nobody deletes meanwhile, by the operating system's lock on a file beside it.

    Where locks cannot be made the folder is used without: two trainings at once are then the user's care.

    Args:
      folder: of the features, there or not.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        try:
            self._descriptor = _open_lock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another training makes {folder}: waiting for it", flush=True)
            self._descriptor = _open_lock(folder, fcntl.LOCK_SH)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Within it, no other training uses or makes the folder; waits until then."""
        if self._descriptor is None:
            yield
            return
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another training makes {self.folder}: waiting for it", flush=True)
            # Both might hold the shared lock and wait for each other.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def touch(self) -> None:
        """The folder is used now."""
        with contextlib.suppress(OSError):
            os.utime(self.folder)

    def release(self) -> None:
        """Others may delete it; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def make_room(folder: pathlib.Path, needed_bytes: int, limit_bytes: int) -> None:
    """Deletes the folders beside that were not used for longest, until what is to come fits the limit.

    Args:
      folder: to be made, or half made.
      needed_bytes: of it, when it is whole.
      limit_bytes: of all of them together.

    Raises:
      FeatureCacheError: it does not fit the limit or the disk.
    """
    advice = "lower transfer.copies or the canvas (model.image_size)"
    if needed_bytes > limit_bytes:
        raise FeatureCacheError(
            f"the features need {_gigabytes(needed_bytes)}, more than transfer.cache_gigabytes allows "
            f"({_gigabytes(limit_bytes)}): raise it, or {advice}"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    others = sorted(
        (path for path in folder.parent.iterdir() if path.is_dir() and path != folder),
        key=lambda path: path.stat().st_mtime,
    )
    sizes = {path: folder_bytes(path) for path in others}
    there = folder_bytes(folder) if folder.exists() else 0
    for path in others:
        free = shutil.disk_usage(folder.parent).free
        if sum(sizes.values()) + needed_bytes <= limit_bytes and needed_bytes - there <= free:
            break
        if remove_unused(path):
            print(f"deleted {path}, features that were not used for longest", flush=True)
            del sizes[path]
    free = shutil.disk_usage(folder.parent).free
    if needed_bytes - there > free:
        raise FeatureCacheError(
            f"{folder.parent}: the features need {_gigabytes(needed_bytes)}, {_gigabytes(free)} are free: make room, "
            f"or {advice}"
        )
    if sum(sizes.values()) + needed_bytes > limit_bytes:
        print(
            f"WARNING: other trainings use features in {folder.parent}: for now it will hold more than "
            f"transfer.cache_gigabytes ({_gigabytes(limit_bytes)})",
            flush=True,
        )


def remove_unused(folder: pathlib.Path) -> bool:
    """Deletes a folder of features and its lock; False, and nothing is deleted, where a training holds it."""
    try:
        descriptor = _open_lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    remove_folder(folder)
    folder.with_name(folder.name + _LOCK_SUFFIX).unlink(missing_ok=True)
    if descriptor is not None:
        os.close(descriptor)
    return True


def _open_lock(folder: pathlib.Path, operation: int) -> int | None:
    """Descriptor of the locked file beside the folder; None, with a warning, where there are no locks.

    Raises:
      BlockingIOError: it is held, and ``operation`` does not wait.
    """
    path = folder.with_name(folder.name + _LOCK_SUFFIX)
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            print(f"WARNING: {folder} cannot be held against other trainings: {error}", flush=True)
            return None
        try:
            fcntl.flock(descriptor, operation)
            # Who deleted the folder deleted the file, too: then this is the lock of a folder that was.
            if path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise
        except OSError as error:
            print(f"WARNING: {folder} cannot be held against other trainings: {error}", flush=True)
            os.close(descriptor)
            return None
        os.close(descriptor)


def _gigabytes(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:.2f} GB"
