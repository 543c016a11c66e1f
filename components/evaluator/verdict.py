"""The gate's decision on one model, as a person reads it and as it is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from components.evaluator.check import Check

_MOST_NOT_JUDGED: Final = 8


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The gate's decision on one model.

    Attributes:
      blessed: no check refuses it, or a person accepted it all the same.
      checks: one for each bound.
      is_compared: there was a last blessed model to compare with.
      model: its number in ML Metadata, for ``eval.gates.accept``.
      accepted_by: who blessed it by hand; empty where the gate did.
      accepted_because: why.
      notes: what else a person should know, e.g. that classes were left out.
    """

    blessed: bool
    checks: tuple[Check, ...]
    is_compared: bool
    model: int = 0
    accepted_by: str = ""
    accepted_because: str = ""
    notes: tuple[str, ...] = ()

    @property
    def decision(self) -> str:
        """The first line."""
        compared = "compared with the last blessed model" if self.is_compared else "no blessed model to compare with"
        if self.accepted_by:
            return f"blessed by hand by {self.accepted_by} ({self.accepted_because}), {compared}; the gate refuses it:"
        if not self.blessed:
            return f"not blessed ({compared}):"
        stati = {check.status for check in self.checks}
        if "cannot tell" in stati:
            met = "no threshold is missed for certain"
        elif "not judged" in {check.status for check in self.worth_a_line}:
            met = "every threshold that was judged is met"
        else:
            met = "every threshold met"
        return f"blessed: {met}, {compared}"

    @property
    def worth_a_line(self) -> tuple[Check, ...]:
        """The checks that are not simply met, those that refuse the model first."""
        compared_or_not = [
            check
            for check in self.checks
            # The decision says by itself that there was no model to compare with.
            if check.status != "not judged" or self.is_compared or check.kind == "minimum" or check.is_on_earlier_spans
        ]
        order = ("not met", "cannot tell", "not judged")
        told = [check for check in compared_or_not if check.status in order]
        return tuple(sorted(told, key=lambda check: (not check.refuses, order.index(check.status))))

    def lines(self) -> list[str]:
        """A line for the decision, one for each bound that is not simply met, and the notes."""
        told = [check for check in self.worth_a_line if check.status != "not judged"]
        not_judged = [check for check in self.worth_a_line if check.status == "not judged"]
        lines = [*map(str, told), *map(str, not_judged[:_MOST_NOT_JUDGED])]
        if len(not_judged) > _MOST_NOT_JUDGED:
            lines.append(f"not judged: {len(not_judged) - _MOST_NOT_JUDGED} further thresholds")
        if not self.blessed and self.model:
            lines.append(f"to bless it by hand: eval.gates.accept: {{by: NAME, reason: WHY, model: {self.model}}}")
        return [self.decision, *(f"  {line}" for line in (*lines, *self.notes))]

    def to_data(self) -> dict[str, Any]:
        """As JSON data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Verdict:
        """The inverse of ``to_data``."""
        checks = tuple(
            Check(**{**check, "slice_values": tuple((column, value) for column, value in check["slice_values"])})
            for check in data["checks"]
        )
        return cls(**{**data, "checks": checks, "notes": tuple(data["notes"])})
