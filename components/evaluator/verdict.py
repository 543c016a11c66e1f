"""The gate's decision on one model, as a person reads it and as it is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from components.evaluator.check import Check

_MOST_OF_A_STATUS: Final = 8


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
    def comparison(self) -> str:
        """Whether there was a model to compare with."""
        return "compared with the last blessed model" if self.is_compared else "no blessed model to compare with"

    @property
    def grounds(self) -> str:
        """What a blessing by the gate rests on."""
        if any(check.status == "cannot tell" for check in self.checks):
            return "no threshold is missed for certain"
        if any(check.status == "not judged" for check in self.worth_a_line):
            return "every threshold that was judged is met"
        return "every threshold met"

    @property
    def decision(self) -> str:
        """The first line."""
        if self.accepted_by:
            by = f"{self.accepted_by} ({self.accepted_because})"
            return f"blessed by hand by {by}, {self.comparison}; the gate refuses it:"
        if not self.blessed:
            return f"not blessed ({self.comparison}):"
        return f"blessed: {self.grounds}, {self.comparison}"

    @property
    def way_out(self) -> str:
        """How a person can bless it all the same; empty where it is blessed, or has no number yet."""
        if self.blessed or not self.model:
            return ""
        return f"to bless it by hand: eval.gates.accept: {{by: NAME, reason: WHY, model: {self.model}}}"

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
        """A line for the decision, for each bound that refuses it, for some of those not known to be met; the notes."""
        lines = [str(check) for check in self.worth_a_line if check.refuses]
        for status in ("cannot tell", "not judged"):
            told = [check for check in self.worth_a_line if check.status == status and not check.refuses]
            lines += map(str, told[:_MOST_OF_A_STATUS])
            if len(told) > _MOST_OF_A_STATUS:
                lines.append(f"{status}: {len(told) - _MOST_OF_A_STATUS} further thresholds")
        return [self.decision, *(f"  {line}" for line in (*lines, *filter(None, [self.way_out]), *self.notes))]

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
