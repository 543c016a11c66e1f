"""``python -m pipeline worker``: Beam's workers beside a task manager, for ``environment_type: EXTERNAL``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from components.user_error import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0 told to end, 1 it cannot listen or import, 2 usage."""
    parser = argparse.ArgumentParser(prog="python -m pipeline worker", description=__doc__.splitlines()[0])
    parser.add_argument("--address", default="127.0.0.1", help="the one address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=50000, help="its port (default: %(default)s); 0 takes a free one")
    arguments = parser.parse_args(argv)
    # Behind the options: importing Beam takes seconds.
    from pipeline.tensorflow_environment import prepare_tensorflow

    prepare_tensorflow()
    from pipeline.worker_pool import serve

    try:
        serve(arguments.address, arguments.port)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
