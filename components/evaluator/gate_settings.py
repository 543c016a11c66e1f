"""Settings of the gate: what a model must reach to be blessed, and how sure of it the gate has to be."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import pydantic

from components.settings import Settings

Metric = Literal["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
"""The twelve numbers of the COCO challenge; see ``components/evaluator/coco.py``."""

Share = Annotated[float, pydantic.Field(ge=0.0, le=1.0)]

Undecided = Literal["bless", "refuse"]

EVERY_CLASS: Final = "*"


class Sureness(Settings):
    """How sure the gate has to be of one bound."""

    confidence: float | None = pydantic.Field(default=None, ge=0.0, lt=1.0)
    """As ``eval.gates.confidence``, for this bound alone. None: that one."""
    undecided: Undecided | None = None
    """What follows where the images are too few to tell whether the bound is met. None: a floor refuses the model, an
    allowed drop blesses it."""


class Floor(Sureness):
    """Lowest value of a metric over the whole split."""

    min: Share
    """A lower value refuses the model."""


class Drop(Sureness):
    """How much lower than the last blessed model a metric may be. Where both are given, both must hold."""

    absolute: Share | None = None
    """Largest allowed difference, e.g. 0.02: from 0.60 down to 0.58 passes."""
    relative: Share | None = None
    """Largest allowed share of the baseline's value, e.g. 0.05: from 0.60 down to 0.57 passes."""

    @pydantic.model_validator(mode="after")
    def _says_something(self) -> Drop:
        if self.absolute is None and self.relative is None:
            raise ValueError("found neither `absolute` nor `relative`; give at least one, e.g. `absolute: 0.02`")
        return self


class SliceFloor(Sureness):
    """Lowest value of a metric on one slice."""

    slice: dict[str, str] = pydantic.Field(min_length=1)
    """Column and value, several for an intersection, e.g. ``{weather: fog}``."""
    metric: Metric
    """Which of the COCO metrics."""
    min: Share
    """A lower value refuses the model."""

    @property
    def slice_values(self) -> tuple[tuple[str, str], ...]:
        """Columns and values, by column."""
        return tuple(sorted(self.slice.items()))


class ClassFloor(Sureness):
    """Lowest value of a metric of one class over the whole split."""

    class_name: str
    """The class, or ``*`` for every class."""
    metric: Metric
    """Which of the COCO metrics."""
    min: Share
    """A lower value refuses the model."""


class Accept(Settings):
    """A blessing by hand. It is recorded with the verdict and the blessing."""

    reason: str = pydantic.Field(min_length=1)
    """Why the model is to be served although the gate would not have it."""
    by: str = pydantic.Field(min_length=1)
    """Who says so."""
    model: int | None = None
    """The model that is meant, by the number that the verdict gives it: any other one is judged as ever. None: every
    model, until this is taken out of the config."""


class Gates(Settings):
    """What a model must reach to be blessed. Metrics that cannot be computed (no object to find) refuse it.

    A bound is *met* or *not met* when the whole interval around the metric lies on one side of it. Otherwise the images
    cannot tell; ``undecided`` says what follows.
    """

    minimum: dict[Metric, Floor] = pydantic.Field(default={"AP50": Floor(min=0.5)})
    """Lowest values over the whole split: ``AP50: 0.5``, or ``AP50: {min: 0.5, undecided: bless}``."""
    max_drop: dict[Metric, Drop] = pydantic.Field(default={"AP": Drop(absolute=0.02)})
    """How far a metric over the whole split may fall below the last blessed model's on the same images, over the
    classes that one knew: a new class says nothing about what was lost. Does not count while no model has been blessed,
    nor where the split shows none of those classes; the verdict says so."""
    forgetting: dict[Metric, Drop] = {}
    """The same on images of earlier spans alone (``data.span_window``): how much of what was known may be lost over
    what is new. Does not count, and the verdict says so, while no model has been blessed and where fewer than
    ``min_images`` images, or none, are of an earlier span than the newest."""
    slice_floors: tuple[SliceFloor, ...] = ()
    """Lowest values on single slices."""
    class_floors: tuple[ClassFloor, ...] = ()
    """Lowest values of single classes."""
    min_images: int = pydantic.Field(default=10, ge=0)
    """Slice and class floors count only where the slice (for a class: the images that show it) has at least this many
    images; the verdict names those that did not count. With 0 they always count, and a slice or class without images
    refuses the model. So does, in any case, a column that no image has and a class that nobody knows."""
    confidence: float = pydantic.Field(default=0.95, ge=0.0, lt=1.0)
    """How sure a bound has to be met, or not met: the share of new sets of images, as many as here, whose interval
    would hold the true value. 0 compares the bare numbers, as if the images were all there are."""
    resamples: int = pydantic.Field(default=2000, ge=200, le=100_000)
    """How many times the images are drawn anew (with replacement, the same draw for both models) to find the
    intervals."""
    accept: Accept | None = None
    """Blesses a model by hand. The bounds that it does not meet are still named."""

    @pydantic.field_validator("minimum", mode="before")
    @classmethod
    def _numbers_are_floors(cls, minimum: Any) -> Any:
        if not isinstance(minimum, dict):
            return minimum
        return {
            metric: floor if isinstance(floor, (dict, Floor)) else {"min": floor} for metric, floor in minimum.items()
        }
