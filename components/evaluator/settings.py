"""Settings of the evaluation and its gate: the ``eval`` section of the config."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from components.settings import Settings

Metric = Literal["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
"""The twelve numbers of the COCO challenge; see ``components/evaluator/coco.py``."""

Split = Literal["train", "eval", "test", "target_eval", "target_test"]

Share = Annotated[float, pydantic.Field(ge=0.0, le=1.0)]

CLASS_COLUMN = "class"
IMAGE_SIZE_COLUMN = "image_size"
OBJECT_COUNT_COLUMN = "object_count"
EVERY_CLASS = "*"


class Drop(Settings):
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


class SliceFloor(Settings):
    """Lowest value of a metric on one slice."""

    slice: dict[str, str] = pydantic.Field(min_length=1)
    """Column and value, several for an intersection, e.g. ``{weather: fog}``."""
    metric: Metric
    """Which of the COCO metrics."""
    min: Share
    """A lower value refuses the model."""


class ClassFloor(Settings):
    """Lowest value of a metric of one class over the whole split."""

    class_name: str
    """The class, or ``*`` for every class."""
    metric: Metric
    """Which of the COCO metrics."""
    min: Share
    """A lower value refuses the model."""


class Gates(Settings):
    """What a model must reach to be blessed. Metrics that cannot be computed (no object to find) refuse it."""

    minimum: dict[Metric, Share] = pydantic.Field(default={"AP50": 0.5})
    """Lowest values over the whole split."""
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

    @property
    def columns(self) -> set[str]:
        """The columns that slice floors name."""
        return {column for floor in self.slice_floors for column in floor.slice}

    @property
    def class_names(self) -> set[str]:
        """The classes that floors name, of classes and of slices by class."""
        of_slices = {floor.slice[CLASS_COLUMN] for floor in self.slice_floors if CLASS_COLUMN in floor.slice}
        return of_slices | {floor.class_name for floor in self.class_floors} - {EVERY_CLASS}


class EvalSettings(Settings):
    """The evaluation of the trained model and, beside it on the same images, of the last blessed one."""

    split: Split | None = None
    """Which split the model is judged on. None: `test` where the data has one with objects in it, else `eval`. The
    Trainer exports the weights that were best on `eval`, so that a figure of `eval` is better than one of images nobody
    has looked at; the report then says so. Of `data.target`, what is annotated is `target_eval` and `target_test`."""
    slices: tuple[tuple[str, ...], ...] = ((CLASS_COLUMN,), (IMAGE_SIZE_COLUMN,), (OBJECT_COUNT_COLUMN,))
    """What to report by, beside the whole split: each entry is a list of columns whose values are combined. Columns are
    the images' own metadata (``weather`` for the record's ``image/meta/weather``) and the derived ``class`` (images
    that show the class), ``image_size`` and ``object_count``."""
    per_class_metrics: tuple[Metric, ...] = ("AP", "AP50", "AP75", "AR100")
    """Metrics reported for every class as well."""
    image_size_bounds_pixels: tuple[int, ...] = (320, 640, 1280)
    """Upper bounds, inclusive, of the ``image_size`` buckets, by the longer side."""
    object_count_bounds: tuple[int, ...] = (0, 1, 4, 9, 19)
    """Upper bounds, inclusive, of the ``object_count`` buckets; crowd and difficult objects count as objects."""
    batch_size: int = pydantic.Field(default=16, ge=1)
    """Images a model sees at once while it is evaluated; bounds the memory."""
    gates: Gates = Gates()
    """What a model must reach to be blessed."""

    @pydantic.field_validator("slices")
    @classmethod
    def _slices_name_columns_once(cls, slices: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        for columns in slices:
            if not columns:
                raise ValueError("found an empty slice; name columns or leave it out, the whole split is always there")
            if len(set(columns)) < len(columns):
                raise ValueError(f"found a column twice in slice {list(columns)}; name each column once")
        if len({frozenset(columns) for columns in slices}) < len(slices):
            raise ValueError("found a slice twice; the order of columns does not matter, list each once")
        return slices

    @pydantic.field_validator("image_size_bounds_pixels", "object_count_bounds")
    @classmethod
    def _bounds_rise(cls, bounds: tuple[int, ...]) -> tuple[int, ...]:
        if not bounds or bounds[0] < 0 or list(bounds) != sorted(set(bounds)):
            raise ValueError(
                f"found bounds {list(bounds)}; expected at least one, none negative, each above the one before"
            )
        return bounds
