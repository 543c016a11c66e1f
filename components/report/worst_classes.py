"""Which classes a page shows when there are more than a person reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

MOST_CLASSES: Final = 20


def worst_classes(badness: Sequence[float], most: int = MOST_CLASSES) -> tuple[list[int], int]:
    """Places of the worst classes, the worst first, and how many more there are.

    Args:
      badness: by class; one that is NaN has nothing to show and is not counted.
      most: to show.
    """
    values = np.asarray(badness, np.float64)
    order = [int(place) for place in np.argsort(-values, kind="stable") if not np.isnan(values[place])]
    return order[:most], max(len(order) - most, 0)
