"""Settings of the evaluation and its gate: the ``eval`` section of the config."""

from __future__ import annotations

from typing import Literal

import pydantic

from components.evaluator.gate_settings import Gates, Metric
from components.evaluator.label_review.settings import LabelReviewSettings
from components.evaluator.operating_point_settings import OperatingPointSettings
from components.settings import Settings

Split = Literal["train", "eval", "test", "target_eval", "target_test"]

CLASS_COLUMN = "class"
IMAGE_SIZE_COLUMN = "image_size"
OBJECT_COUNT_COLUMN = "object_count"


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
    cluster_by: str | None = None
    """A metadata column (``video``): images with one value are drawn together where the gate asks how sure it is, for
    the frames of one video are no independent witnesses. None: ``data.split.group_by`` or ``group_pattern``, where one
    is given, else every image is drawn by itself."""
    label_review: LabelReviewSettings = LabelReviewSettings()
    """Which annotations of the split look wrong: see `label_review.jsonl` in the artifact, and the page."""
    operating_point: OperatingPointSettings = OperatingPointSettings()
    """From which score on a detection is believed, class by class."""
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
