"""How often the model and the annotations agree, by how sure the model is: what makes suspicions comparable.

Learnt from the very images that are reviewed. That works as long as most annotations are right: the wrong ones lower
the agreement of all a little, which makes nothing look more suspicious than it is.
"""

from __future__ import annotations

import dataclasses
from typing import Final, Self

import numpy as np
from scipy.special import expit
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from components.evaluator.coco_matching import Bools, Floats, Integers

_LEAST_SHARE: Final = 0.01
"""Scores nearer to 0 or 1 are all the same."""
_HARDLY_REGULARIZED: Final = 100.0
_FEWEST_PAIRS: Final = 20
"""A class with fewer is compared with the pairs of all classes."""
_PRIOR_OBJECTS: Final = 5.0
_QUARTILE: Final = float(norm.ppf(0.75))
_LEAST_SPREAD: Final = 0.1
"""Of ``log(1 - IoU)``: boxes that are all the same are not taken for a law."""


@dataclasses.dataclass(frozen=True)
class AgreementByScore:
    """Of detections with a score, the share that the annotations agree with: a logistic curve of the score's log-odds.

    (Platt 1999. A curve of two parameters: a step function through a few hundred detections would take in the very
    disagreements that are looked for.)

    Attributes:
      slope, intercept: of the log-odds of the share, by those of the score.
    """

    slope: float
    intercept: float

    @classmethod
    def of(cls, scores: Floats, agrees: Bools) -> Self:
        """Learns from detections with scores of 0..1, float64 [N], and whether the annotations agree, bool [N].

        A few that are made up are added, so that a few right ones are no certainty: of the lowest score one that does
        not agree, of the highest one that does and one that does not.
        """
        shares = np.append(agrees, [False, True, False])
        features = _log_odds(np.append(scores, [0.0, 1.0, 1.0]))
        fitted = LogisticRegression(C=_HARDLY_REGULARIZED).fit(features[:, None], shares)
        slope = float(fitted.coef_[0, 0])
        if slope < 0:  # a surer model is not less right: the score says nothing
            return cls(0.0, float(_log_odds(np.array([shares.mean()]))[0]))
        return cls(slope, float(fitted.intercept_[0]))

    def __call__(self, scores: Floats) -> Floats:
        """Of detections with these scores, float64 [N]: 0..1, float64 [N]."""
        return np.asarray(expit(self.slope * _log_odds(scores) + self.intercept), np.float64)


def _log_odds(shares: Floats) -> Floats:
    inside = np.clip(shares, _LEAST_SHARE, 1 - _LEAST_SHARE)
    return np.log(inside / (1 - inside))


def rarity_of_confusions(found: Integers, annotated: Integers, num_classes: int) -> Floats:
    """How much rarer each confusion of two classes is than that of any two; at most 1.

    What a model takes for another class again and again is its own error: that one annotation of many is wrong says
    little then.

    Args:
      found: int64 [N], the likeliest class of each object.
      annotated: int64 [N].
      num_classes: K.

    Returns:
      float64 [K, K] by found and annotated class: the share of all objects that any two classes are confused in, over
      the share of the objects of the found class that are annotated as the other.
    """
    counts = np.zeros((num_classes, num_classes))
    np.add.at(counts, (found, annotated), 1)
    others = max(num_classes - 1, 1)
    usual = (found != annotated).sum() / max(len(found), 1) / others
    # A class that is seldom found is taken to be confused as all are.
    shares = (counts + _PRIOR_OBJECTS * usual) / (counts.sum(axis=1, keepdims=True) + _PRIOR_OBJECTS)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(shares > usual, usual / shares, 1.0)


def unusually_far_apart(ious: Floats, scores: Floats, classes: Integers) -> Floats:
    """Of pairs of a detection and the object it is of: the chance that their boxes differ more than the model errs.

    ``log(1 - IoU)``, less what follows from the scores (a straight line through their log-odds), of the pairs of one
    class is taken as a normal body, known by its median and upper quartile, with some more pairs far above it: the
    share of pairs beyond a value that the body explains is the false discovery rate of calling them wrong (Efron 2004,
    the empirical null), and what is returned is one minus that. Classes with few pairs are compared with all.

    Args:
      ious: float64 [N].
      scores: float64 [N], of the detections.
      classes: int64 [N].

    Returns:
      float64 [N], 0..1.
    """
    apart = np.log(np.maximum(1 - ious, 1e-3))
    unsure = -_log_odds(scores)
    if len(apart) >= _FEWEST_PAIRS and np.ptp(unsure) > 0:
        # The less sure, the further off.
        apart -= max(0.0, float(np.polyfit(unsure, apart, 1)[0])) * unsure
    result = np.zeros(len(apart))
    for name in np.unique(classes):
        mine = classes == name
        body = apart[mine] if mine.sum() >= _FEWEST_PAIRS else apart
        result[mine] = _beyond_the_body(apart[mine], body)
    return result


def _beyond_the_body(values: Floats, body: Floats) -> Floats:
    middle, upper = np.quantile(body, [0.5, 0.75])
    spread = max((upper - middle) / _QUARTILE, _LEAST_SPREAD)
    ordered = np.sort(body)
    # A pair is not the witness of its own rarity: it counts as one beyond itself.
    observed = np.maximum(len(ordered) - np.searchsorted(ordered, values, side="left"), 1) / len(ordered)
    rates = norm.sf((values - middle) / spread) / observed
    # A pair further apart is never less suspicious.
    order = np.argsort(values)
    result = np.empty(len(values))
    result[order] = np.minimum.accumulate(np.minimum(rates[order], 1.0))
    return 1 - result
