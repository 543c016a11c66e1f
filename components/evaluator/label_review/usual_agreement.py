"""How often the model and the annotations agree, by how sure the model is: what makes suspicions comparable.

Learnt from the very images that are reviewed. That works as long as most annotations are right: the wrong ones lower
the agreement of all a little, which makes nothing look more suspicious than it is.
"""

from __future__ import annotations

import dataclasses
from typing import Final, Self

import numpy as np
from scipy.stats import norm
from sklearn.isotonic import IsotonicRegression

from components.evaluator.coco_matching import Bools, Floats, Integers

_FEWEST_PAIRS: Final = 20
"""A class with fewer is compared with the pairs of all classes."""
_QUARTILE: Final = float(norm.ppf(0.75))
_LEAST_SPREAD: Final = 0.1
"""Of ``log(1 - IoU)``: boxes that are all the same are not taken for a law."""


@dataclasses.dataclass(frozen=True)
class AgreementByScore:
    """Of detections with a score, the share that the annotations agree with.

    Attributes:
      regression: score -> share, rising.
    """

    regression: IsotonicRegression

    @classmethod
    def of(cls, scores: Floats, agrees: Bools) -> Self:
        """Learns from detections, float64 [N], and whether the annotations agree, bool [N].

        One of a sure score that agrees and one that does not are added: a few right ones are no certainty.
        """
        regression = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        highest = max(1.0, float(scores.max(initial=0.0)))
        regression.fit(
            np.append(scores, [0.0, highest, highest]), np.append(agrees.astype(np.float64), [0.0, 0.0, 1.0])
        )
        return cls(regression)

    def __call__(self, scores: Floats) -> Floats:
        """Of detections with these scores, float64 [N]: 0..1, float64 [N]."""
        return np.asarray(self.regression.predict(scores), np.float64) if len(scores) else np.zeros(0)


def unusually_far_apart(ious: Floats, classes: Integers) -> Floats:
    """Of pairs of a detection and the object it is of: the chance that their boxes differ more than the model errs.

    ``log(1 - IoU)`` of the pairs of one class is taken as a normal body, known by its median and upper quartile, with
    some more pairs far above it: the share of pairs beyond a value that the body explains is the false discovery rate
    of calling them wrong (Efron 2004, the empirical null), and what is returned is one minus that. Classes with few
    pairs are compared with all.

    Args:
      ious: float64 [N].
      classes: int64 [N].

    Returns:
      float64 [N], 0..1.
    """
    apart = np.log(np.maximum(1 - ious, 1e-3))
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
