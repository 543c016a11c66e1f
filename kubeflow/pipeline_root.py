"""The shared root folder, from inside a step: mounted, writable, with room."""

from __future__ import annotations

import errno
import os
import pathlib
import socket
from collections.abc import Sequence
from typing import Final

from kubeflow.metadata_store import UnreachableError, retry_until

_PROBE_BYTES: Final = 1 << 16
_HOPELESS: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


def wait_for_root(root: pathlib.Path, mount_paths: Sequence[str], limit_seconds: float) -> None:
    """Returns once a file could be written into ``root``.

    Args:
      root: made when it is not there.
      mount_paths: where volumes are expected to be mounted; a root in a folder of the container itself would take
        everything the step writes and lose it.
      limit_seconds: a full or stale volume may recover within it.

    Raises:
      UnreachableError: no volume is mounted, or the file cannot be written; the message says what to do.
    """
    absent = [path for path in mount_paths if not os.path.ismount(path)]
    if absent:
        raise UnreachableError(
            f"root {root}: nothing is mounted at {', '.join(absent)}; expected the claims in cluster.volumes. Compile "
            "the pipeline again if they were added later"
        )
    probe = root / f".probe-{socket.gethostname()}-{os.getpid()}"

    def attempt() -> None:
        root.mkdir(parents=True, exist_ok=True)
        try:
            with probe.open("wb") as file:
                file.write(b"\0" * _PROBE_BYTES)
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)

    def hopeless(error: Exception) -> bool:
        return isinstance(error, OSError) and error.errno in _HOPELESS

    try:
        retry_until(attempt, f"root {root}", limit_seconds, hopeless)
    except UnreachableError as error:
        cause = error.__cause__.errno if isinstance(error.__cause__, OSError) else None
        advice = {
            errno.ENOSPC: "the volume is full: run `python -m kubeflow.retention`, or enlarge the claim",
            errno.EDQUOT: "the quota is used up: run `python -m kubeflow.retention`, or raise it",
            errno.EACCES: f"user {os.getuid()} may not write there, and steps have no fsGroup: run the Job "
            "`prepare-pipeline-root` of kubeflow/manifests/base, or change the folder's owner on the server",
            errno.EROFS: "the volume is mounted read-only: steps need ReadWriteMany",
        }.get(cause or 0, "check that the volume is mounted and healthy")
        raise UnreachableError(f"{error}; {advice}") from error
