"""``python -m pipeline report RUN``: summary and page of an earlier run, made anew from what it left."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from components.user_error import UserError
from pipeline.config_errors import ConfigError
from pipeline.past_runs.run_store import LATEST, add_store_arguments, store_of
from pipeline.tensorflow_environment import start_tensorflow_alone, without_notices


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0, 1 when there is no such run, 2 when the config is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline report",
        description="Print the summary of an earlier run and make its page anew, from what is left of its artifacts.",
    )
    parser.add_argument("run", metavar="RUN", help=f"id of the run, a part that no other has, or `{LATEST}`")
    add_store_arguments(parser)
    arguments = parser.parse_args(argv)
    try:
        store = store_of(arguments)
        record = store.find(arguments.run)
        # Behind the checks: it imports TensorFlow and TFMA.
        start_tensorflow_alone()
        with without_notices():
            from components.report.run_report import print_report
            from pipeline.quiet_log import quieten

            quieten()
            print_report(record, store.push_directory, store.reports_directory, store.card)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
