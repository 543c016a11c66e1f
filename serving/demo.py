"""A page to try a served model on: drop pictures on it, or use the camera.

    python -m serving.demo --server localhost:8500

serves it on a free port of this machine and prints the address. The browser asks this program, and this program asks
the model server, with the options that `serving.client` has.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
import webbrowser
from collections.abc import Sequence
from typing import TYPE_CHECKING

from serving.clients import server_options

if TYPE_CHECKING:
    from serving.demo_page.page_server import PageServer

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.demo", description="Serves a page on which a model that is served can be tried."
    )
    server_options.add_server_options(parser)
    page = parser.add_argument_group("the page")
    page.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for other machines (default: %(default)s)"
    )
    page.add_argument("--port", type=int, default=0, help="default: a free one")
    page.add_argument("--open", action="store_true", help="open it in the browser")
    page.add_argument(
        "--allowed_host",
        action="append",
        default=[],
        metavar="NAME",
        help="a host name under which the page may be asked for, beside localhost and IP addresses; may be repeated",
    )
    page.add_argument(
        "--score_threshold", type=float, default=0.5, help="where the sliders stand at first (default: %(default)s)"
    )
    page.add_argument("--max_image_mib", type=int, default=16, help="largest image file (default: %(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exit status: 0, interrupted, which is how it ends; 1, the port or a file is of no use."""
    parser = _arguments()
    options = parser.parse_args(arguments)
    _check(parser, options)
    # Here and not at the top: a wrong flag should not wait for grpc.
    from serving.demo_page.answers import PageAnswers
    from serving.demo_page.page_server import PageServer

    try:
        client = server_options.make_client(options)
    except server_options.ServerOptionsError as error:
        sys.exit(f"error: {error}")
    with client:
        answers = PageAnswers(
            client, options.model_name, options.server, options.score_threshold, options.max_image_mib
        )
        try:
            server = PageServer(answers, options.host, options.port, options.allowed_host)
        except OSError as error:
            sys.exit(f"error: --host {options.host} --port {options.port}: {error}")
        _serve(server, options)


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if not 0 <= options.port <= 65535:
        parser.error(f"argument --port: must be 0 to 65535, found {options.port}")
    if not 0 <= options.score_threshold <= 1:
        parser.error(f"argument --score_threshold: must be 0 to 1, found {options.score_threshold}")
    if options.max_image_mib <= 0:
        parser.error(f"argument --max_image_mib: must be positive, found {options.max_image_mib}")
    server_options.check_server_options(parser, options)


def _serve(server: PageServer, options: argparse.Namespace) -> None:
    print(f"{server.address} is the page; Ctrl-C ends it", flush=True)
    if options.host not in _LOOPBACK:
        print("whoever reaches this address can ask the model server through it", file=sys.stderr, flush=True)
    with contextlib.suppress(KeyboardInterrupt), server:
        model = server.answers.model().document
        if model["error"]:
            print(f"the page says, until it changes: {model['error']}", file=sys.stderr, flush=True)
        if options.open:
            webbrowser.open(server.address)
        threading.Event().wait()


if __name__ == "__main__":
    main()
