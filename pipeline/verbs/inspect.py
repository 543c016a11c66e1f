"""``python -m pipeline inspect PATH``: what a checkpoint holds, and which detector it fits."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pipeline.tensorflow_environment import prepare_tensorflow, without_notices


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0, or 1 when it cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m pipeline inspect", description="Say what a checkpoint holds.")
    parser.add_argument(
        "path",
        help="folder or ckpt prefix of the TF2 Detection Zoo, a SavedModel, a pushed version, .weights.h5, .keras or "
        "kerashub:PRESET",
    )
    arguments = parser.parse_args(argv)
    prepare_tensorflow()
    with without_notices():
        # Behind the command line: it imports TensorFlow.
        from components.detector.weights.checkpoints import CheckpointError
        from components.detector.weights.zoo import inspect

    try:
        print(inspect(arguments.path))
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
