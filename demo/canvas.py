"""The canvas a scene is drawn on: colour, and beside it what weather, night and tight boxes need to know of a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Rgb = tuple[int, int, int]
Points = Sequence[tuple[float, float]]

SUPERSAMPLING = 2
"""Canvas pixels for one image pixel; the scene is averaged down at the end, which smooths edges."""
INFINITELY_FAR = 255


class Visible(NamedTuple):
    """What is seen of a pasted picture.

    Attributes:
      box_xyxy_pixels: tight box in image pixels.
      area_pixels: visible canvas pixels, to be compared with what `Canvas.paste` returned.
    """

    box_xyxy_pixels: tuple[float, float, float, float]
    area_pixels: int


class Canvas:
    """Four planes of one size that every shape is drawn on at once.

    Attributes:
      colour: RGB.
      distance: 8 bit, 0 at the camera to 255 infinitely far: what fog hides.
      glow: RGB, what shines by itself at night (lit windows, lamps); black elsewhere.
      owner: 8 bit, number of the pasted picture that is seen in a pixel, 0 for anything else. Whatever is drawn
        later covers it, so its visible extent can be read off exactly.
    """

    def __init__(self, width_pixels: int, height_pixels: int) -> None:
        self.width = width_pixels * SUPERSAMPLING
        self.height = height_pixels * SUPERSAMPLING
        size = (self.width, self.height)
        self.colour = Image.new("RGB", size)
        self.distance = Image.new("L", size, INFINITELY_FAR)
        self.glow = Image.new("RGB", size)
        self.owner = Image.new("L", size)
        self._draw_colour = ImageDraw.Draw(self.colour)
        self._draw_distance = ImageDraw.Draw(self.distance)
        self._draw_glow = ImageDraw.Draw(self.glow)
        self._draw_owner = ImageDraw.Draw(self.owner)

    def polygon(self, points: Points, fill: Rgb, distance: float, glow: Rgb = (0, 0, 0)) -> None:
        """Fills a polygon; corners are (x, y) in canvas pixels."""
        corners = list(points)
        self._draw_colour.polygon(corners, fill=fill)
        self._draw_distance.polygon(corners, fill=_byte(distance))
        self._draw_glow.polygon(corners, fill=glow)
        self._draw_owner.polygon(corners, fill=0)

    def rectangle(
        self, left: float, top: float, right: float, bottom: float, fill: Rgb, distance: float, glow: Rgb = (0, 0, 0)
    ) -> None:
        """Fills an upright rectangle given in canvas pixels."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], fill, distance, glow)

    def ellipse(
        self, x: float, y: float, radius_x: float, radius_y: float, fill: Rgb, distance: float, glow: Rgb = (0, 0, 0)
    ) -> None:
        """Fills an upright ellipse about (x, y), in canvas pixels."""
        box = (x - radius_x, y - radius_y, x + radius_x, y + radius_y)
        self._draw_colour.ellipse(box, fill=fill)
        self._draw_distance.ellipse(box, fill=_byte(distance))
        self._draw_glow.ellipse(box, fill=glow)
        self._draw_owner.ellipse(box, fill=0)

    def line(self, points: Points, fill: Rgb, width: float, distance: float) -> None:
        """Draws connected straight lines, `width` canvas pixels thick."""
        corners = list(points)
        thickness = max(1, round(width))
        self._draw_colour.line(corners, fill=fill, width=thickness)
        self._draw_distance.line(corners, fill=_byte(distance), width=thickness)
        self._draw_glow.line(corners, fill=(0, 0, 0), width=thickness)
        self._draw_owner.line(corners, fill=0, width=thickness)

    def paste(self, picture: Image.Image, left: int, top: int, number: int, distance: float) -> int:
        """Pastes an RGBA picture with its top left corner at (left, top).

        Returns:
          How many canvas pixels the whole picture has, those outside the canvas included; see `visible` for the part
          of them that is left to see.
        """
        alpha = picture.getchannel("A")
        solid = alpha.point([255 if value > 127 else 0 for value in range(256)])
        self.colour.paste(picture.convert("RGB"), (left, top), alpha)
        self.distance.paste(_byte(distance), (left, top, left + picture.width, top + picture.height), solid)
        self.glow.paste((0, 0, 0), (left, top, left + picture.width, top + picture.height), solid)
        self.owner.paste(number, (left, top, left + picture.width, top + picture.height), solid)
        return int(np.count_nonzero(np.asarray(solid)))

    def visible(self, number: int) -> Visible | None:
        """What is seen of the picture pasted with `number`, None when nothing is."""
        rows, columns = np.nonzero(np.asarray(self.owner) == number)
        if not len(rows):
            return None
        edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        xmin, ymin, xmax, ymax = (float(edge) / SUPERSAMPLING for edge in edges)
        return Visible((xmin, ymin, xmax, ymax), len(rows))

    def planes(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Colour [H, W, 3] in 0..255, distance [H, W] in 0..1 and glow [H, W, 3] in 0..255, at image size."""
        colour, distance, glow = (
            np.asarray(plane.reduce(SUPERSAMPLING), dtype=np.float32)
            for plane in (self.colour, self.distance, self.glow)
        )
        return colour, distance / np.float32(INFINITELY_FAR), glow


def _byte(distance: float) -> int:
    return int(min(max(distance, 0.0), 1.0) * INFINITELY_FAR)
