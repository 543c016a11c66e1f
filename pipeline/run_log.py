"""The log of a run: a file with everything that TFX, Beam and TensorFlow's Python say, tracebacks among it."""

from __future__ import annotations

import contextlib
import datetime
import logging
import pathlib
from collections.abc import Iterator
from typing import Final

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_LOGGER: Final = logging.getLogger("pipeline")


class RunLog:
    """The open log.

    Attributes:
      path: the file; made with the first line.
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
    """Collects what is logged meanwhile in a new file of ``folder``, named after the time."""
    path = folder / f"{datetime.datetime.now():%Y-%m-%dT%H-%M-%S}.log"
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, delay=True, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter(_FORMAT))
    logging.getLogger().addHandler(handler)
    try:
        yield RunLog(path, handler)
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
