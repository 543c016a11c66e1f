"""The libraries' own logs, reduced to what somebody who runs the pipeline can act on."""

from __future__ import annotations

import logging
import re
from typing import Final

from absl import logging as absl_logging

_HARMLESS: Final = (
    "ArtifactQuery.property_predicate is not supported",  # every node of TFX 1.21 asks without one
    "SavedModel saved prior to TF 2.5 detected",  # TFMA tries to load every model with Keras first
    "Tables initialized inside a tf.function",  # Transform's vocabulary
    "Not using the in-place Transform",  # holds for every analyzer
    "tf_record_iterator (from tensorflow.python.lib.io.tf_record) is deprecated",  # TFMA's writer
    "No semi_persistent_directory found",  # every worker process of Beam
    "Discarding unparseable args",  # what Beam itself hands to its worker processes
)
"""Parts of warnings that are the same in every good run."""


_ON_THE_WAY = re.compile(r"Traceback \(most recent call last\)|^Execution \d+ failed")
"""What Beam and TFX log while an error passes through them; it is told once, at the end, and stands in the log."""


class Heeded(logging.Filter):
    """Holds back the warnings that every good run gives, and errors that are on their way to the end of the run."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        on_the_way = _ON_THE_WAY.search(message) or (record.exc_info and record.name.startswith("apache_beam"))
        return not on_the_way and not any(part in message for part in _HARMLESS)


def quieten() -> None:
    """Leaves the loggers' handlers to warnings: progress and summary say what a person wants to know."""
    absl_logging.set_verbosity(absl_logging.INFO)
    loggers = (absl_logging.get_absl_logger(), logging.getLogger("tensorflow"), logging.getLogger())
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        handler.setLevel(logging.WARNING)
        handler.addFilter(Heeded())
