"""``python -m pipeline config``: the documentation of every key, or a file checked and printed with its defaults."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from ruamel.yaml import YAML

from pipeline.config import PipelineConfig, load_config
from pipeline.config_errors import ConfigError
from pipeline.explain import explain


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0, or 2 when the config is wrong."""
    parser = argparse.ArgumentParser(prog="python -m pipeline config", description="Document or check the config.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--explain", action="store_true", help="print every key with its default and documentation")
    action.add_argument("--check", metavar="FILE", help="check a config file and print it with defaults filled in")
    arguments = parser.parse_args(argv)
    try:
        if arguments.explain:
            print(explain(PipelineConfig))
        else:
            YAML().dump(load_config(arguments.check).model_dump(mode="json"), sys.stdout)
        sys.stdout.flush()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:
        # `| head` has read enough; what is left to flush at the end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
