"""Detects objects in images by a model on this machine: a device model of any format, or a SavedModel.

    python -m serving.detect MODEL IMAGE... --output DIR
    find . -name '*.jpg' | python -m serving.detect MODEL - --format jsonl

prints what was found as the answers come, and writes the images with boxes drawn, as `python -m serving.client` does
with a server. MODEL is the file or folder of a device model, the folder of a SavedModel, or a folder of numbered
versions, whose newest is taken. A device model needs its runtime alone, a SavedModel needs TensorFlow. From Python:
`DeviceDetector` in `serving.devices.device_detector`. Exit status: 0, all were answered; 1, some were not (which ones
stands on standard error), or the model cannot be used; 2, wrong arguments; 130, interrupted.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
from collections.abc import Sequence

from schema.installation import everything_for
from serving.clients import showing


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.detect",
        description="Detects objects in images by a model on this machine, and draws them.",
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        type=pathlib.Path,
        help="file or folder of a device model, folder of a SavedModel, or a folder of numbered versions",
    )
    showing.add_images_argument(parser)
    work = parser.add_argument_group("how")
    work.add_argument("--threads", type=int, help="that compute (default: as the runtime decides)")
    work.add_argument(
        "--allow_bfloat16",
        action="store_true",
        help="let OpenVINO compute in bfloat16 where the processor has it: faster, less exact",
    )
    showing.add_shown_options(parser)
    return parser


@everything_for("python -m serving.detect")
def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = _arguments()
    options = parser.parse_args(arguments)
    showing.check_shown_options(parser, options)
    if options.threads is not None and options.threads <= 0:
        parser.error(f"argument --threads: must be positive, found {options.threads}")
    paths = showing.find_images(options)
    # TensorFlow's start-up notices about the processor are not the user's concern.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Here and not at the top: a wrong flag should not wait for it.
    from serving.models.local_detectors import LocalModelError, open_detector

    try:
        detector = open_detector(options.model, options.threads, allow_bfloat16=options.allow_bfloat16)
    except LocalModelError as error:
        sys.exit(f"error: {error}")
    sys.exit(showing.ask_and_show(detector, paths, options))


if __name__ == "__main__":
    main()
