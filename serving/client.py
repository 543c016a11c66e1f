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
import sys
from collections.abc import Sequence

from serving.clients import server_options, showing


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.client",
        description="Asks a detection server what is in images, and draws the answer.",
    )
    showing.add_images_argument(parser)
    server_options.add_server_options(parser)
    work = parser.add_argument_group("how")
    work.add_argument("--concurrency", type=int, default=1, help="requests at once (default: %(default)s)")
    work.add_argument("--batch", type=int, default=1, help="images in a request (default: %(default)s)")
    showing.add_shown_options(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = _arguments()
    options = parser.parse_args(arguments)
    _check(parser, options)
    paths = showing.find_images(options)
    try:
        client = server_options.make_client(options)
    except server_options.ServerOptionsError as error:
        sys.exit(f"error: {error}")
    with client:
        sys.exit(
            showing.ask_and_show(client, paths, options, batch_images=options.batch, concurrency=options.concurrency)
        )


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    showing.check_shown_options(parser, options)
    for name in ("concurrency", "batch"):
        if getattr(options, name) <= 0:
            parser.error(f"argument --{name}: must be positive, found {getattr(options, name)}")
    server_options.check_server_options(parser, options)


if __name__ == "__main__":
    main()
