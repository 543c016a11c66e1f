"""Coloured glyphs on abstract grounds: the task the demo's checkpoint is trained on.

On purpose it shares nothing with the street scenes that a network could learn by heart: other shapes, other classes,
any colour, no roads. What carries over is how to tell a small drawn thing from a busy ground.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from demo.canvas import Canvas, Rgb

_SIDE = 128
_LEAST_VISIBLE = 0.5
_LEAST_CONTRAST = 110.0
_Point = tuple[float, float]
_Ink = tuple[int, int, int, int]
_Draw = Callable[[ImageDraw.ImageDraw, _Ink, _Ink], None]


class GlyphImage(NamedTuple):
    """One picture of the task.

    Attributes:
      pixels: uint8 [S, S, 3].
      boxes_yxyx_normalized: float32 [M, 4], visible extents.
      classes: int32 [M], 0-based indices of `GLYPH_CLASSES`.
    """

    pixels: npt.NDArray[np.uint8]
    boxes_yxyx_normalized: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]


def _scaled(points: list[_Point]) -> list[_Point]:
    return [(x * (_SIDE - 1), y * (_SIDE - 1)) for x, y in points]


def _spokes(corners: int, outer: float, inner: float) -> list[_Point]:
    """Corners of a star about the centre."""
    radii = [outer, inner] * corners
    angles = [math.pi * i / corners - math.pi / 2 for i in range(2 * corners)]
    return [(0.5 + r * math.cos(a), 0.5 + r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]


def _ellipse(draw: ImageDraw.ImageDraw, x: float, y: float, radius_x: float, radius_y: float, ink: _Ink) -> None:
    (left, top), (right, bottom) = _scaled([(x - radius_x, y - radius_y), (x + radius_x, y + radius_y)])
    draw.ellipse((left, top, right, bottom), fill=ink)


def _star(draw: ImageDraw.ImageDraw, ink: _Ink, other: _Ink) -> None:
    draw.polygon(_scaled(_spokes(5, 0.5, 0.2)), fill=ink)


def _cross(draw: ImageDraw.ImageDraw, ink: _Ink, other: _Ink) -> None:
    a, b = 0.34, 0.66
    corners = [(a, 0), (b, 0), (b, a), (1, a), (1, b), (b, b), (b, 1), (a, 1), (a, b), (0, b), (0, a), (a, a)]
    draw.polygon(_scaled([(float(x), float(y)) for x, y in corners]), fill=ink)


def _ring(draw: ImageDraw.ImageDraw, ink: _Ink, other: _Ink) -> None:
    draw.ellipse((0, 0, _SIDE - 1, _SIDE - 1), outline=ink, width=round(_SIDE * 0.2))


def _heart(draw: ImageDraw.ImageDraw, ink: _Ink, other: _Ink) -> None:
    turns = [2 * math.pi * i / 60 for i in range(60)]
    curve = [
        (16 * math.sin(t) ** 3, 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t))
        for t in turns
    ]
    draw.polygon(_scaled([(0.5 + x / 34, 0.45 - y / 34) for x, y in curve]), fill=ink)


def _crescent(draw: ImageDraw.ImageDraw, ink: _Ink, other: _Ink) -> None:
    outer = [math.radians(a) for a in range(50, 311, 10)]
    inner = [math.radians(a) for a in range(300, 59, -10)]
    corners = [(0.55 + 0.5 * math.cos(a), 0.5 + 0.5 * math.sin(a)) for a in outer]
    corners += [(0.72 + 0.38 * math.cos(a), 0.5 + 0.42 * math.sin(a)) for a in inner]
    draw.polygon(_scaled(corners), fill=ink)


def _house(draw: ImageDraw.ImageDraw, ink: _Ink, other: _Ink) -> None:
    draw.polygon(_scaled([(0.0, 0.45), (0.5, 0.0), (1.0, 0.45)]), fill=other)
    draw.polygon(_scaled([(0.12, 0.45), (0.88, 0.45), (0.88, 1.0), (0.12, 1.0)]), fill=ink)
    draw.polygon(_scaled([(0.4, 0.62), (0.6, 0.62), (0.6, 1.0), (0.4, 1.0)]), fill=other)


def _fish(draw: ImageDraw.ImageDraw, ink: _Ink, other: _Ink) -> None:
    draw.polygon(_scaled([(0.62, 0.5), (1.0, 0.22), (1.0, 0.78)]), fill=other)
    _ellipse(draw, 0.38, 0.5, 0.38, 0.26, ink)
    _ellipse(draw, 0.18, 0.44, 0.05, 0.05, other)


def _mushroom(draw: ImageDraw.ImageDraw, ink: _Ink, other: _Ink) -> None:
    draw.polygon(_scaled([(0.36, 0.4), (0.64, 0.4), (0.7, 0.96), (0.3, 0.96)]), fill=other)
    draw.pieslice((0, _SIDE * 0.04, _SIDE - 1, _SIDE * 0.96), 180, 360, fill=ink)
    for x, y in ((0.3, 0.34), (0.56, 0.2), (0.74, 0.38)):
        _ellipse(draw, x, y, 0.07, 0.06, other)


def _key(draw: ImageDraw.ImageDraw, ink: _Ink, other: _Ink) -> None:
    left, top, right, bottom = (_SIDE * share for share in (0.0, 0.28, 0.44, 0.72))
    draw.ellipse((left, top, right, bottom), outline=ink, width=round(_SIDE * 0.11))
    for corners in ((0.40, 0.45, 1.0, 0.55), (0.72, 0.5, 0.80, 0.74), (0.90, 0.5, 0.98, 0.68)):
        draw.rectangle([_SIDE * share for share in corners], fill=ink)


def _flower(draw: ImageDraw.ImageDraw, ink: _Ink, other: _Ink) -> None:
    for petal in range(6):
        angle = math.pi * petal / 3
        _ellipse(draw, 0.5 + 0.3 * math.cos(angle), 0.5 + 0.3 * math.sin(angle), 0.2, 0.2, ink)
    _ellipse(draw, 0.5, 0.5, 0.17, 0.17, other)


def _cat(draw: ImageDraw.ImageDraw, ink: _Ink, other: _Ink) -> None:
    draw.polygon(_scaled([(0.06, 0.0), (0.45, 0.25), (0.1, 0.6)]), fill=ink)
    draw.polygon(_scaled([(0.94, 0.0), (0.55, 0.25), (0.9, 0.6)]), fill=ink)
    _ellipse(draw, 0.5, 0.58, 0.46, 0.4, ink)
    for x in (0.32, 0.68):
        _ellipse(draw, x, 0.5, 0.08, 0.1, other)
    draw.polygon(_scaled([(0.43, 0.68), (0.57, 0.68), (0.5, 0.77)]), fill=other)


def _cup(draw: ImageDraw.ImageDraw, ink: _Ink, other: _Ink) -> None:
    draw.arc([_SIDE * share for share in (0.55, 0.25, 0.99, 0.72)], 0, 360, fill=ink, width=round(_SIDE * 0.09))
    draw.polygon(_scaled([(0.0, 0.1), (0.76, 0.1), (0.66, 0.94), (0.1, 0.94)]), fill=ink)
    draw.rectangle([_SIDE * share for share in (0.04, 0.3, 0.72, 0.42)], fill=other)


def _letter(letter: str) -> _Draw:
    def draw_letter(draw: ImageDraw.ImageDraw, ink: _Ink, other: _Ink) -> None:
        font = ImageFont.load_default(size=_SIDE)
        centre = (_SIDE / 2, _SIDE / 2)
        draw.text(centre, letter, font=font, fill=ink, anchor="mm", stroke_width=6, stroke_fill=ink)

    return draw_letter


_DRAW: Final[dict[str, _Draw]] = {
    "star": _star,
    "cross": _cross,
    "ring": _ring,
    "heart": _heart,
    "crescent": _crescent,
    "house": _house,
    "fish": _fish,
    "mushroom": _mushroom,
    "key": _key,
    "flower": _flower,
    "cat": _cat,
    "cup": _cup,
    "letter_a": _letter("A"),
    "letter_k": _letter("K"),
    "letter_s": _letter("S"),
    "letter_w": _letter("W"),
}
GLYPH_CLASSES: Final = tuple(_DRAW)


def render_glyphs(index: int, side_pixels: int, seed: int) -> GlyphImage:
    """Draws picture `index`; the same arguments give the same pixels."""
    rng = np.random.default_rng([seed, index])
    canvas = Canvas(side_pixels, side_pixels)
    _draw_ground(canvas, rng)
    names = [str(name) for name in rng.choice(GLYPH_CLASSES, int(rng.integers(2, 8)))]
    wholes = [_draw_glyph(canvas, name, number, rng) for number, name in enumerate(names, start=1)]
    _draw_clutter(canvas, int(rng.integers(0, 4)), 0.12, rng)
    boxes, classes = [], []
    for number, (name, whole) in enumerate(zip(names, wholes, strict=True), start=1):
        seen = canvas.visible(number)
        # What is all but covered is neither an object nor part of the ground: it is rare enough to leave it.
        if seen is not None and seen.area_pixels >= _LEAST_VISIBLE * whole:
            xmin, ymin, xmax, ymax = (edge / side_pixels for edge in seen.box_xyxy_pixels)
            boxes.append((ymin, xmin, ymax, xmax))
            classes.append(GLYPH_CLASSES.index(name))
    return GlyphImage(_expose(canvas, rng), np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.int32))


def _colour(rng: np.random.Generator) -> Rgb:
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return red, green, blue


def _colour_apart_from(ground: npt.NDArray[np.uint8], rng: np.random.Generator) -> Rgb:
    """A colour that can be told from the ground."""
    while True:
        colour = _colour(rng)
        if np.linalg.norm(np.array(colour, np.float32) - ground) > _LEAST_CONTRAST:
            return colour


def _draw_ground(canvas: Canvas, rng: np.random.Generator) -> None:
    """Bands between two colours, then stripes, patches or foliage."""
    first, last = np.array(_colour(rng)), np.array(_colour(rng))
    across = rng.random() < 0.5
    for band in range(16):
        red, green, blue = (int(value) for value in first + (last - first) * band / 15)
        start = canvas.width * band / 16
        left, top = (start, 0.0) if across else (0.0, start)
        canvas.rectangle(left, top, canvas.width, canvas.height, (red, green, blue), 0.5)
    _draw_clutter(canvas, int(rng.integers(2, 16)), 0.6, rng)
    if rng.random() < 0.4:
        shade = np.array(_colour(rng))
        x, y, spread = rng.uniform(0, canvas.width), rng.uniform(0, canvas.height), rng.uniform(20, 120)
        for _ in range(80):
            red, green, blue = (int(value) for value in np.clip(shade * rng.uniform(0.6, 1.3), 0, 255))
            radius = spread * rng.uniform(0.08, 0.25)
            at = rng.normal(0, spread, 2)
            canvas.ellipse(x + at[0], y + at[1], radius, radius, (red, green, blue), 0.5)


def _draw_clutter(canvas: Canvas, count: int, largest: float, rng: np.random.Generator) -> None:
    """Lines, blobs and quadrilaterals of no class, up to a share of the picture."""
    for _ in range(count):
        x, y = rng.uniform(0, canvas.width), rng.uniform(0, canvas.height)
        size = canvas.width * rng.uniform(0.02, largest)
        kind = rng.integers(3)
        if kind == 0:
            end = (x + rng.normal(0, 2) * size, y + rng.normal(0, 2) * size)
            canvas.line([(x, y), end], _colour(rng), rng.uniform(1, 10), 0.5)
        elif kind == 1:
            canvas.ellipse(x, y, size / 2, size * rng.uniform(0.15, 0.4), _colour(rng), 0.5)
        else:
            corners = [(x + rng.uniform(0.2, 1) * size * a, y + rng.uniform(0.2, 1) * size * b)
                       for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]  # fmt: skip
            canvas.polygon(corners, _colour(rng), 0.5)


def _draw_glyph(canvas: Canvas, name: str, number: int, rng: np.random.Generator) -> int:
    """Draws a glyph somewhere; returns how many canvas pixels it has."""
    diameter = canvas.width * 0.07 * 7 ** rng.beta(1.0, 1.2)
    size = (max(4, round(diameter * rng.uniform(0.7, 1.0))), max(4, round(diameter)))
    left = int(rng.uniform(-0.1 * size[0], canvas.width - 0.9 * size[0]))
    top = int(rng.uniform(-0.1 * size[1], canvas.height - 0.9 * size[1]))
    below = canvas.colour.crop((left, top, left + size[0], top + size[1])).resize((1, 1), Image.Resampling.BOX)
    ground = np.asarray(below)[0, 0]
    ink, other = _colour_apart_from(ground, rng), _colour_apart_from(ground, rng)
    flat = Image.new("RGBA", (_SIDE, _SIDE))
    _DRAW[name](ImageDraw.Draw(flat), (*ink, 255), (*other, 255))
    turned = flat.resize(size, Image.Resampling.LANCZOS).rotate(
        float(rng.normal(0, 10)), Image.Resampling.BICUBIC, expand=True
    )
    picture = turned.crop(turned.getchannel("A").getbbox())
    return canvas.paste(picture, left, top, number, 0.5)


def _expose(canvas: Canvas, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Light, haze, blur and noise of any kind."""
    colour, _, _ = canvas.planes()  # [S, S, 3]
    exponent = np.float32(rng.uniform(0.7, 1.6))
    shown = 255 * (colour / 255) ** exponent
    haze = np.float32(max(0.0, rng.uniform(-0.8, 0.5)))
    shown = shown * (1 - haze) + haze * np.array(_colour(rng), np.float32)
    if rng.random() < 0.3:
        blurred = Image.fromarray(np.clip(shown, 0, 255).astype(np.uint8)).filter(
            ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.2)))
        )
        shown = np.asarray(blurred, np.float32)
    shown = shown + np.float32(rng.uniform(0, 10)) * rng.standard_normal(shown.shape, np.float32)
    pixels: npt.NDArray[np.uint8] = np.clip(shown, 0, 255).astype(np.uint8)
    return pixels
