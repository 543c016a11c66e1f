"""What is held back, and what is not."""

from __future__ import annotations

import logging

import pytest
from absl import logging as absl_logging

from pipeline.quiet_log import Heeded, quieten


@pytest.mark.parametrize(
    ("message", "passes"),
    [
        ("ArtifactQuery.property_predicate is not supported.", False),
        ("the disk is full", True),
        ("Execution 3 failed.", False),
        ("Error processing instruction. Original traceback is\nTraceback (most recent call last):\n...", False),
    ],
)
def test_what_every_good_run_says_and_errors_on_their_way_are_held_back(message: str, passes: bool) -> None:
    record = logging.LogRecord("absl", logging.WARNING, "file", 1, message, None, None)
    assert Heeded().filter(record) is passes


def test_handlers_keep_warnings() -> None:
    handler = logging.StreamHandler()
    logger = absl_logging.get_absl_logger()
    logger.addHandler(handler)
    try:
        quieten()
        assert handler.level == logging.WARNING
        assert [type(each) for each in handler.filters] == [Heeded]
    finally:
        logger.removeHandler(handler)
