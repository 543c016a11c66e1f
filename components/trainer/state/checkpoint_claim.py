"""One training, one checkpoint folder: two runs of the same training at once do not write into each other's."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator

_LOCK_FILE = "lock"


@contextlib.contextmanager
def claimed_folder(folder: str, alternative: str) -> Iterator[str]:
    """The folder to keep checkpoints in, held against other processes while the context lasts.

    The lock is the operating system's (on NFS the server's): it goes with the process that holds it, however that ends,
    so that a training which was killed is gone on with at once. Where locks or files cannot be made, the folder is
    taken without one: the model is worth more than the checkpoint.

    Args:
      folder: of this training; trainings with the same settings and data share it.
      alternative: taken while another process trains in ``folder``.

    Yields:
      One of the two.
    """
    with contextlib.ExitStack() as stack:
        try:
            descriptor = _lock(pathlib.Path(folder))
            stack.callback(os.close, descriptor)
        except BlockingIOError:
            print(
                f"another process trains in {folder}; this training keeps its checkpoints in {alternative}", flush=True
            )
            folder = alternative
        except OSError as error:
            print(f"WARNING: {folder} cannot be held against a second run of the same training: {error}", flush=True)
        yield folder


def _lock(folder: pathlib.Path) -> int:
    """Descriptor of the locked file.

    Raises:
      BlockingIOError: another process holds it.
      OSError: it cannot be made or locked.
    """
    path = folder / _LOCK_FILE
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder removes the folder when its training is over: then this is the lock of a folder that was.
            if path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
