"""The ``push`` section of the config: where blessed models go, as what, and what they have to show before."""

from __future__ import annotations

import collections
from typing import Literal

import pydantic

from components.device_evaluator.settings import DeviceGateSettings
from components.exporter.settings import CalibrationSettings, DeviceFormatName
from components.path_settings import LocalPath
from components.serving_contract.settings import ContractSettings
from components.settings import Settings
from schema.device_model import DEVICE_FORMATS, SAVED_MODEL

FormatName = Literal["saved_model"] | DeviceFormatName


class DeviceSettings(DeviceGateSettings, CalibrationSettings):
    """Models for phones, edge boxes and CPUs: what they are made with, how they are judged, and where they go."""

    directory: LocalPath | None = None
    """Folder of the pushed device models: `<directory>/<format>/<version>/`, the version being that of the SavedModel
    that it was made of, with `card.json` beside the model. Default: `<root>/<name>/served/devices`."""


class PushSettings(Settings):
    """Where blessed models go, as what, and what they have to show before."""

    directory: LocalPath | None = None
    """Folder of the served model; every blessed model becomes a new numbered version in it, as TF Serving expects.
    Default: `<root>/served/detector`."""
    formats: tuple[FormatName, ...] = (SAVED_MODEL,)
    """As what a blessed model is pushed. `saved_model` is what servers take, what later models are compared with and
    start from, and must be among them; any other is a model for devices, which the run makes of the SavedModel,
    measures beside it on the same images and pushes or refuses by itself (`push.devices`)."""
    devices: DeviceSettings = DeviceSettings()
    """The formats for devices, where `push.formats` names any."""
    contract: ContractSettings = ContractSettings()
    """What a blessed model has to show before it is pushed: that servers and clients can use it."""

    @pydantic.field_validator("formats")
    @classmethod
    def _each_once_and_the_servers(cls, formats: tuple[FormatName, ...]) -> tuple[FormatName, ...]:
        twice = [name for name, count in collections.Counter(formats).items() if count > 1]
        if twice:
            raise ValueError(f"found {twice[0]!r} twice; name each format once")
        if SAVED_MODEL not in formats:
            raise ValueError(
                f"found {list(formats)} without {SAVED_MODEL!r}; add it: servers take it, and the next model is "
                "compared with it"
            )
        return formats

    @pydantic.model_validator(mode="after")
    def _bounds_of_formats_that_are_made(self) -> PushSettings:
        unused = [name for name in self.devices.by_format if name not in self.formats]
        if unused:
            raise ValueError(
                f"devices.by_format has bounds for {unused[0]!r}, which `formats` does not name: add it there, "
                "or leave the bounds out"
            )
        return self

    @property
    def device_formats(self) -> tuple[DeviceFormatName, ...]:
        """The formats beside the SavedModel, in the order of ``DEVICE_FORMATS``: what order they are named in says
        nothing."""
        named = [name for name in self.formats if name != SAVED_MODEL]
        return tuple(sorted(named, key=list(DEVICE_FORMATS).index))
