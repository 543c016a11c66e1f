"""What TensorFlow is told before it is imported, where this project starts it to train and evaluate."""

from __future__ import annotations

import os
from typing import Final

_VARIABLES: Final = {
    # oneDNN's kernels take 40 % off a training step on processors without AVX-512, where TensorFlow leaves them off
    # (benchmarks/RESULTS.md). The servers leave them off, too: there, a batch of exactly one image is slower with them.
    "TF_ENABLE_ONEDNN_OPTS": "1",
    # Without the notices about processors, plugins and rounding that precede every start.
    "TF_CPP_MIN_LOG_LEVEL": "2",
}


def prepare_tensorflow() -> None:
    """Sets TensorFlow's environment variables, but for those that are set already. Call it before the import."""
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
