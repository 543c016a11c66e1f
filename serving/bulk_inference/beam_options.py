"""Which words of a command line are ours, which are Beam's, and which are nobody's."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import Any, Final

from serving.bulk_inference.errors import BulkError

_LIKE: Final = 0.8
"""How alike (of `difflib`, 0..1) an unknown option is to one of ours when it is taken for that one, misspelt."""
_RUNNER: Final = "--runner=FnApiRunner"
"""Where none is named: Beam's runner in Python. What Beam takes by itself first tries to download another, which knows
nothing of `--direct_num_workers`."""


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str], list[str]]:
    """Our options, what else stands among them, and what stands behind `--`.

    Ends the program when an option is one of ours misspelt. Beam is not imported for that.
    """
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    options, others = parser.parse_known_args(words[:end])
    ours = [name for action in parser._actions for name in action.option_strings]
    for word in others:
        name = word.partition("=")[0]
        near = difflib.get_close_matches(name, ours, n=1, cutoff=_LIKE) if name.startswith("--") else []
        if near:
            parser.error(f"unrecognized argument: {name}; did you mean {near[0]}? (Beam's own may stand behind --)")
    return options, others, words[end + 1 :]


def pipeline_options(others: Sequence[str], verbatim: Sequence[str]) -> Any:
    """Beam's `PipelineOptions`.

    Args:
      others: options that are to be Beam's.
      verbatim: what is handed on as it is: a runner of somebody else's may know it.

    Raises:
      BulkError: Beam does not know one of `others`, or the runner.
    """
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
    from apache_beam.runners import create_runner

    _check_known(others, PipelineOptions(list(others)))
    flags = [*others, *verbatim]
    runner = PipelineOptions(flags).view_as(StandardOptions).runner
    if runner is None:
        return PipelineOptions([*flags, _RUNNER])
    try:
        create_runner(runner)
    except (ValueError, ImportError, AttributeError) as error:
        raise BulkError(f"argument --runner: {error}") from error
    return PipelineOptions(flags)


def _check_known(others: Sequence[str], parsed: Any) -> None:
    stray = [word for word in others[:1] if not word.startswith("--")]
    known = parsed.get_all_options()
    # Beam keeps an unknown option under its name when it is asked to, and takes the word behind it for its value.
    unknown = [f"--{name}" for name in parsed.get_all_options(retain_unknown_options=True) if name not in known]
    for name in (*stray, *unknown):
        near = difflib.get_close_matches(name, [f"--{option}" for option in known], n=1)
        raise BulkError(
            f"unrecognized argument: {name}; neither this command nor Beam knows it"
            + (f", did you mean {near[0]}?" if near else "")
            + " An option of a runner that Beam does not know may stand behind --"
        )
