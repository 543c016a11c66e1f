"""Where the model went, and how it is served."""

from __future__ import annotations

import dataclasses
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import Self

import tensorflow as tf

from components.report.section import Run, Section, TextPair, reading
from schema.exported_model import MODEL_NAME


@dataclasses.dataclass(frozen=True)
class Push(Section):
    """What was pushed.

    Attributes:
      pushed_to: the pushed version's folder; None when nothing was pushed.
      was_judged: the run got as far as the gate.
      serve_command: answers requests with what was pushed last; None when nothing ever was.
    """

    title = "Pushed"
    template = "push.html"

    pushed_to: str | None
    was_judged: bool
    serve_command: str | None

    @classmethod
    def read(cls, run: Run) -> Self:
        """Looks into the folder of the served model."""
        was_judged = run.record.uri("evaluation") is not None
        return cls(run.record.pushed_to, was_judged, _serve_command(run.push_directory))

    def lines(self) -> Sequence[TextPair]:
        """The folder and the command."""
        pushed = self.pushed_to or ("nothing" if self.was_judged else "")
        return [(name, text) for name, text in ((self.title, pushed), ("Serve", self.serve_command)) if text]


def _serve_command(push_directory: str | None) -> str | None:
    if not push_directory:
        return None
    with reading(push_directory):
        if not tf.io.gfile.exists(push_directory) or not tf.io.gfile.listdir(push_directory):
            return None
    python, here = pathlib.Path(sys.executable), pathlib.Path.cwd()
    # The interpreter of this run: another may lack what the server needs.
    shown = python.relative_to(here) if python.is_relative_to(here) else python
    server = [str(shown), "-m", "serving.server", "--model_base_path", push_directory]
    return shlex.join([*server, "--model_name", MODEL_NAME, "--port", "8500"])
