"""The first step of a run: ``python -m kubeflow.start_check`` finds out in minutes what would cost the others hours.

That its pod comes up says that image, secrets and volumes are there; then it looks for root and metadata store as every
step does. A pod whose image cannot be pulled waits until its time is over, and steps of the graph have hours; this one
has minutes, so that a run that cannot start fails, and the webhook hears of it, soon.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from kubeflow.metadata_store import UnreachableError
from kubeflow.node import EXIT_CONFIG, EXIT_UNREACHABLE, check_run_id, reach, say
from kubeflow.step_config import add_config_arguments, config_from_arguments
from pipeline.config_errors import ConfigError


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0 a run can start, 2 config, 3 root or store out of reach."""
    parser = argparse.ArgumentParser(prog="python -m kubeflow.start_check", description=__doc__.splitlines()[0])
    add_config_arguments(parser)
    arguments = parser.parse_args(argv)
    try:
        check_run_id(arguments.run_id)
        config = config_from_arguments(arguments)
        address = reach(config)
    except ConfigError as error:
        say(str(error))
        return EXIT_CONFIG
    except UnreachableError as error:
        say(f"run {arguments.run_id} cannot start: {error}")
        return EXIT_UNREACHABLE
    print(f"root {config.pipeline_root} and metadata store {address} are there", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
