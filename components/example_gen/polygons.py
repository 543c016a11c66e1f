"""The box of what is annotated as something else: the extent of a polygon, or of a box that is turned."""

from __future__ import annotations

import math
from collections.abc import Sequence

from components.example_gen.boxes import Box
from components.findings import DROP, Finding


def extent(xs: Sequence[float], ys: Sequence[float]) -> Box:
    """The box around the points of a polygon.

    Raises:
      ValueError: the points are fewer than two, or an x or y is missing.
    """
    if len(xs) != len(ys) or len(xs) < 2:
        raise ValueError(f"a polygon of {len(xs)} x and {len(ys)} y")
    return min(xs), min(ys), max(xs), max(ys)


def extent_of_turned(cx: float, cy: float, width: float, height: float, angle: float) -> Box:
    """The upright box around one that is turned about its centre by ``angle`` (radians)."""
    cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
    half_width, half_height = (width * cosine + height * sine) / 2, (width * sine + height * cosine) / 2
    return cx - half_width, cy - half_height, cx + half_width, cy + half_height


def once(findings: Sequence[Finding]) -> Sequence[Finding]:
    """One finding about polygons is enough for an image, unless each stands for a box that is left out."""
    return findings if findings and findings[0].treatment == DROP else findings[:1]
