"""The trials of the search for hyper-parameters."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Self

from components.report.section import Run, Section, TextPair, read_text, reading
from components.trainer.tuning.trials_file import TRIALS_FILE


@dataclasses.dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
      name: its number.
      values: of the hyper-parameters, as text by dotted key.
      average_precision: on ``eval``; None where it failed.
      steps, seconds: what it took.
      error: why it did not come to its end; empty when it did.
    """

    name: str
    values: Mapping[str, str]
    average_precision: float | None
    steps: int
    seconds: float
    error: str


@dataclasses.dataclass(frozen=True)
class Trials(Section):
    """The search.

    Attributes:
      trials: best first.
    """

    title = "Trials"
    template = "trials.html"

    trials: tuple[Trial, ...]

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Reads the artifact ``tuner_results``; None for a run without a search."""
        path = run.optional_file("tuner_results", TRIALS_FILE)
        if path is None:
            return None
        text = read_text(path)
        with reading(path):
            return cls(tuple(_trial(fields) for fields in json.loads(text)))

    @property
    def keys(self) -> list[str]:
        """What was searched."""
        return list(self.trials[0].values)

    def lines(self) -> Sequence[TextPair]:
        """The best, and how many there were."""
        best = self.trials[0]
        values = ", ".join(f"{key} {value}" for key, value in best.values.items())
        ended = sum(not trial.error for trial in self.trials)
        return (
            (
                self.title,
                f"{len(self.trials)}, {ended} to their end; best AP {best.average_precision or 0.0:.3f} on the split "
                f"eval: {values}",
            ),
        )


def _trial(fields: Mapping[str, Any]) -> Trial:
    values = {
        key: f"{value:.4g}" if isinstance(value, float) else json.dumps(value)
        for key, value in fields["values"].items()
    }
    return Trial(
        fields["trial"], values, fields["metrics"].get("AP"), fields["steps"], fields["seconds"], fields["error"]
    )
