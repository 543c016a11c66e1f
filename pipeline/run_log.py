"""The log of a run: a file with everything that is said, so that the terminal is left to what a person can act on.

TFX, Beam and TensorFlow log through Python. Their C++ and Beam's worker processes write to the standard error of the
process instead, which goes into the file as well; Python's ``sys.stderr`` stays on the terminal.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import logging
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import IO, Final

from absl import logging as absl_logging

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_LOGGER: Final = logging.getLogger("pipeline")
_STDERR: Final = 2


class RunLog:
    """The open log.

    Attributes:
      path: the file.
    """

    def __init__(self, path: pathlib.Path, handler: logging.Handler) -> None:
        self.path = path
        self._handler = handler

    def write_traceback(self, error: BaseException) -> None:
        """Writes an error as Python would print it; the terminal does not get it."""
        about = (type(error), error, error.__traceback__)
        self._handler.handle(_LOGGER.makeRecord(_LOGGER.name, logging.ERROR, __file__, 0, "the error:", (), about))


@contextlib.contextmanager
def run_log(folder: pathlib.Path) -> Iterator[RunLog]:
    """Collects what is said meanwhile in a new file of ``folder``, named after the time."""
    path = folder / f"{datetime.datetime.now():%Y-%m-%dT%H-%M-%S}.log"
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1) as file:
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter(_FORMAT))
        logging.getLogger().addHandler(handler)
        try:
            with _standard_error_in(file):
                yield RunLog(path, handler)
        finally:
            logging.getLogger().removeHandler(handler)


@contextlib.contextmanager
def _standard_error_in(file: IO[str]) -> Iterator[None]:
    """Leads the file descriptor of standard error into ``file``, but not what Python writes to ``sys.stderr``."""
    before = sys.stderr
    before.flush()
    with os.fdopen(os.dup(_STDERR), "w", errors="backslashreplace", buffering=1) as terminal:
        if _descriptor(before) == _STDERR:
            _exchange(before, terminal)
        os.dup2(file.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(terminal.fileno(), _STDERR)
            if sys.stderr is terminal:
                _exchange(terminal, before)


def _descriptor(stream: IO[str]) -> int | None:
    """None for a stream that is no file, such as a test's."""
    try:
        return stream.fileno()
    except (OSError, io.UnsupportedOperation):
        return None


def _exchange(old: IO[str], new: IO[str]) -> None:
    """Makes ``new`` the standard error of Python and of the log handlers that write to ``old``."""
    sys.stderr = new
    loggers = (absl_logging.get_absl_logger(), logging.getLogger("tensorflow"), logging.getLogger())
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        # absl's handler hands on to one that writes.
        writer = getattr(handler, "python_handler", handler)
        if isinstance(writer, logging.StreamHandler) and writer.stream is old:
            writer.setStream(new)
