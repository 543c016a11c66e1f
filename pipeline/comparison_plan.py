"""What ``compare`` is asked for, checked before anything heavy is imported."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from components.trainer.strategies.settings.ladder import Rung

ALL = "all"


@dataclasses.dataclass(frozen=True)
class Size:
    """A size of the training set.

    Attributes:
      images: labelled images; None for all there are.
      seeds: trainings with it.
    """

    images: int | None
    seeds: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is compared.

    Attributes:
      sizes: of the training set.
      rungs: of the ladder.
      steps: of each training; None for those of the config.
      seconds: of each training in place of the same steps.
    """

    sizes: tuple[Size, ...]
    rungs: tuple[Rung, ...]
    steps: int | None = None
    seconds: float | None = None


def parse_sizes(text: str, seeds: int) -> tuple[Size, ...]:
    """``25,50:5,all:1`` as sizes, with their own number of seeds where one is given.

    Args:
      text: what was typed.
      seeds: where none is given.

    Raises:
      ValueError: it is of another shape, or names a size twice.
    """
    sizes = tuple(_size(part.strip(), seeds) for part in text.split(","))
    if len({size.images for size in sizes}) < len(sizes):
        raise ValueError(f"--sizes: found a size twice in {text!r}; name each once")
    return sizes


def _size(part: str, seeds: int) -> Size:
    images, colon, own_seeds = part.partition(":")
    try:
        size = Size(None if images == ALL else int(images), int(own_seeds) if colon else seeds)
    except ValueError:
        size = Size(0, 0)
    if (size.images is not None and size.images <= 0) or size.seeds <= 0:
        raise ValueError(f"--sizes: found {part!r}; expected numbers of images or `all`, as in 25,50:5,all:1")
    return size


def sizes_of(sizes: Sequence[Size], there: int) -> list[tuple[int, int]]:
    """Images and seeds of each size that the data have: ``all`` is a number, and what is more than there is left out.

    Raises:
      ValueError: none is left.
    """
    found: dict[int, int] = {}
    for size in sizes:
        images = there if size.images is None else size.images
        if images <= there:
            found[images] = max(size.seeds, found.get(images, 0))
    if not found:
        raise ValueError(f"--sizes: there are {there} training images, and every size is more; name smaller ones")
    return sorted(found.items())
