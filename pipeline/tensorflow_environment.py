"""Starting TensorFlow where this project trains and evaluates: how it is set, and what it says at once."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import sys
import tempfile
from collections.abc import Iterator
from typing import Final

_VARIABLES: Final = {
    # oneDNN's kernels take 40 % off a training step on processors without AVX-512, where TensorFlow leaves them off
    # (benchmarks/RESULTS.md). The servers leave them off, too: there, a batch of exactly one image is slower with them.
    "TF_ENABLE_ONEDNN_OPTS": "1",
    # Without the notices about processors, plugins and rounding that precede every start.
    "TF_CPP_MIN_LOG_LEVEL": "2",
}

_NOTICE: Final = re.compile(
    r"WARNING: All log messages before absl::InitializeLog\(\)"
    # What is logged before that, in absl's own form, below an error; no variable turns it off.
    r"|[IW]\d{4} \d\d:\d\d:"
    # Two plugins of one wheel, and each registers the same library.
    r"|E\d{4} .*Unable to register cu\w+ factory"
    # At the first image of bytes, on processors on which it takes another kernel.
    r"|E\d{4} .*oneDNN supports DT_UINT8 only on platforms with AVX-512"
)
_NO_DRIVER: Final = re.compile(r"E\d{4} .*failed call to cuInit")


def prepare_tensorflow() -> None:
    """Sets TensorFlow's environment variables, but for those that are set already. Call it before the import."""
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)


def start_tensorflow() -> None:
    """Imports TFX and TensorFlow and lets it look for devices, without the notices of every start."""
    start_tensorflow_alone()
    with without_notices():
        import tfx.v1  # noqa: F401


def start_tensorflow_alone() -> None:
    """The same without TFX, whose import takes the longest."""
    prepare_tensorflow()
    with without_notices():
        import tensorflow as tf

        tf.config.list_physical_devices()


@contextlib.contextmanager
def without_notices() -> Iterator[None]:
    """Holds back what is written to standard error meanwhile, and lets pass what is no notice of a good start.

    TensorFlow writes from C++, so that the file descriptor is what has to be led elsewhere.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held.read().decode(errors="replace").splitlines(keepends=True):
                if not _is_notice(line):
                    sys.stderr.write(line)
            sys.stderr.flush()


def _is_notice(line: str) -> bool:
    if _NO_DRIVER.match(line):
        # With an accelerator in the machine it is an error of its installation.
        return not any(pathlib.Path("/dev").glob("nvidia[0-9]*"))
    return _NOTICE.match(line) is not None
