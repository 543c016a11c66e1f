"""Which trial is not worth its end: the median stopping rule (Golovin et al. 2017, "Google Vizier", section 3.2.2)."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

Curve = Sequence[tuple[int, float]]
"""(step, AP) of a training's evaluations, by rising step."""


def is_below_median(curve: Curve, finished: Sequence[Curve], fewest: int) -> bool:
    """Whether the best value of a trial so far is below the median of what others had reached at the same step.

    Args:
      curve: of the trial.
      finished: of trials that ran to their end.
      fewest: so many have to be finished.
    """
    if len(finished) < fewest or not curve:
        return False
    step = curve[-1][0]
    reached = [max((value for at, value in other if at <= step), default=0.0) for other in finished]
    return max(value for _, value in curve) < statistics.median(reached)
