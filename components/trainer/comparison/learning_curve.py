"""What more labelled images would bring: a power law through what some sizes of the training set have reached.

AP of n images is taken as a - b * n^-c, the usual form of learning curves (Hestness et al. 2017; Viering and Loog 2022,
section 4). Fits to a handful of points leave a, b and c open, so they are not fitted but averaged over: every exponent
of a grid is a linear regression with a closed posterior (flat in a and b, 1/s^2 in the variance), and a forecast is the
spread of what all of them say, each as likely as it makes the points, with a within 0..1 and b at least 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from components.user_error import UserError

FEWEST_SIZES: Final = 3
_EXPONENTS: Final = np.linspace(0.1, 2.0, 39)
_DRAWS: Final = 20_000
_NOISE: Final = 0.003
"""Standard deviation of AP below which points are not believed to lie on a curve."""

Floats = npt.NDArray[np.float64]


class ForecastError(UserError):
    """Nothing can be said about more images; the message has the reason."""


@dataclasses.dataclass(frozen=True)
class Forecast:
    """AP that so many images would reach: the median, and the ends of the interval that holds it with 95 %.

    Attributes:
      images: labelled images.
      median, low, high: AP.
    """

    images: int
    median: float
    low: float
    high: float


def forecast(sizes: Sequence[int], reached: Sequence[float], images: Sequence[int], seed: int = 0) -> list[Forecast]:
    """Continues a learning curve.

    Args:
      sizes: labelled images of each training, a point each; several seeds are several points.
      reached: AP of each.
      images: where to forecast.
      seed: of the draws.

    Raises:
      ForecastError: there are fewer than three sizes, or AP does not grow along any power law.
    """
    n, ap = np.asarray(sizes, np.float64), np.asarray(reached, np.float64)  # [P], [P]
    different = len(set(sizes))
    if different < FEWEST_SIZES:
        raise ForecastError(f"a learning curve of {different} sizes says nothing; expected at least {FEWEST_SIZES}")
    parameters = _posterior(n / n.max(), ap, np.random.default_rng(seed))  # [D, 3]
    if len(parameters) < _DRAWS // 100:
        raise ForecastError("AP does not grow with the number of images as a power law does")
    a, b, c = parameters.T
    curves = a - b * (np.asarray(images, np.float64)[:, np.newaxis] / n.max()) ** -c  # [I, D]
    low, median, high = np.quantile(np.clip(curves, 0.0, 1.0), (0.025, 0.5, 0.975), axis=1)
    return [Forecast(*values) for values in zip(images, median.tolist(), low.tolist(), high.tolist(), strict=True)]


def _posterior(x: Floats, y: Floats, random: np.random.Generator) -> Floats:
    """Draws of (a, b, c), float64 [D, 3] of the _DRAWS that are within bounds, for y = a - b * x^-c."""
    freedom = len(y) - 2
    fits, evidence = [], []
    for c in _EXPONENTS:
        design = np.stack([np.ones_like(x), -(x**-c)], axis=1)  # [P, 2]
        inverse = np.linalg.inv(design.T @ design)
        mean = inverse @ design.T @ y
        squares = float(np.sum((y - design @ mean) ** 2)) + _NOISE**2 * freedom
        fits.append((mean, np.linalg.cholesky(inverse * squares / freedom)))
        # Scaling b with the design's column keeps the prior the same for every exponent.
        evidence.append(
            0.5 * np.linalg.slogdet(inverse)[1] + np.log(np.linalg.norm(design[:, 1])) - 0.5 * freedom * np.log(squares)
        )
    weights = np.exp(np.array(evidence) - max(evidence))
    picked = random.choice(len(fits), _DRAWS, p=weights / weights.sum())
    student = random.standard_normal((_DRAWS, 2)) / np.sqrt(random.chisquare(freedom, (_DRAWS, 1)) / freedom)
    means = np.stack([mean for mean, _ in fits])[picked]  # [D, 2]
    roots = np.stack([root for _, root in fits])[picked]  # [D, 2, 2]
    drawn = means + np.einsum("dij,dj->di", roots, student)  # [D, 2]
    kept = (drawn[:, 0] >= 0.0) & (drawn[:, 0] <= 1.0) & (drawn[:, 1] >= 0.0)
    return np.concatenate([drawn[kept], _EXPONENTS[picked][kept, np.newaxis]], axis=1)
