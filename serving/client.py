"""Asks a server (ours, or TF Serving itself) what is in images.

    python -m serving.client IMAGE... --server HOST:PORT --output DIR
    python -m serving.client IMAGE... --server https://HOST/PATH --format csv
    find . -name '*.jpg' | python -m serving.client - --format jsonl --concurrency 4 --batch 8

prints what was found as the answers come, and writes the images with boxes drawn. Asks over gRPC, or by TF Serving's
REST API where the address is a URL. From Python: `DetectorClient` in
`serving.clients.detector_client`. Exit status: 0, all were answered; 1, some were not (which ones stands on standard
error); 2, wrong arguments; 130, interrupted.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from serving.clients import drawing, image_files, server_options
from serving.clients.outputs import FORMATS, Output, make_output

if TYPE_CHECKING:
    from serving.clients.asking import Asked
    from serving.clients.detector_client import DetectorClient

_PROGRESS_SECONDS = 5.0
_INTERRUPTED = 130


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.client",
        description="Asks a detection server what is in images, and draws the answer.",
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="image file, folder, quoted pattern such as 'a/**/*.jpg', or - for a list of them on standard input",
    )
    server_options.add_server_options(parser)
    work = parser.add_argument_group("how")
    work.add_argument("--concurrency", type=int, default=1, help="requests at once (default: %(default)s)")
    work.add_argument("--batch", type=int, default=1, help="images in a request (default: %(default)s)")
    shown = parser.add_argument_group("what is shown")
    shown.add_argument(
        "--score_threshold",
        type=float,
        help="leave out what is less certain (default: the model's own threshold of each class; 0.5 where it has none)",
    )
    shown.add_argument("--format", choices=FORMATS, default="table", help="default: %(default)s")
    shown.add_argument("--json", dest="format", action="store_const", const="jsonl", help="the same as --format jsonl")
    shown.add_argument("--output", type=pathlib.Path, metavar="DIR", help="write images with boxes there")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = _arguments()
    options = parser.parse_args(arguments)
    _check(parser, options)
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
    try:
        client = server_options.make_client(options)
    except server_options.ServerOptionsError as error:
        sys.exit(f"error: {error}")
    with client:
        sys.exit(_ask_and_show(client, paths, options))


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if options.score_threshold is not None and not 0 <= options.score_threshold <= 1:
        parser.error(f"argument --score_threshold: must be 0 to 1, found {options.score_threshold}")
    for name in ("concurrency", "batch"):
        if getattr(options, name) <= 0:
            parser.error(f"argument --{name}: must be positive, found {getattr(options, name)}")
    server_options.check_server_options(parser, options)


def _ask_and_show(client: DetectorClient, paths: Sequence[pathlib.Path], options: argparse.Namespace) -> int:
    """Shows answers as they come. What came is kept, whatever ends it; what was not asked is said."""
    from serving.clients.asking import ask

    output = make_output(options.format, sys.stdout, max(len(str(path)) for path in paths))
    drawn_names: set[str] = set()
    done, failures, told, is_interrupted = 0, 0, time.monotonic(), False
    answers = ask(
        client,
        paths,
        score_threshold=options.score_threshold,
        batch_images=options.batch,
        concurrency=options.concurrency,
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


if __name__ == "__main__":
    main()
