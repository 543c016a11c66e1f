"""``python -m pipeline runs``: the runs of a pipeline, the newest first."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from components.user_error import UserError
from pipeline.config_errors import ConfigError
from pipeline.past_runs.run_store import add_store_arguments, store_of
from pipeline.tensorflow_environment import start_tensorflow_alone, without_notices


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0, 1 when the pipeline has not run, 2 when the config is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline runs",
        description="List the runs of a pipeline, the newest first: how each ended, on which span, AP on the split "
        "that its model was judged on, the verdict, and the version that was pushed.",
    )
    add_store_arguments(parser)
    parser.add_argument("--limit", type=int, default=20, help="so many of the newest; 0 for all (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    arguments = parser.parse_args(argv)
    if arguments.limit < 0:
        parser.error(f"--limit: found {arguments.limit}, expected a number of runs, or 0 for all")
    try:
        store = store_of(arguments)
        # One more, to know whether there are more.
        records = store.read(arguments.limit + 1 if arguments.limit else None)
        shown = records[: arguments.limit or None]
        # Behind the checks: it imports TensorFlow and TFMA.
        start_tensorflow_alone()
        with without_notices():
            from pipeline.past_runs.run_summary import summarize, table
            from pipeline.quiet_log import quieten

            quieten()
            summaries = summarize(shown)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps([summary.to_json() for summary in summaries], indent=2))
        return 0
    print("\n".join(table(summaries)) if summaries else f"the pipeline {store.pipeline_name!r} has no runs")
    if len(records) > len(shown):
        print(f"older ones: --limit {2 * arguments.limit}, or 0 for all")
    return 0
