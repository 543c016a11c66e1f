"""Which classes are taken for which."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final, Self

import numpy as np

from components.evaluator.analysis.confusion import Confusions, confusions
from components.evaluator.analysis.operating_point import Rule, point_of
from components.evaluator.analysis.precision_recall import rankings, together
from components.report.section import Run, Section, TextPair
from components.report.worst_classes import MOST_CLASSES, worst_classes

_MOST_SAID: Final = 3
_LEAST_SAID: Final = 2
"""Objects: one that is taken for something else happens."""
_MOST_LISTED: Final = 20


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell of the matrix.

    Attributes:
      count: objects, or false alarms.
      share: of the row.
      kind: ``right``, ``wrong``, or ``lost`` for missed objects and false alarms.
    """

    count: int
    share: float
    kind: str


@dataclasses.dataclass(frozen=True)
class Confusion(Section):
    """The confusion matrix.

    Attributes:
      confusions: of the model, at the score that has the best F1 of all classes together.
    """

    title = "Confusion"
    template = "confusion.html"

    confusions: Confusions

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Computes it from the matches; None where there was nothing to find, or nothing was found."""
        images = run.matches
        if images is None:
            return None
        point = point_of(together(rankings(images, images.candidate)), Rule())
        return None if point is None else cls(confusions(images, images.candidate, score=point.threshold))

    def lines(self) -> Sequence[TextPair]:
        """The classes that are confused most, if any are again and again."""
        often = [pair for pair in self.confusions.most_confused() if pair[2] >= _LEAST_SAID][:_MOST_SAID]
        said = [f"{there} taken for {found} {count} times ({share:.0%})" for there, found, count, share in often]
        return ((self.title, ", ".join(said)),) if said else ()

    @property
    def listed(self) -> Sequence[tuple[str, str, int, float]]:
        """The most frequent confusions."""
        return self.confusions.most_confused()[:_MOST_LISTED]

    @property
    def not_listed(self) -> int:
        """Pairs of classes that are not among them."""
        return len(self.confusions.most_confused()) - len(self.listed)

    @property
    def others(self) -> int:
        """Classes that have no row and column of their own."""
        return len(self.confusions.class_names) - len(self._shown)

    @property
    def heads(self) -> Sequence[str]:
        """Of the columns, and of the rows but for the last."""
        return [*(self.confusions.class_names[place] for place in self._shown), *(["others"] if self.others else [])]

    @property
    def rows(self) -> Sequence[tuple[str, Sequence[Cell]]]:
        """Rows by name, each with the cells of ``heads`` and the missed objects; the last one is the false alarms'."""
        num_classes = len(self.confusions.class_names)
        rest = [place for place in range(num_classes) if place not in self._shown]
        groups = [*([place] for place in self._shown), *([rest] if rest else []), [num_classes]]
        folded = np.array([[self.confusions.matrix[np.ix_(row, column)].sum() for column in groups] for row in groups])
        totals = np.maximum(folded.sum(axis=1), 1)
        last = len(groups) - 1
        return [
            (
                name,
                [
                    Cell(
                        int(folded[row, column]),
                        float(folded[row, column] / totals[row]),
                        "lost" if last in (row, column) else "right" if row == column else "wrong",
                    )
                    for column in range(len(groups))
                    if not row == column == last
                ],
            )
            for row, name in enumerate([*self.heads, "nothing there"])
        ]

    @property
    def _shown(self) -> list[int]:
        """All classes in their order, of many those with the most confusions."""
        wrong = self.confusions.matrix[:-1, :-1].copy()
        np.fill_diagonal(wrong, 0)
        if len(wrong) <= MOST_CLASSES:
            return list(range(len(wrong)))
        return sorted(worst_classes((wrong.sum(axis=0) + wrong.sum(axis=1)).tolist())[0])
