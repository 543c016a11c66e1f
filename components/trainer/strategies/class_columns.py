"""The weights of a detector that belong to single classes: what they start from, and how fast they learn."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from components.detector.detector import Detector
from components.detector.structures import ClassRows
from components.trainer.optimizer import RateFactor


def start_from_other_classes(detector: Detector, classes: Sequence[int], others: Sequence[int]) -> None:
    """Sets the weights of some classes to what those of others have in common.

    A column of a head by cosines gets the mean direction, and the mean length, of the other classes' columns, which is
    what tells their objects from background; biases, and boxes of single classes, get the mean. Background keeps its.

    Args:
      detector: has learnt the others.
      classes: 0-based.
      others: 0-based; none of ``classes``, and no index without a class, whose column knows nothing of objects.
    """
    variables = detector.zoo_variables()
    for key, rows in detector.class_rows().items():
        columns = _columns(variables[key], rows)  # [D, groups, background + classes, values]
        own = rows.background + np.array(classes)
        learnt = columns[:, :, rows.background + np.array(others)]  # [D, groups, others, values]
        common = learnt.mean(axis=2, keepdims=True)
        if "/_class_predictor_layers/" in key and not key.endswith("/bias"):
            lengths = np.linalg.norm(learnt, axis=0, keepdims=True)
            direction = (learnt / lengths).mean(axis=2, keepdims=True)
            common = direction / np.linalg.norm(direction, axis=0, keepdims=True) * lengths.mean(axis=2, keepdims=True)
        columns[:, :, own] = common
        variables[key].assign(columns.reshape(variables[key].shape))


def column_rates(
    detector: Detector, variables: Sequence[keras.Variable], classes: Sequence[int], others: float
) -> list[RateFactor]:
    """Factors on the learning rates of variables: 1 for what belongs to some classes alone, ``others`` for the rest.

    Args:
      detector: that has the variables.
      variables: those that learn.
      classes: 0-based.
      others: of all other classes, and of variables that are no class's.
    """
    ours = detector.zoo_variables()
    rows_by_variable = {id(ours[key]): rows for key, rows in detector.class_rows().items()}
    factors: list[RateFactor] = []
    for variable in variables:
        rows = rows_by_variable.get(id(variable))
        if rows is None:
            factors.append(others)
            continue
        columns = _columns(np.full(variable.shape[-1:], others), rows)
        columns[:, :, rows.background + np.array(classes)] = 1.0
        factors.append(columns.reshape(-1).astype(np.float32))
    return factors


def _columns(values: keras.Variable | np.ndarray, rows: ClassRows) -> np.ndarray:
    """float64 [D, groups, background + classes, values]; D is 1 for a bias."""
    array = np.array(values, np.float64)
    return array.reshape(int(np.prod(array.shape[:-1])), rows.groups, -1, rows.values)
