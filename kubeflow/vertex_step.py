"""The entry point of a step on Vertex AI: TFX's own, after choosing the span for ExampleGen.

On Vertex no driver runs before an executor. ExampleGen's executor expects the span folders that its driver would have
chosen; this puts them among its parameters.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, Final

from components.example_gen.keys import SETTINGS, SPANS
from components.example_gen.settings import DataSettings
from components.example_gen.spans import resolve_spans, spans_to_json

EXAMPLE_GEN_EXECUTOR: Final = "components.example_gen.executor.Executor"
_INVOCATION_FLAG: Final = "--json_serialized_invocation_args"


def with_spans(argv: Sequence[str]) -> list[str]:
    """The command line, with the span folders when it is ExampleGen's.

    Raises:
      DataError: no folder matches ``data.path``.
    """
    arguments = list(argv)
    if EXAMPLE_GEN_EXECUTOR not in arguments:
        return arguments
    position = arguments.index(_INVOCATION_FLAG) + 1
    invocation: dict[str, Any] = json.loads(arguments[position])
    parameters = invocation["inputs"]["parameters"]
    settings = DataSettings.model_validate_json(parameters[SETTINGS]["stringValue"])
    parameters[SPANS] = {"stringValue": spans_to_json(resolve_spans(settings))}
    arguments[position] = json.dumps(invocation)
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    arguments = with_spans(sys.argv[1:] if argv is None else argv)
    from absl import app
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as tfx_entry_point

    app.run(main=tfx_entry_point.main, argv=[sys.argv[0], *arguments], flags_parser=tfx_entry_point._parse_flags)


if __name__ == "__main__":
    main()
