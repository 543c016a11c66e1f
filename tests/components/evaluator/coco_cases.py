"""Sets of images made up to find where our numbers and pycocotools' part: one a seed, of the kinds in ``KINDS``.

What goes wrong in a model or a data set is mixed into every kind: boxes turned inside out, of no area, outside the
image or of NaN, scores that are equal, zero, negative or NaN, crowds, ignored objects, areas that are not the box's.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from components.evaluator.coco import ImageResult


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a set of images is like.

    Attributes:
      name: of the kind.
      images, objects, copies, alarms: least and most: images of the set, objects of an image, detections of an object,
        detections elsewhere.
      classes: that there are objects and detections of, of the three there are names for.
      share: of the sets.
    """

    name: str
    images: tuple[int, int]
    objects: tuple[int, int]
    copies: tuple[int, int]
    alarms: tuple[int, int]
    classes: int
    share: float


KINDS: Final = (
    Kind("few of all", (1, 4), (0, 6), (0, 3), (0, 6), 2, 0.55),
    Kind("one image of one class", (1, 1), (0, 12), (0, 2), (0, 4), 1, 0.2),
    Kind("crowded", (1, 3), (4, 12), (2, 8), (0, 30), 3, 0.1),
    Kind("nothing there", (1, 5), (0, 0), (0, 0), (0, 3), 2, 0.05),
    Kind("nothing found", (1, 5), (0, 5), (0, 0), (0, 0), 3, 0.05),
    Kind("more than the maximum", (1, 2), (0, 8), (10, 40), (80, 220), 2, 0.04),
    Kind("thousands of boxes", (1, 1), (100, 600), (2, 6), (100, 1500), 3, 0.01),
)


def made_case(seed: int) -> tuple[Kind, list[ImageResult]]:
    """The set of images of a seed, always the same one, and its kind."""
    random = np.random.default_rng(seed)
    kind = KINDS[int(random.choice(len(KINDS), p=[kind.share for kind in KINDS]))]
    grid = random.random() < 0.5  # corners on a coarse grid: exact thresholds, ties, shared edges
    return kind, [_image(random, kind, grid) for _ in range(_between(random, kind.images))]


def _image(random: np.random.Generator, kind: Kind, grid: bool) -> ImageResult:
    there = _boxes(random, _between(random, kind.objects), grid)  # [G, 4]
    classes = random.integers(0, kind.classes, len(there))
    copies = random.integers(kind.copies[0], kind.copies[1] + 1, len(there))
    noise = random.choice([0.0, 2.0, 8.0])
    near = np.repeat(there, copies, axis=0) + random.normal(0, 1, (int(copies.sum()), 4)) * noise
    near_classes = np.repeat(classes, copies)
    confused = random.random(len(near)) < 0.1
    near_classes = np.where(confused, random.integers(0, kind.classes, len(near)), near_classes)
    alarms = _boxes(random, _between(random, kind.alarms), grid)
    found = np.concatenate([near, alarms])  # [D, 4]
    order = random.permutation(len(found))
    found_classes = np.concatenate([near_classes, random.integers(0, kind.classes, len(alarms))])
    found, found_classes = found[order], found_classes[order]
    if grid:
        found = found.round()
    found[random.random(len(found)) < 0.02] = np.nan
    inside_out = random.random(len(found)) < 0.03
    found[inside_out] = found[inside_out][:, random.permutation(4)]
    areas = (there[:, 2] - there[:, 0]) * (there[:, 3] - there[:, 1])
    elsewhere = random.random(len(there)) < 0.15
    areas = np.where(elsewhere, random.choice([0.0, 64.0, 1023.0, 1024.0, 1025.0, 9216.0, 9217.0], len(there)), areas)
    return ImageResult(
        found,
        _scores(random, len(found)),
        found_classes,
        there,
        classes,
        areas,
        random.random(len(there)) < 0.1,
        random.random(len(there)) < 0.1,
    )


def _boxes(random: np.random.Generator, count: int, grid: bool) -> np.ndarray:
    """float64 [N, 4]; a few without an area."""
    corners = random.uniform(-20, 120, (count, 2))
    sizes = np.exp(random.uniform(1.5, 5.2, (count, 2)))
    sizes[random.random(count) < 0.02, 0] = 0
    boxes = np.concatenate([corners, corners + sizes], axis=1)
    return (boxes / 8).round() * 8 if grid else boxes


def _scores(random: np.random.Generator, count: int) -> np.ndarray:
    """float64 [N]: all different, or with ties; a few of them none at all."""
    decimals = int(random.choice([1, 2, 9]))
    scores = random.uniform(0, 1, count).round(decimals)
    scores[random.random(count) < 0.02] = 0.0
    scores[random.random(count) < 0.01] = -1.0
    scores[random.random(count) < 0.01] = np.nan
    return scores


def _between(random: np.random.Generator, bounds: tuple[int, int]) -> int:
    return int(random.integers(bounds[0], bounds[1] + 1))
