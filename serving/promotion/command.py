"""The command line that promotion and rollback have in common."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from schema.exported_model import MODEL_NAME
from serving.clients.server_options import (
    ServerOptionsError,
    add_connection_options,
    check_connection_options,
    connection_to,
)

if TYPE_CHECKING:
    from serving.promotion.history import Move
    from serving.promotion.moving import Request

_REFUSED = 2


def parser(prog: str, description: str) -> argparse.ArgumentParser:
    """A parser of the flags that both have."""
    made = argparse.ArgumentParser(prog=prog, description=description)
    made.add_argument("--label", required=True, help="which label to move, such as stable or canary")
    made.add_argument("--config", type=pathlib.Path, default=pathlib.Path("models.config"), help="default: %(default)s")
    made.add_argument("--model_name", default=MODEL_NAME, help="default: %(default)s")
    made.add_argument(
        "--model_base_path",
        type=pathlib.Path,
        help="folder of versions as this machine sees it; default: as in the config",
    )
    made.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="change this server now and not when it looks at the file; once for each server",
    )
    add_connection_options(made.add_argument_group("how the servers are reached"))
    made.add_argument(
        "--timeout_seconds", type=float, default=120.0, help="for a server to load the version (default: %(default)s)"
    )
    made.add_argument("--why", default="", help="a line for the history")
    made.add_argument(
        "--dry_run", action="store_true", help="check everything that needs no change, and say what it would be"
    )
    return made


def check(made: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Ends the program when a flag has a value that means nothing."""
    if not options.label.strip():
        made.error("argument --label: is empty")
    if options.timeout_seconds <= 0:
        made.error(f"argument --timeout_seconds: must be positive, found {options.timeout_seconds}")
    check_connection_options(made, options, options.server)


def run(options: argparse.Namespace, move: Callable[[Request], Move | None]) -> int:
    """Moves a label and says so. Exit status: 0 moved, or it was there already; 2 refused, and nothing is changed."""
    # Here and not at the top: --help and a wrong flag need neither gRPC nor the protos.
    from serving.promotion.errors import PromotionError
    from serving.promotion.moving import Request

    try:
        servers = [connection_to(server, options, timeout_seconds=options.timeout_seconds) for server in options.server]
        request = Request(
            options.config,
            options.model_name,
            options.label,
            options.why,
            servers,
            options.model_base_path,
            options.dry_run,
        )
        made = move(request)
    except (PromotionError, ServerOptionsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return _REFUSED
    if made is None:
        print(f"{options.model_name}: {options.label} names that version already")
        return 0
    left = "new" if made.from_version is None else str(made.from_version)
    print(f"{'would move ' if options.dry_run else ''}{made.model}: {made.label} {left} -> {made.to_version}")
    return 0
