"""Light and weather over a drawn scene: day or night, clear, fog or rain."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from demo.canvas import Canvas

TIMES_OF_DAY: Final = ("day", "night")
WEATHERS: Final = ("clear", "fog", "rain")

_Plane = npt.NDArray[np.float32]


def expose(
    canvas: Canvas, horizon_share: float, time_of_day: str, weather: str, rng: np.random.Generator
) -> Image.Image:
    """Takes the photograph.

    Args:
      canvas: the drawn scene.
      horizon_share: y of the horizon, 0..1 of the height; below it wet roads shine.
      time_of_day: one of `TIMES_OF_DAY`.
      weather: one of `WEATHERS`.
      rng: texture, rain drops and sensor noise.

    Returns:
      RGB image at image size.
    """
    colour, distance, glow = canvas.planes()  # [H, W, 3], [H, W], [H, W, 3]
    height, width = distance.shape
    colour *= 1 + 0.13 * _texture(height, width, rng) * (distance < 0.93)[..., None]
    signs = np.asarray(canvas.owner.reduce(2), dtype=np.float32)[..., None] > 0
    if weather == "rain":
        colour = _wet(colour, horizon_share, rng)
    if time_of_day == "night":
        colour = _night(colour, distance, glow, signs, rng)
    if weather == "fog":
        colour = _fog(colour, distance, time_of_day, rng)
    if weather == "rain":
        colour = _rain(colour, time_of_day, rng)
    colour += (6 if time_of_day == "night" else 3) * rng.standard_normal(colour.shape, np.float32)
    return Image.fromarray(np.clip(colour, 0, 255).astype(np.uint8))


def _texture(height: int, width: int, rng: np.random.Generator) -> _Plane:
    """Smooth noise at three scales, about -1..1, [H, W, 1]."""
    total = np.zeros((height, width), np.float32)
    for cell, weight in ((24, 0.5), (6, 0.3), (2, 0.35)):
        coarse = rng.standard_normal((height // cell + 2, width // cell + 2), np.float32)
        total += weight * np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))
    texture: _Plane = np.clip(total, -1, 1)[..., None]
    return texture


def _night(
    colour: _Plane, distance: _Plane, glow: _Plane, signs: npt.NDArray[np.bool_], rng: np.random.Generator
) -> _Plane:
    """Moonlight, our own headlights (which signs throw back) and everything that shines."""
    height, width = distance.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    beam_x = width * rng.uniform(0.4, 0.6)
    beam = np.exp(-(((x - beam_x) / (width * 0.4)) ** 2) - ((y - height * 0.8) / (height * 0.32)) ** 2)[..., None]
    ambient = np.array([0.17, 0.20, 0.30], np.float32) * rng.uniform(0.8, 1.25)
    headlights = np.array([0.55, 0.52, 0.45], np.float32) * beam * (distance < 0.93)[..., None]
    thrown_back = np.where(signs, rng.uniform(0.3, 0.5), 0.0).astype(np.float32)
    dark = colour * (ambient + headlights + thrown_back)
    halo = Image.fromarray(glow.astype(np.uint8)).filter(ImageFilter.GaussianBlur(7))
    lit: _Plane = np.maximum(dark, glow * 0.9) + 1.1 * np.asarray(halo, np.float32)
    return lit


def _fog(colour: _Plane, distance: _Plane, time_of_day: str, rng: np.random.Generator) -> _Plane:
    """Air light that grows with distance (Koschmieder), in drifting banks."""
    air = np.array([70, 74, 82] if time_of_day == "night" else [196, 200, 203], np.float32)
    banks = 1 + 0.25 * _texture(colour.shape[0], colour.shape[1], rng)[..., 0]
    density = rng.uniform(1.3, 2.0)
    hidden = 1 - np.exp(-density * (0.22 + distance) * banks)
    hidden = np.minimum(hidden, 0.97)[..., None]
    fogged: _Plane = colour * (1 - hidden) + air * hidden
    return fogged


def _wet(colour: _Plane, horizon_share: float, rng: np.random.Generator) -> _Plane:
    """Grey light, and a road that mirrors what stands above it."""
    height = colour.shape[0]
    grey = colour.mean(axis=-1, keepdims=True)
    colourful = np.where(np.arange(height) < height * horizon_share, 0.45, 0.55).astype(np.float32)[:, None, None]
    dull: _Plane = colour * colourful + grey * (0.75 - colourful) + 8
    horizon = int(height * horizon_share)
    rows = np.arange(horizon, height)
    mirrored = np.clip(2 * horizon - rows, 0, height - 1)
    strength = (rng.uniform(0.2, 0.35) * np.linspace(1, 0.3, len(rows)))[:, None, None].astype(np.float32)
    smeared = Image.fromarray(np.clip(dull[mirrored], 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(2))
    ripple = np.asarray(smeared, np.float32)
    # Horizontal surfaces only, which is what is grey below the horizon; painted signs are left as they are.
    wet = (np.ptp(colour[rows], axis=-1, keepdims=True) < 26) * strength
    dull[rows] = dull[rows] * (1 - wet) + ripple * wet
    return dull


def _rain(colour: _Plane, time_of_day: str, rng: np.random.Generator) -> _Plane:
    """Streaks in the air and drops on the windscreen."""
    height, width, _ = colour.shape
    streaks = Image.new("L", (width, height))
    draw = ImageDraw.Draw(streaks)
    slant = rng.uniform(-0.25, 0.25)
    for _ in range(int(rng.integers(140, 240))):
        x, y, length = rng.uniform(0, width), rng.uniform(-10, height), rng.uniform(6, 20)
        draw.line([(x, y), (x + slant * length, y + length)], fill=int(rng.integers(60, 150)), width=1)
    for _ in range(int(rng.integers(4, 14))):
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(1, 3)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=90)
    share = np.asarray(streaks.filter(ImageFilter.GaussianBlur(0.5)), np.float32)[..., None] / np.float32(255)
    drop = np.array([120, 126, 136] if time_of_day == "night" else [214, 220, 226], np.float32)
    seen_through: _Plane = colour * (1 - share) + drop * share
    return seen_through
