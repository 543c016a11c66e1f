"""What commands that show detections have in common: which images, who is asked of them, and how answers are shown.

Whoever detects, a server or a model on this machine, is asked the same way.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Final

from serving.clients import drawing, image_files
from serving.clients.asking import Asked, Detector, ask
from serving.clients.outputs import FORMATS, Output, make_output

_PROGRESS_SECONDS: Final = 5.0
_INTERRUPTED: Final = 130


def add_images_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the images, as they are given on a command line."""
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="image file, folder, quoted pattern such as 'a/**/*.jpg', or - for a list of them on standard input",
    )


def add_shown_options(parser: argparse.ArgumentParser) -> None:
    """Adds those that say how answers are shown, in a group of their own."""
    shown = parser.add_argument_group("what is shown")
    shown.add_argument(
        "--score_threshold",
        type=float,
        help="leave out what is less certain (default: the model's own threshold of each class; 0.5 where it has none)",
    )
    shown.add_argument("--format", choices=FORMATS, default="table", help="default: %(default)s")
    shown.add_argument("--json", dest="format", action="store_const", const="jsonl", help="the same as --format jsonl")
    shown.add_argument("--output", type=pathlib.Path, metavar="DIR", help="write images with boxes there")


def check_shown_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Ends the program when one of `add_shown_options` has a value that means nothing."""
    if options.score_threshold is not None and not 0 <= options.score_threshold <= 1:
        parser.error(f"argument --score_threshold: must be 0 to 1, found {options.score_threshold}")


def find_images(options: argparse.Namespace) -> list[pathlib.Path]:
    """The image files that are meant; makes the folder of drawn ones. Ends the program where there are none."""
    try:
        patterns = [
            line
            for given in options.images
            for line in (sys.stdin.read().splitlines() if given == "-" else [given])
            if line.strip()
        ]
        paths = image_files.find(patterns)
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
    except (image_files.ImageFileError, OSError) as error:
        sys.exit(f"error: {error}")
    if not paths:
        sys.exit("error: there is no image to ask about")
    return paths


def ask_and_show(
    detector: Detector,
    paths: Sequence[pathlib.Path],
    options: argparse.Namespace,
    *,
    batch_images: int = 1,
    concurrency: int = 1,
) -> int:
    """Shows answers as they come. What came is kept, whatever ends it; what was not asked is said.

    Args:
      detector: who is asked.
      paths: of image files.
      options: with those of `add_shown_options`.
      batch_images: images in a request.
      concurrency: requests at once.

    Returns:
      The exit status: 0, all were answered; 1, some were not; 130, interrupted.
    """
    output = make_output(options.format, sys.stdout, max(len(str(path)) for path in paths))
    drawn_names: set[str] = set()
    done, failures, told, is_interrupted = 0, 0, time.monotonic(), False
    answers = ask(
        detector,
        paths,
        score_threshold=options.score_threshold,
        batch_images=batch_images,
        concurrency=concurrency,
    )
    try:
        for asked in answers:
            done += 1
            failures += _show(asked, output, options.output, drawn_names)
            if time.monotonic() - told >= _PROGRESS_SECONDS:
                told = time.monotonic()
                print(f"{done} of {len(paths)} images", file=sys.stderr)
    except KeyboardInterrupt:
        is_interrupted = True
    output.close()
    if options.output and drawn_names:
        print(f"{len(drawn_names)} images with boxes in {options.output}", file=sys.stderr)
    if done < len(paths):
        first = paths[done]
        print(f"error: {len(paths) - done} of {len(paths)} images have no answer, from {first} on", file=sys.stderr)
        failures += 1
    if is_interrupted:
        return _INTERRUPTED
    return 1 if failures else 0


def _show(asked: Asked, output: Output, folder: pathlib.Path | None, drawn_names: set[str]) -> int:
    """Prints and draws one answer; how many failures it is."""
    if asked.result is None or asked.image is None:
        print(f"error: {asked.error}", file=sys.stderr)
        return 1
    output.write(asked.result)
    if folder:
        drawn = drawing.draw_detections(asked.image.upright, asked.result.detections)
        drawn.save(folder / _drawn_name(asked.path, drawn_names), quality=92)
    return 0


def _drawn_name(path: pathlib.Path, taken: set[str]) -> str:
    """`a/street.png` -> `street_detected.jpg` (never the name of the original), the second `street_detected_2.jpg`."""
    name, number = f"{path.stem}_detected.jpg", 1
    while name in taken:
        number += 1
        name = f"{path.stem}_detected_{number}.jpg"
    taken.add(name)
    return name
