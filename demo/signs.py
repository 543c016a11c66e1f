"""Traffic signs, each drawn flat and facing the camera on a square RGBA picture."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

RED: Final = (196, 22, 32, 255)
BLUE: Final = (18, 82, 170, 255)
YELLOW: Final = (246, 196, 20, 255)
WHITE: Final = (240, 240, 236, 255)
BLACK: Final = (22, 22, 24, 255)

_SIDE = 128
"""Pixels of the picture a sign is drawn on before it is brought to its size in the scene."""
_Point = tuple[float, float]


def _regular_polygon(corners: int, radius: float, turn_degrees: float) -> list[_Point]:
    """Corners of a regular polygon about the centre; radius in shares of the picture's side."""
    angles = [math.radians(turn_degrees + 360 * i / corners) for i in range(corners)]
    return [(_SIDE * (0.5 + radius * math.cos(a)), _SIDE * (0.5 + radius * math.sin(a))) for a in angles]


def _disc(draw: ImageDraw.ImageDraw, radius: float, fill: tuple[int, int, int, int]) -> None:
    low, high = _SIDE * (0.5 - radius), _SIDE * (0.5 + radius) - 1
    draw.ellipse((low, low, high, high), fill=fill)


def _text(draw: ImageDraw.ImageDraw, text: str, height: float, fill: tuple[int, int, int, int]) -> None:
    """Writes centred; the font is Pillow's own, so that no font of the machine changes the picture."""
    font = ImageFont.load_default(size=_SIDE * height)
    draw.text((_SIDE / 2, _SIDE / 2), text, font=font, fill=fill, anchor="mm", stroke_width=3, stroke_fill=fill)


def _stop(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    draw.polygon(_regular_polygon(8, 0.54, 22.5), fill=WHITE)
    draw.polygon(_regular_polygon(8, 0.50, 22.5), fill=RED)
    _text(draw, "STOP", 0.27, WHITE)


def _yield(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    side = _SIDE - 1
    draw.polygon([(0, side * 0.06), (side, side * 0.06), (side / 2, side * 0.94)], fill=RED)
    draw.polygon([(side * 0.19, side * 0.17), (side * 0.81, side * 0.17), (side / 2, side * 0.72)], fill=WHITE)


_SPEEDS: Final = ("30", "50", "60", "70", "80")


def _speed_limit(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    _speed_limit_of(draw, str(rng.choice(_SPEEDS)))


def _speed_limit_of(draw: ImageDraw.ImageDraw, speed: str) -> None:
    _disc(draw, 0.5, RED)
    _disc(draw, 0.37, WHITE)
    _text(draw, speed, 0.42, BLACK)


def _no_entry(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    _disc(draw, 0.5, WHITE)
    _disc(draw, 0.475, RED)
    draw.rectangle((_SIDE * 0.16, _SIDE * 0.40, _SIDE * 0.84, _SIDE * 0.60), fill=WHITE)


def _priority_road(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    draw.polygon(_regular_polygon(4, 0.5, 0), fill=BLACK)
    draw.polygon(_regular_polygon(4, 0.485, 0), fill=WHITE)
    draw.polygon(_regular_polygon(4, 0.34, 0), fill=YELLOW)


def _pedestrian_crossing(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    side = _SIDE - 1
    draw.rounded_rectangle((side * 0.04, side * 0.04, side * 0.96, side * 0.96), radius=_SIDE * 0.07, fill=BLUE)
    draw.polygon([(side * 0.5, side * 0.12), (side * 0.88, side * 0.84), (side * 0.12, side * 0.84)], fill=WHITE)
    draw.ellipse((side * 0.46, side * 0.26, side * 0.56, side * 0.36), fill=BLACK)
    for stroke in (
        [(0.50, 0.36), (0.49, 0.56)],
        [(0.49, 0.56), (0.40, 0.74)],
        [(0.49, 0.56), (0.60, 0.74)],
        [(0.50, 0.41), (0.40, 0.52)],
        [(0.50, 0.41), (0.61, 0.51)],
    ):
        draw.line([(side * x, side * y) for x, y in stroke], fill=BLACK, width=round(_SIDE * 0.05))
    for left in (0.22, 0.38, 0.54, 0.70):
        draw.rectangle((side * left, side * 0.76, side * (left + 0.08), side * 0.82), fill=BLACK)


_DIRECTIONS: Final = {"right": 0, "left": 180, "ahead": 270, "keep_right": 45, "keep_left": 135}
"""Degrees clockwise from the right."""


def _mandatory_direction(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    _mandatory_direction_of(draw, int(rng.choice(list(_DIRECTIONS.values()))))


def _mandatory_direction_of(draw: ImageDraw.ImageDraw, degrees: int) -> None:
    _disc(draw, 0.5, WHITE)
    _disc(draw, 0.475, BLUE)
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    arrow = [(-0.32, -0.07), (0.06, -0.07), (0.06, -0.21), (0.34, 0.0), (0.06, 0.21), (0.06, 0.07), (-0.32, 0.07)]
    draw.polygon([(_SIDE * (0.5 + x * cos - y * sin), _SIDE * (0.5 + x * sin + y * cos)) for x, y in arrow], fill=WHITE)


_DRAW: Final[dict[str, Callable[[ImageDraw.ImageDraw, np.random.Generator], None]]] = {
    "stop": _stop,
    "yield": _yield,
    "speed_limit": _speed_limit,
    "no_entry": _no_entry,
    "priority_road": _priority_road,
    "pedestrian_crossing": _pedestrian_crossing,
    "mandatory_direction": _mandatory_direction,
}

SIGN_CLASSES: Final = tuple(_DRAW)
"""Class names in the order of their COCO category ids, which start at 1."""

_DRAW_VARIANT: Final[dict[str, Callable[[ImageDraw.ImageDraw], None]]] = {
    **{f"speed_limit_{speed}": functools.partial(_speed_limit_of, speed=speed) for speed in _SPEEDS},
    **{
        f"mandatory_direction_{name}": functools.partial(_mandatory_direction_of, degrees=degrees)
        for name, degrees in _DIRECTIONS.items()
    },
}
SIGN_VARIANTS: Final = (*(name for name in SIGN_CLASSES if name not in ("speed_limit", "mandatory_direction")),
                        *_DRAW_VARIANT)  # fmt: skip
"""The same signs told apart as far as they can be: every speed and every direction is a class."""


def draw_sign(
    name: str, diameter: float, turn_degrees: float, width_share: float, rng: np.random.Generator
) -> Image.Image:
    """Draws a sign as it is seen from the road.

    Args:
      name: one of `SIGN_CLASSES` or `SIGN_VARIANTS`.
      diameter: height of the upright sign in canvas pixels.
      turn_degrees: rotation in the picture plane, counter-clockwise.
      width_share: how much of its width is left when seen from the side, 0..1.
      rng: chooses the number on a speed limit and the way of an arrow.

    Returns:
      RGBA picture, cropped to the sign.
    """
    flat = Image.new("RGBA", (_SIDE, _SIDE))
    if name in _DRAW_VARIANT:
        _DRAW_VARIANT[name](ImageDraw.Draw(flat))
    else:
        _DRAW[name](ImageDraw.Draw(flat), rng)
    height = max(4, round(diameter))
    seen = flat.resize((max(3, round(diameter * width_share)), height), Image.Resampling.LANCZOS)
    turned = seen.rotate(turn_degrees, Image.Resampling.BICUBIC, expand=True)
    return turned.crop(turned.getchannel("A").getbbox())
