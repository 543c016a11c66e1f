"""What ``train.augmentation`` of the config holds. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from typing import Annotated

import pydantic

from components.settings import Settings

Share = Annotated[float, pydantic.Field(ge=0.0, le=1.0)]


class AugmentationSettings(Settings):
    """Random changes to the training images; boxes follow."""

    horizontal_flip: Share = 0.5
    """Probability of a mirror image. Set it to 0 where left and right mean something (arrows, text)."""
    vertical_flip: Share = 0.0
    """Probability of an upside-down image (microscopes, aerial images)."""
    crop: Share = 0.5
    """Probability that a part of the image is cut out and enlarged."""
    crop_min_side: Annotated[float, pydantic.Field(gt=0.0, le=1.0)] = 0.5
    """Shortest side of that part, as a share of the image's."""
    crop_aspect_jitter: Annotated[float, pydantic.Field(ge=1.0, le=3.0)] = 1.25
    """Most that height against width of that part is stretched, in either direction."""
    zoom_out: Share = 0.2
    """Probability that the image is put, smaller, on a grey ground."""
    zoom_out_max_side: Annotated[float, pydantic.Field(ge=1.0, le=4.0)] = 1.5
    """Longest side of that ground, as a multiple of the image's."""
    min_visible: Share = 0.4
    """An object of which a smaller share stays inside the part is not learnt, nor taught as background. A part is only
    taken when it holds at least one object to this share."""
    brightness: Share = 0.12
    """Largest change of brightness, as a share of white."""
    contrast: Annotated[float, pydantic.Field(ge=0.0, lt=1.0)] = 0.25
    """Largest relative change of contrast."""
    saturation: Annotated[float, pydantic.Field(ge=0.0, le=1.0)] = 0.25
    """Largest relative change of saturation."""
    hue: Annotated[float, pydantic.Field(ge=0.0, le=0.5)] = 0.02
    """Largest rotation of the hue, as a share of the colour circle."""

    @pydantic.model_validator(mode="after")
    def _crop_or_zoom(self) -> AugmentationSettings:
        if self.crop + self.zoom_out > 1.0:
            raise ValueError(f"crop and zoom_out exclude each other, so crop + zoom_out must be at most 1, "
                             f"found {self.crop} + {self.zoom_out}")  # fmt: skip
        return self
