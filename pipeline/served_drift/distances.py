"""How far two sets of images, or of answers, are apart: numbers in 0..1 that do not grow with the sets.

Of small sets they are large by chance alone; the functions ``*_by_chance`` say what one set in two hundred of one kind
reaches, taking images to be drawn one by one. Frames of one camera are fewer than they look.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Floats = npt.NDArray[np.float64]
_COMPONENTS = 16
_FOLDS = 5
_CHANCE = 0.005
_CHANCE_DEVIATIONS = float(stats.norm.isf(_CHANCE))


def ks_distance(one: Floats, other: Floats) -> float:
    """Kolmogorov-Smirnov statistic: the largest difference of the two distribution functions.

    The statistic and not its p-value, which is small for any two large sets. NaN is left out; 1 when one set is empty.
    """
    one, other = one[~np.isnan(one)], other[~np.isnan(other)]
    if not len(one) or not len(other):
        return float(len(one) != len(other))
    return float(stats.ks_2samp(one, other).statistic)


def ks_by_chance(ones: int, others: int) -> float:
    """``ks_distance`` of sets of so many values of one kind: Smirnov's limit distribution."""
    return min(1.0, math.sqrt(-math.log(_CHANCE / 2) / 2 * (1 / max(1, ones) + 1 / max(1, others))))


def share_distance(one: Iterable[str], other: Iterable[str]) -> tuple[float, str]:
    """L-infinity distance of the shares of names, and the name that moved most (empty where nothing is)."""
    counts = [collections.Counter(one), collections.Counter(other)]
    moved = {
        name: abs(counts[0][name] / max(1, counts[0].total()) - counts[1][name] / max(1, counts[1].total()))
        for name in sorted(counts[0].keys() | counts[1].keys())
    }
    if not moved:
        return 0.0, ""
    largest = max(moved, key=lambda name: moved[name])
    return moved[largest], largest


def share_by_chance(one: Iterable[str], other: Iterable[str]) -> float:
    """``share_distance`` of so many names of one kind: of normal deviates, for as many tries as there are names."""
    counts = [collections.Counter(one), collections.Counter(other)]
    totals, both = [max(1, count.total()) for count in counts], counts[0] + counts[1]
    if not both:
        return 1.0
    variance = max(count / both.total() * (1 - count / both.total()) for count in both.values())
    deviations = float(stats.norm.isf(_CHANCE / len(both) / 2))
    return min(1.0, deviations * math.sqrt(variance * (1 / totals[0] + 1 / totals[1])))


def separability(one: Floats, other: Floats) -> float:
    """How well a linear classifier tells two sets of embeddings apart: 0.5 not at all, 1 always.

    The classifier two-sample test of Lopez-Paz and Oquab (2017), with the area under the ROC curve of images that it
    has not learnt, of logistic regression on the 16 largest principal components.

    Args:
      one: float [N, C], of at least 5 images.
      other: float [M, C], the same.
    """
    values = np.concatenate([one, other])  # [N + M, C]
    is_other = np.repeat([0, 1], [len(one), len(other)])  # [N + M]
    components = min(_COMPONENTS, values.shape[1], len(values) * (_FOLDS - 1) // _FOLDS - 1)
    model = make_pipeline(
        StandardScaler(),
        PCA(components, random_state=0),
        LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000),
    )
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    scores = cross_val_predict(model, values, is_other, cv=folds, method="decision_function")
    # Below a half it has learnt its folds' noise.
    return max(0.5, float(roc_auc_score(is_other, scores)))


def separability_by_chance(ones: int, others: int) -> float:
    """``separability`` of sets of so many embeddings of one kind: the Mann-Whitney statistic's normal deviates."""
    return min(1.0, 0.5 + _CHANCE_DEVIATIONS * math.sqrt((ones + others + 1) / (12 * ones * others)))


def mean_by_chance(deviation: float, ones: int, others: int) -> float:
    """How much less one mean of so many values is than another of the same kind, of a standard deviation."""
    return _CHANCE_DEVIATIONS * deviation * math.sqrt(1 / ones + 1 / others)
