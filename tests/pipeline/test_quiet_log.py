"""What is held back, and what is not."""

from __future__ import annotations

import logging

import pytest
from absl import logging as absl_logging

from pipeline.quiet_log import HarmlessMessages, quieten


@pytest.mark.parametrize(
    ("message", "passes"),
    [
        ("ArtifactQuery.property_predicate is not supported.", False),
        ("the disk is full", True),
    ],
)
def test_only_what_every_good_run_says_is_held_back(message: str, passes: bool) -> None:
    record = logging.LogRecord("absl", logging.WARNING, "file", 1, message, None, None)
    assert HarmlessMessages().filter(record) is passes


def test_handlers_keep_warnings() -> None:
    handler = logging.StreamHandler()
    logger = absl_logging.get_absl_logger()
    logger.addHandler(handler)
    try:
        quieten()
        assert handler.level == logging.WARNING
        assert [type(each) for each in handler.filters] == [HarmlessMessages]
    finally:
        logger.removeHandler(handler)
