"""``python -m pipeline explain --model DIR IMAGE...``: which pixels a detection stands on, as pictures."""

from __future__ import annotations

import argparse
import collections
import pathlib
import sys
from collections.abc import Sequence
from typing import Final

from components.example_gen.images import BadImageError, read_header
from components.user_error import UserError
from pipeline.saved_detectors.model_options import add_model_options, chosen_model
from pipeline.tensorflow_environment import start_tensorflow_alone, without_notices

_SMALLEST: Final = 32
"""Pixels of the longer side below which nothing is left to be seen."""


class ExplainError(UserError):
    """There is nothing to explain, or an image that cannot be read; the message names the file."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0, 1 when model or images cannot be used or nothing is detected."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline explain",
        description="Draw which pixels each detection in an image stands on: the detector is asked about the image "
        "hidden in part by random masks, and the parts without which the detection fades are hot (D-RISE). What the "
        "keys of a config mean is another command: python -m pipeline config --explain.",
    )
    parser.add_argument("images", metavar="IMAGE", type=pathlib.Path, nargs="+", help="JPEG or PNG files")
    add_model_options(parser)
    parser.add_argument("--score", type=float, default=0.5, help="explain detections above it (default: %(default)s)")
    parser.add_argument(
        "--most", type=int, default=3, metavar="N", help="of an image, best first (default: %(default)s)"
    )
    parser.add_argument(
        "--masks", type=int, default=1000, help="more give a calmer picture, in more time (default: %(default)s)"
    )
    parser.add_argument(
        "--cells", type=int, default=16, help="of a mask, along a side: more for small objects (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the masks (default: %(default)s)")
    parser.add_argument("--batch_size", type=int, default=16, help="masked images at once (default: %(default)s)")
    parser.add_argument(
        "--longest",
        type=int,
        default=800,
        metavar="PIXELS",
        help="larger images are shrunk to it, before anything is detected (default: %(default)s)",
    )
    parser.add_argument(
        "--output", type=pathlib.Path, default=pathlib.Path("build", "explain"), help="folder (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    for name, least in (("most", 1), ("masks", 1), ("cells", 2), ("batch_size", 1), ("longest", _SMALLEST)):
        if getattr(arguments, name) < least:
            parser.error(f"--{name}: found {getattr(arguments, name)}, expected at least {least}")
    if not 0.0 <= arguments.score <= 1.0:
        parser.error(f"--score: found {arguments.score}, expected 0 to 1")
    try:
        return _explain(arguments)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1


def _explain(arguments: argparse.Namespace) -> int:
    folder, labels = chosen_model(arguments)
    encoded = {path: _read(path) for path in arguments.images}
    names = _names(list(encoded))
    # Behind the checks: it imports TensorFlow.
    start_tensorflow_alone()
    with without_notices():
        from pipeline.saliency.drise import MaskSettings
        from pipeline.saliency.explanation import explain_image
        from pipeline.saved_detectors.saved_detector import load_saved_detector

        detector = load_saved_detector(folder, labels)
    settings = MaskSettings(arguments.masks, arguments.cells, seed=arguments.seed, batch_size=arguments.batch_size)
    arguments.output.mkdir(parents=True, exist_ok=True)
    drawn = 0
    for path, content in encoded.items():
        explained = explain_image(
            detector,
            content,
            name=str(path),
            settings=settings,
            min_score=arguments.score,
            most=arguments.most,
            longest_pixels=arguments.longest,
        )
        print(f"{path}: {explained.described}", flush=True)
        for number, one in enumerate(explained.detections, start=1):
            picture = arguments.output / f"{names[path]}-{number}.png"
            one.picture.save(picture)
            print(f"  {picture}: {one.described}", flush=True)
        drawn += len(explained.detections)
    return 0 if drawn else 1


def _read(path: pathlib.Path) -> bytes:
    try:
        encoded = path.read_bytes()
        read_header(encoded)
    except OSError as error:
        raise ExplainError(f"{path}: cannot be read: {error.strerror}") from error
    except BadImageError as error:
        raise ExplainError(f"{path}: {error.kind}: {error.found}") from error
    return encoded


def _names(paths: Sequence[pathlib.Path]) -> dict[pathlib.Path, str]:
    """What the pictures of each image are called: as the image, with a number where several are called the same."""
    counts = collections.Counter(path.stem for path in paths)
    return {
        path: path.stem if counts[path.stem] == 1 else f"{path.stem}-of-{number}"
        for number, path in enumerate(paths, start=1)
    }
