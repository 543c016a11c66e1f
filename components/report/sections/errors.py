"""Which kinds of error the model makes, and what each costs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Final, Self

import numpy as np

from components.evaluator.analysis.error_types import ERROR_KINDS, ErrorCosts, ErrorKind, error_costs
from components.report.section import Run, Section, TextPair
from components.report.worst_classes import worst_classes

_MEANINGS: Final[dict[ErrorKind, str]] = {
    "classification": "in the right place, of another class",
    "localization": "of the right class, the box is off (IoU 0.1 to 0.5)",
    "both": "of another class, and the box is off",
    "duplicate": "an object found once more",
    "background": "there is nothing",
    "missed": "an object that no detection is about",
}
_SAID: Final[dict[ErrorKind, str]] = {
    "classification": "wrong classes",
    "localization": "inexact boxes",
    "both": "inexact boxes of wrong classes",
    "duplicate": "duplicates",
    "background": "background",
    "missed": "missed objects",
}
_MOST_SAID: Final = 2
_LEAST_SAID: Final = 0.005
"""AP50: less is said by nobody."""


@dataclasses.dataclass(frozen=True)
class ErrorRow:
    """One kind of error, or one of the two sums.

    Attributes:
      name, meaning: what it is.
      count: how many there are; None for a sum.
      cost: AP50 that they cost.
      before: AP50 that those of the last blessed model cost; NaN without one.
    """

    name: str
    meaning: str
    count: int | None
    cost: float
    before: float


@dataclasses.dataclass(frozen=True)
class ClassRow:
    """The errors of one class.

    Attributes:
      name: of the class.
      ap50: AP50.
      costs: AP50 that it would gain without each kind, in the order of ``ERROR_KINDS``.
    """

    name: str
    ap50: float
    costs: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Errors(Section):
    """The errors of the model by kind.

    Attributes:
      errors: of the model.
      before: of the last blessed model on the same images; None without one.
    """

    title = "Errors"
    template = "errors.html"

    errors: ErrorCosts
    before: ErrorCosts | None

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Computes them from the matches; None where there was nothing to find."""
        images = run.matches
        if images is None or not images.num_objects:
            return None
        before = None if images.baseline is None else error_costs(images, images.baseline)
        return cls(error_costs(images, images.candidate), before)

    def lines(self) -> Sequence[TextPair]:
        """The costliest kinds."""
        costly = [kind for kind in self.errors.costliest() if self.errors.cost(kind) >= _LEAST_SAID][:_MOST_SAID]
        said = [f"{_SAID[kind]} {self.errors.cost(kind):.3f} ({self.errors.count(kind)})" for kind in costly]
        return ((self.title, f"AP50 is lost most to {', '.join(said)}"),) if said else ()

    @property
    def rows(self) -> Sequence[ErrorRow]:
        """The kinds, then all false positives and all false negatives."""
        before = self.before
        return [
            *(
                ErrorRow(
                    kind,
                    _MEANINGS[kind],
                    self.errors.count(kind),
                    self.errors.cost(kind),
                    math.nan if before is None else before.cost(kind),
                )
                for kind in ERROR_KINDS
            ),
            ErrorRow(
                "all false positives",
                "every detection that is not right",
                None,
                self.errors.false_positive_cost,
                math.nan if before is None else before.false_positive_cost,
            ),
            ErrorRow(
                "all false negatives",
                "every object that was not found",
                None,
                self.errors.false_negative_cost,
                math.nan if before is None else before.false_negative_cost,
            ),
        ]

    @property
    def kinds(self) -> Sequence[str]:
        """Heads of the columns by class."""
        return ERROR_KINDS

    @property
    def _shown(self) -> tuple[list[int], int]:
        return worst_classes(np.where(np.isnan(self.errors.ap50), np.nan, self.errors.costs.sum(axis=1)).tolist())

    @property
    def classes(self) -> Sequence[ClassRow]:
        """The classes that errors cost most."""
        return [
            ClassRow(
                self.errors.class_names[place],
                float(self.errors.ap50[place]),
                tuple(self.errors.costs[place].tolist()),
            )
            for place in self._shown[0]
        ]

    @property
    def not_shown(self) -> int:
        """Classes that are not among them."""
        return self._shown[1]
