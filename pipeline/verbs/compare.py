"""``python -m pipeline compare --config FILE``: ways of transfer on one data set beside each other, and the choice."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence

from components.trainer.strategies.settings.ladder import LADDER, rungs
from components.user_error import UserError
from pipeline.comparison_plan import Plan, parse_sizes
from pipeline.config import load_config
from pipeline.config_errors import ConfigError
from pipeline.preflight import check_files
from pipeline.tensorflow_environment import start_tensorflow


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0 there is a choice, 1 every training failed, 2 the config or an argument is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline compare",
        description="Compare ways of transfer on one data set: AP against labelled images and seconds, and the choice. "
        "Started again, it goes on where it was.",
    )
    parser.add_argument("--config", type=pathlib.Path, required=True, help="the YAML file that describes the pipeline")
    parser.add_argument(
        "--sizes",
        default="25,50,100,all",
        help="numbers of labelled images, with :N for so many seeds, as in 25,all:1 (default: %(default)s)",
    )
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind (default: %(default)s)")
    equal = parser.add_mutually_exclusive_group()
    equal.add_argument("--steps", type=int, help="of each training (default: those of the config)")
    equal.add_argument("--seconds", type=float, help="of each training, in place of the same number of steps")
    parser.add_argument(
        "--strategies",
        default="",
        help=f"rungs of the ladder, with commas (default: all of {','.join(rung.name for rung in LADDER)})",
    )
    parser.add_argument("--output", type=pathlib.Path, help="folder (default: <root>/<name>/comparison)")
    parser.add_argument(
        "--set", dest="overrides", metavar="KEY=VALUE", action="append", default=[], help="overrides a key of the file"
    )
    arguments = parser.parse_args(argv)
    for name in ("steps", "seconds", "seeds"):
        value = getattr(arguments, name)
        if value is not None and value <= 0:
            parser.error(f"--{name}: found {value}, expected more than 0")
    try:
        sizes = parse_sizes(arguments.sizes, arguments.seeds)
        chosen = rungs([name.strip() for name in arguments.strategies.split(",") if name.strip()])
    except ValueError as error:
        parser.error(str(error))
    try:
        config = load_config(arguments.config, arguments.overrides)
        check_files(config)
        # Behind the checks: importing TFX takes 10 s and more.
        start_tensorflow()
        from pipeline.comparison_run import compare

        output = arguments.output or config.pipeline_root / "comparison"
        summary = compare(config, Plan(sizes, chosen, arguments.steps, arguments.seconds), output.absolute())
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if summary.choice else 1
