"""Random weights that fail a test now and then shall fail it always or never."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(autouse=True)
def _same_weights_every_time() -> None:
    """Seeds Keras where a test has it, and Python's ``random`` with it: not for tests that need ids of their own."""
    if "keras" in sys.modules:
        # Never 0: beside a global seed of 0, tf.data takes no seed that is a tensor.
        sys.modules["keras"].utils.set_random_seed(1)
