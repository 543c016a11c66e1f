"""How much each class counts in the classification loss (``train.class_weights``)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from components.user_error import UserError
from schema.label_map import LabelMap

_BETA: Final = 0.999
"""Of the effective number; the paper's best on long tails of some hundred objects in a class."""


class ClassWeightsError(UserError):
    """``train.class_weights`` names what there is not."""


def class_weights(
    setting: Mapping[str, float] | Literal["balanced", "effective_number"],
    counts: Mapping[str, int],
    label_map: LabelMap,
) -> NDArray[np.float32]:
    """The factor of each class, float32 [classes], by 0-based index.

    Args:
      setting: factors by class name, 1 for those that are not named; ``balanced``: inverse to the number of boxes, 1
        for a box on average; ``effective_number``: inverse to that of Cui et al. 2019 ("Class-Balanced Loss Based on
        Effective Number of Samples", equation 4), 1 for a class on average.
      counts: boxes of the training images by class name.
      label_map: the classes; a class without a box has the factor 1.

    Raises:
      ClassWeightsError: a name that is no class.
    """
    if isinstance(setting, Mapping):
        for name in setting:
            if name not in label_map.names:
                near = difflib.get_close_matches(name, label_map.names, n=1)
                raise ClassWeightsError(
                    f"train.class_weights: there is no class {name!r}"
                    + (f"; did you mean {near[0]!r}?" if near else "")
                    + f" (there are {', '.join(sorted(label_map.names)[:20])}"
                    + (" and more)" if len(label_map.names) > 20 else ")")
                )
        by_name = dict(setting)
    else:
        seen = {name: counts[name] for name in label_map.names if counts.get(name)}
        if setting == "balanced":
            total = sum(seen.values())
            by_name = {name: total / (len(seen) * count) for name, count in seen.items()}
        else:
            inverse = {name: (1.0 - _BETA) / (1.0 - _BETA**count) for name, count in seen.items()}
            by_name = {name: value * len(seen) / sum(inverse.values()) for name, value in inverse.items()}
    weights = np.ones(label_map.ids[-1], np.float32)
    for class_id, name in label_map:
        weights[class_id - 1] = by_name.get(name, 1.0)
    return weights
