"""What ``model.tiling`` of the config holds. Imports neither TensorFlow nor Keras."""

from __future__ import annotations

from typing import Annotated

import pydantic

from components.settings import Settings

Count = Annotated[int, pydantic.Field(ge=1, le=16)]


class TilingSettings(Settings):
    """Large images for small objects: the image is cut into overlapping tiles, each of which the detector sees on its
    own canvas (`model.image_size`), and what it finds is put together again, in training, evaluation and serving.

    The image is stretched to the canvas that the tiles make together, so rows and columns should go with its shape:
    1 x 2 or 2 x 3 for road scenes. Each tile costs what an image costs without tiling."""

    rows: Count = 2
    """Tiles above each other."""
    columns: Count = 2
    """Tiles side by side."""
    overlap: Annotated[float, pydantic.Field(ge=0.0, le=0.8)] = 0.2
    """Of neighbouring tiles, as a share of a tile's side. Objects up to this size are whole on some tile."""
    whole_image: bool = True
    """Also look at the whole image, scaled down to one more tile: for objects that are larger than the overlap."""
    background_share: Annotated[float, pydantic.Field(ge=0.0, le=1.0)] = 0.1
    """Of the parts that are trained on, those taken anywhere; the others show at least one object, where there is
    one."""

    @pydantic.model_validator(mode="after")
    def _more_than_one(self) -> TilingSettings:
        if self.rows * self.columns < 2:
            raise ValueError("one row of one column is the whole image: leave tiling out, or set more of either")
        return self

    @property
    def tiles(self) -> int:
        """How often the detector looks at an image."""
        return self.rows * self.columns + int(self.whole_image)

    @property
    def sides_in_tiles(self) -> tuple[float, float]:
        """Height and width of an image, in those of a tile."""
        return 1.0 + (self.rows - 1) * (1.0 - self.overlap), 1.0 + (self.columns - 1) * (1.0 - self.overlap)

    @property
    def tile_share_yx(self) -> tuple[float, float]:
        """Height and width of a tile, in those of an image."""
        height, width = self.sides_in_tiles
        return 1.0 / height, 1.0 / width
