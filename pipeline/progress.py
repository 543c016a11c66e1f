"""One line a node while the graph runs, instead of the runner's own log."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import time
from collections.abc import Iterator

from absl import logging as absl_logging

_EVENT = re.compile(r"^Component (\S+) is (running|finished)\.$")


class NodeProgress(logging.Handler):
    """Turns the runner's log records into lines such as ``[ 3/13] StatisticsGen ... 12 s``.

    The local runner offers no hook around a node; what it logs is its only sign of life.
    """

    def __init__(self, node_count: int) -> None:
        super().__init__(logging.INFO)
        self._node_count = node_count
        self._started = 0
        self._start_time = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        event = _EVENT.match(record.getMessage())
        if event is None:
            return
        node, state = event.groups()
        if state == "running":
            self._started += 1
            self._start_time = time.monotonic()
            line = f"[{self._started:2d}/{self._node_count}] {node} ..."
        else:
            line = f"[{self._started:2d}/{self._node_count}] {node} done in {time.monotonic() - self._start_time:.0f} s"
        print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def node_progress(node_count: int) -> Iterator[None]:
    """Prints a line a node meanwhile, of the graph with so many."""
    handler = NodeProgress(node_count)
    logger = absl_logging.get_absl_logger()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
