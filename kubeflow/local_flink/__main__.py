"""``python -m kubeflow.local_flink``: starts a Flink cluster here and prints the lines of a config for it."""

from __future__ import annotations

import argparse
import pathlib
import signal
import sys
import threading
from collections.abc import Sequence

import yaml

from components.user_error import UserError
from kubeflow.local_flink.cluster import LocalFlinkCluster
from kubeflow.local_flink.installation import install_flink


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0 told to end, 1 it cannot be installed or started, 2 usage."""
    parser = argparse.ArgumentParser(prog="python -m kubeflow.local_flink", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder", type=pathlib.Path, default=pathlib.Path("build/flink"), help="(default: %(default)s)"
    )
    parser.add_argument("--slots", type=int, default=1, help="the parallelism (default: %(default)s)")
    arguments = parser.parse_args(argv)
    told_to_end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_end.set())
    try:
        installation = install_flink(arguments.folder)
        with LocalFlinkCluster(installation, arguments.folder / "cluster", arguments.slots) as cluster:
            beam = {"runner": "FlinkRunner", "options": cluster.beam_options()}
            print(yaml.safe_dump({"beam": beam}, sort_keys=False), flush=True)
            told_to_end.wait()
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
