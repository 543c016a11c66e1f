"""The one door: ``python -m pipeline VERB`` hands the rest of the command line to ``pipeline/verbs/VERB.py``.

A new verb is a file there with ``main(argv) -> exit status``, and a line here. Nothing is imported for the other ones.
"""

from __future__ import annotations

import difflib
import importlib
import signal
import sys
from collections.abc import Sequence
from typing import Final

from schema.installation import everything_for

VERBS: Final = {
    "run": "run a pipeline on this machine",
    "runs": "list the runs of a pipeline: how they ended, how good their models are, what was pushed",
    "report": "print the summary of an earlier run and make its page anew",
    "config": "document every key of the config, or check a file",
    "doctor": "say what a data folder holds, what is wrong with it, and how to start",
    "evaluate": "measure a SavedModel, ours or of the TF2 Detection Zoo, on annotated images, without a training",
    "explain": "draw which pixels a detection stands on (what the keys of a config mean: config --explain)",
    "augmentations": "draw training images as they are learnt",
    "compare": "train in several ways of transfer on one data set, and say which to take",
    "drift": "compare what a server was asked with what the model was trained beside, and choose images to label",
    "worker": "start workers for Beam beside a task manager of Flink or Spark",
    "inspect": "say what a checkpoint holds and which detector it fits",
}
"""What each verb does, in a line."""
_INTERRUPTED: Final = 128 + signal.SIGINT


def _help() -> str:
    verbs = (f"  {verb:<13} {line}" for verb, line in VERBS.items())
    return "\n".join(
        ["usage: python -m pipeline VERB ...", "", *verbs, "", "`python -m pipeline VERB --help` says more."]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: the verb's; 2 when there is no such verb, 130 (as in a shell) after Ctrl-C."""
    verb, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if verb in ("-h", "--help"):
        print(_help())
        return 0
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        print(f"python -m pipeline: there is no verb {verb!r}{hint} It has {', '.join(VERBS)}.", file=sys.stderr)
        return 2
    try:
        with everything_for(f"python -m pipeline {verb}"):
            return int(importlib.import_module(f"pipeline.verbs.{verb}").main(rest))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED


if __name__ == "__main__":
    raise SystemExit(main())
