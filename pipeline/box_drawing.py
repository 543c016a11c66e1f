"""Boxes with names on a picture: outlines in the colour of the class, names where nothing is covered by them."""

from __future__ import annotations

import collections
import colorsys
from collections.abc import Sequence
from typing import Final, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from components.label_placement import Box, LabelPlacer

Rgb = tuple[int, int, int]
_LINE: Final = 3
_NAMED_EACH: Final = 3
"""Boxes of a title that are named in a picture that shows many of it."""
_LABEL_HEIGHT: Final = 20
_LABEL_FONT = ImageFont.load_default(15)


class DrawnBox(NamedTuple):
    """A box on a picture.

    Attributes:
      box_xyxy_pixels: on the picture.
      title: what is written beside it.
      colour: of the outline, and of the ground of the title.
      is_dashed: whether the outline is.
    """

    box_xyxy_pixels: Box
    title: str
    colour: Rgb
    is_dashed: bool


def class_colours(names: Sequence[str]) -> dict[str, Rgb]:
    """Colours as different as they get, in the order of the names."""
    colours = {}
    for index, name in enumerate(names):
        hue = (0.58 + index * 0.381966) % 1.0  # the golden section never comes back near where it was
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.85 if index % 2 == 0 else 0.65, 0.9 if index % 3 else 0.8)
        colours[name] = (round(red * 255), round(green * 255), round(blue * 255))
    return colours


def draw_boxes(picture: Image.Image, boxes: Sequence[DrawnBox]) -> None:
    """Draws boxes on an RGB picture, in their order: small ones last stay visible on large ones."""
    draw = ImageDraw.Draw(picture)
    for drawn in boxes:
        _outline(draw, drawn.box_xyxy_pixels, drawn.colour, drawn.is_dashed)
    placer = LabelPlacer(picture.size, [drawn.box_xyxy_pixels for drawn in boxes])
    named: collections.Counter[str] = collections.Counter()
    counts = collections.Counter(drawn.title for drawn in boxes)
    many = {title for title, count in counts.items() if count > 2 * _NAMED_EACH}
    for drawn in boxes:
        if drawn.title in many and named[drawn.title] >= _NAMED_EACH:
            continue
        place = placer.place(drawn.box_xyxy_pixels, _LABEL_FONT.getlength(drawn.title) + 8, _LABEL_HEIGHT)
        if place is None:  # the colour tells
            continue
        draw.rectangle(place, fill=drawn.colour)
        draw.text((place[0] + 4, place[1] + 1), drawn.title, _ink_on(drawn.colour), _LABEL_FONT)
        named[drawn.title] += 1


def _outline(draw: ImageDraw.ImageDraw, box: Box, colour: Rgb, dashed: bool) -> None:
    xmin, ymin, xmax, ymax = box
    if not dashed:
        draw.rectangle((xmin, ymin, max(xmax - 1, xmin), max(ymax - 1, ymin)), outline=colour, width=_LINE)
        return
    for start, end, fixed, across in ((xmin, xmax, (ymin, ymax), True), (ymin, ymax, (xmin, xmax), False)):
        for edge in fixed:
            position = start
            while position < end:
                stop = min(position + 8, end)
                line = (position, edge, stop, edge) if across else (edge, position, edge, stop)
                draw.line(line, colour, _LINE)
                position += 14


def _ink_on(colour: Rgb) -> str:
    # Rec. 601 luma: dark letters on light colours.
    return "black" if 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140 else "white"
