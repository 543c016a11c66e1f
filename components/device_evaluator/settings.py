"""Settings of the gate of device models: a part of the ``push.devices`` section of the config."""

from __future__ import annotations

import pydantic

from components.evaluator.gate_settings import Drop, Gates, Metric, Undecided
from components.evaluator.settings import EvalSettings
from components.exporter.settings import DeviceFormatName, FormatProcessSettings
from components.settings import Settings


class FormatGateSettings(Settings):
    """What holds for one format alone."""

    max_drop: dict[Metric, Drop]
    """In place of `push.devices.max_drop`."""


class DeviceGateSettings(FormatProcessSettings):
    """How far a device model may fall below the SavedModel that it was made of. Both are compared on the same images,
    image by image, so that few images tell much; each format is judged on its own."""

    max_drop: dict[Metric, Drop] = {"AP": Drop(absolute=0.01)}
    """How far a metric over the whole judged split may fall below the SavedModel's."""
    by_format: dict[DeviceFormatName, FormatGateSettings] = {}
    """Other bounds for single formats: `{litert_int8: {max_drop: {AP: {absolute: 0.02}}}}`."""
    confidence: float = pydantic.Field(default=0.95, ge=0.0, lt=1.0)
    """How sure a bound has to be met, or not met, as `eval.gates.confidence`. 0 compares the bare numbers."""
    undecided: Undecided = "bless"
    """What follows where the images are too few to tell whether a bound is met."""

    def eval_settings(self, format_name: str, judged: EvalSettings) -> EvalSettings:
        """The settings that a format is judged by.

        Args:
          format_name: one of ``DEVICE_FORMATS``.
          judged: those that the SavedModel was judged by; slices and resamples are as there.
        """
        drops = next((own.max_drop for name, own in self.by_format.items() if name == format_name), self.max_drop)
        gates = Gates(
            minimum={},
            max_drop={
                # What a bound says for itself goes before what holds for all.
                metric: drop.model_copy(update={"undecided": drop.undecided or self.undecided})
                for metric, drop in drops.items()
            },
            min_images=judged.gates.min_images,
            confidence=self.confidence,
            resamples=judged.gates.resamples,
        )
        return judged.model_copy(update={"gates": gates})
