"""``python -m pipeline run --config FILE [--set KEY=VALUE ...]``: a run on this machine, without the TFX CLI."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence

from components.user_error import UserError
from pipeline.config import load_config
from pipeline.config_errors import ConfigError
from pipeline.preflight import check_files
from pipeline.tensorflow_environment import start_tensorflow


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0 the run succeeded (blessed or not), 1 it failed, 2 the config is wrong."""
    parser = argparse.ArgumentParser(prog="python -m pipeline run", description="Run a pipeline on this machine.")
    parser.add_argument("--config", type=pathlib.Path, required=True, help="the YAML file that describes the pipeline")
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="overrides a key of the file, for example train.steps=200 (may be repeated)",
    )
    arguments = parser.parse_args(argv)
    try:
        config = load_config(arguments.config, arguments.overrides)
        check_files(config)
        # Behind the checks: importing TFX takes 10 s and more, a typing error should not.
        start_tensorflow()
        from pipeline.local_run import run_locally

        run_locally(config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
