"""What ``train.augmentation`` of the config holds. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from typing import Annotated

import pydantic

from components.settings import Settings

Share = Annotated[float, pydantic.Field(ge=0.0, le=1.0)]
Scale = Annotated[float, pydantic.Field(ge=0.05, le=4.0)]


class AugmentationSettings(Settings):
    """Random changes to the training images; boxes follow. `python -m pipeline augmentations` draws them."""

    horizontal_flip: Share = 0.5
    """Probability of a mirror image. Set it to 0 where left and right mean something (arrows, text)."""
    vertical_flip: Share = 0.0
    """Probability of an upside-down image (microscopes, aerial images)."""
    quarter_turn: Share = 0.0
    """Probability of a turn by 90, 180 or 270 degrees (microscopes, aerial images)."""
    crop: Share = 0.5
    """Probability that a part of the image is cut out and enlarged."""
    crop_min_side: Annotated[float, pydantic.Field(gt=0.0, le=1.0)] = 0.5
    """Shortest side of that part, as a share of the image's."""
    crop_aspect_jitter: Annotated[float, pydantic.Field(ge=1.0, le=3.0)] = 1.25
    """Most that height against width of that part is stretched, in either direction."""
    crop_min_ious: tuple[Share, ...] = ()
    """Of these one is drawn for each crop, and some object has to overlap the part with at least this intersection over
    union (the crop of SSD: 0.1, 0.3, 0.5, 0.7, 0.9). Empty: no such condition. Large values need large objects; where
    no part fulfils them the image stays whole."""
    zoom_out: Share = 0.2
    """Probability that the image is put, smaller, on a grey ground."""
    zoom_out_max_side: Annotated[float, pydantic.Field(ge=1.0, le=4.0)] = 1.5
    """Longest side of that ground, as a multiple of the image's."""
    scale_jitter: Share = 0.0
    """Probability of large-scale jitter: the image is scaled by a factor out of `scale_jitter_range`, then cut or put
    on grey to its size."""
    scale_jitter_range: tuple[Scale, Scale] = (0.1, 2.0)
    """Smallest and largest factor."""
    min_visible: Share = 0.4
    """An object of which a smaller share stays in sight (inside the part, not erased, not pasted over) is not learnt,
    nor taught as background. A part is only taken when it holds at least one object to this share."""
    brightness: Share = 0.12
    """Largest change of brightness, as a share of white."""
    contrast: Annotated[float, pydantic.Field(ge=0.0, lt=1.0)] = 0.25
    """Largest relative change of contrast."""
    saturation: Annotated[float, pydantic.Field(ge=0.0, le=1.0)] = 0.25
    """Largest relative change of saturation."""
    hue: Annotated[float, pydantic.Field(ge=0.0, le=0.5)] = 0.02
    """Largest rotation of the hue, as a share of the colour circle."""
    blur: Share = 0.0
    """Probability of a Gaussian blur."""
    blur_max_sigma: Annotated[float, pydantic.Field(gt=0.0, le=8.0)] = 1.5
    """Largest standard deviation of the blur, in pixels of the canvas."""
    noise: Share = 0.0
    """Probability of Gaussian noise on every pixel."""
    noise_max_deviation: Annotated[float, pydantic.Field(gt=0.0, le=0.5)] = 0.06
    """Largest standard deviation of the noise, as a share of white."""
    jpeg: Share = 0.0
    """Probability that the image is coded as a JPEG of low quality."""
    jpeg_min_quality: Annotated[int, pydantic.Field(ge=1, le=95)] = 25
    """Lowest quality of that JPEG; the highest is 95."""
    erase: Share = 0.0
    """Probability that a rectangle is overwritten with random values."""
    erase_max_area: Annotated[float, pydantic.Field(ge=0.02, le=0.5)] = 0.15
    """Largest area of that rectangle, as a share of the image's; the smallest is 0.02."""
    mosaic: Share = 0.0
    """Probability that an image becomes one of four: parts of it and of three others of the batch, side by side."""
    mosaic_min_scale: Annotated[float, pydantic.Field(gt=0.0, le=1.0)] = 0.5
    """Smallest scale at which the four are shown, against their own; the largest is 1."""
    mixup: Share = 0.0
    """Probability that another image of the batch shines through; the objects of both are learnt."""
    mixing_until: Share = 0.9
    """Share of the steps after which there is no more mosaic and mixup, so that the end is learnt from images as they
    are. Of `feature_extraction` it is the share of the augmented copies that are made so."""
    copy_paste: Share = 0.0
    """Probability that objects of other training images, cut out by their boxes, are pasted in."""
    copy_paste_objects: Annotated[int, pydantic.Field(ge=1, le=10)] = 3
    """Most objects pasted into one image."""
    copy_paste_rarity: Annotated[float, pydantic.Field(ge=0.0, le=2.0)] = 0.5
    """How much rare classes are preferred: a class is pasted in proportion to its number of objects to the power of
    minus this; 0 pastes all classes as often."""
    copy_paste_scale_range: tuple[Scale, Scale] = (0.7, 1.4)
    """Smallest and largest factor on the size the object has in its own image."""

    @pydantic.model_validator(mode="after")
    def _one_of_crop_zoom_out_and_scale_jitter(self) -> AugmentationSettings:
        if self.crop + self.zoom_out + self.scale_jitter > 1.0:
            raise ValueError(
                "crop, zoom_out and scale_jitter exclude each other, so crop + zoom_out + scale_jitter must be at most "
                f"1, found {self.crop} + {self.zoom_out} + {self.scale_jitter}"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _ranges_go_up(self) -> AugmentationSettings:
        for name in ("scale_jitter_range", "copy_paste_scale_range"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} is [smallest, largest], found [{low}, {high}]")
        return self

    @property
    def images_mixed(self) -> int:
        """How many images of a batch one training image is made of at most."""
        return 4 if self.mosaic else 2 if self.mixup else 1
