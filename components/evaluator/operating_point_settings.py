"""Settings of the score thresholds that a model is exported with."""

from __future__ import annotations

from typing import Literal, Self

import pydantic

from components.settings import Settings

Rule = Literal["f1", "precision", "recall"]


class OperatingPointSettings(Settings):
    """For what the score threshold of each class is chosen, on the split `eval` after the training.

    The Trainer exports the thresholds with the model (``detection_thresholds`` in every answer, figures in
    ``assets.extra/operating_points.json``), and clients believe what reaches them unless they are told a threshold. A
    class with too few objects there has that of all classes together. They decide nothing here: metrics and gate look
    at all scores.
    """

    rule: Rule = "f1"
    """``f1``: the highest F1, which weighs missed objects as much as false alarms. ``precision``: the highest recall at
    a precision of at least ``value``, where a false alarm is worse. ``recall``: the highest precision at a recall of at
    least ``value``, where a missed object is worse. Where no threshold keeps the value, the nearest is taken, and the
    log says so. The Trainer makes the export: with another rule it trains anew."""
    value: float | None = pydantic.Field(default=None, gt=0.0, le=1.0)
    """The precision or the recall, such as 0.9, at an IoU of 0.5. None with the rule ``f1``. As with the rule, with
    another value the Trainer trains anew."""

    @pydantic.model_validator(mode="after")
    def _value_belongs_to_the_rule(self) -> Self:
        if self.rule == "f1" and self.value is not None:
            raise ValueError(
                f"found `value: {self.value}` with the rule `f1`, which has none; leave it out, or give "
                "`rule: precision` or `rule: recall`"
            )
        if self.rule != "f1" and self.value is None:
            raise ValueError(f"found the rule `{self.rule}` without a value; say which one, e.g. `value: 0.9`")
        return self
