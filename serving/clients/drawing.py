"""Boxes and labels drawn on an image."""

from __future__ import annotations

import colorsys
import zlib
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from serving.protocol.detections import Detection

Rgb = tuple[int, int, int]


def class_colour(class_name: str) -> Rgb:
    """A strong colour that depends on the name alone, so that a class looks the same in every image and run."""
    checksum = zlib.crc32(class_name.encode())
    red, green, blue = colorsys.hsv_to_rgb((checksum % 360) / 360, 0.75 + (checksum >> 9) % 25 / 100, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_detections(image: Image.Image, detections: Sequence[Detection]) -> Image.Image:
    """A copy of an upright image with a box and a label (class and score in per cent) for each detection.

    Lines and letters grow with the image; labels stay inside it. The best detection is drawn last, on top.
    """
    drawn = image.convert("RGB")
    draw = ImageDraw.Draw(drawn)
    side = max(drawn.size)
    thickness = max(2, round(side / 320))
    font = ImageFont.load_default(size=max(11, round(side / 48)))
    for found in sorted(detections, key=lambda detection: detection.score):
        colour = class_colour(found.class_name)
        xmin, ymin, xmax, ymax = found.box_xyxy_pixels(drawn.width, drawn.height)
        # Pillow refuses boxes turned inside out, which rounding cannot make but a foreign model may send.
        draw.rectangle((xmin, ymin, max(xmin, xmax - 1), max(ymin, ymax - 1)), outline=colour, width=thickness)
        _draw_label(draw, f"{found.class_name} {found.score:.0%}", xmin, ymin, ymax, colour, font, drawn.size)
    return drawn


def _draw_label(
    draw: ImageDraw.ImageDraw,
    text: str,
    xmin: int,
    ymin: int,
    ymax: int,
    colour: Rgb,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    image_size: tuple[int, int],
) -> None:
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    padding = 2
    width, height = right - left + 2 * padding, bottom - top + 2 * padding
    x = max(0, min(xmin, image_size[0] - width))
    # Above the box, else below it, else inside its upper edge.
    y = next((y for y in (ymin - height, ymax) if 0 <= y <= image_size[1] - height), max(0, ymin))
    draw.rectangle((x, y, x + width, y + height), fill=colour)
    # Rec. 601 luma: dark letters on light colours.
    luma = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    draw.text((x + padding - left, y + padding - top), text, fill="black" if luma > 140 else "white", font=font)
