"""An image with boxes as the page shows it: a JPEG of bounded size, outlines, and names that can be read.

``templates/drawn_image.html`` draws it as SVG. There are two sets of names: large ones for the picture in its grid, of
which there is room for few, and small ones for the picture over the whole window.
"""

from __future__ import annotations

import base64
import colorsys
import dataclasses
import functools
import io
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from PIL import Image, ImageFont, ImageOps

from components.label_placement import Box, LabelPlacer

MOST_BYTES: Final = 100_000
"""Of one JPEG. A page shows at most 42 pictures (12 examples, 12 of the label review, 6 misses, 6 false alarms, 3 wins
and 3 losses), so those are below 4.2 MB, or 5.6 MB as text."""
LONGER_SIDE_PIXELS: Final = 1000
_QUALITIES: Final = (82, 70, 58, 46)
_GRID_WIDTH: Final = 340.0
"""CSS pixels that a picture is about as wide in the grid."""
_WINDOW: Final = (1100.0, 760.0)
"""Width and height in CSS pixels that it has over the whole window."""
_GRID_FONT: Final = 12.0
_WINDOW_FONT: Final = 13.0
_MOST_GRID_NAMES: Final = 6
"""Beside those of marked boxes."""
_PADDING, _LINE_HEIGHT = 0.3, 1.3
"""Around a name at its sides, and the height of its ground, as shares of the font's size."""
_MEASURED_SIZE: Final = 100
_WIDER: Final = 1.1
"""The page's letters are semi-bold, those that are measured are not."""
_FONT: Final = ImageFont.load_default(_MEASURED_SIZE)
_TRUTH, _MARKED_TRUTH, _MARKED_FOUND = "#ffffff", "#ffd23f", "#ff6fae"
_SAME_IOU: Final = 0.5

Rgb = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class DrawnBox:
    """A box to draw.

    Attributes:
      box_yxyx_normalized: (ymin, xmin, ymax, xmax) in 0..1.
      class_name: what it is.
      score: of a detection, None for ground truth.
      mark: why the picture is shown, in a word before the class; empty for all other boxes.
    """

    box_yxyx_normalized: tuple[float, float, float, float]
    class_name: str
    score: float | None = None
    mark: str = ""

    @property
    def title(self) -> str:
        """The class, with the score of a detection."""
        score = "" if self.score is None else f"{self.score:.2f}"
        return " ".join(filter(None, (self.mark, self.class_name, score)))

    @property
    def colour(self) -> str:
        """Of the outline and of the ground of its name: that of the class for what a model finds."""
        if self.mark:
            return _MARKED_TRUTH if self.score is None else _MARKED_FOUND
        return _TRUTH if self.score is None else class_colour(self.class_name)

    @property
    def ink(self) -> str:
        """Black or white, whichever can be read on ``colour``."""
        luminance = relative_luminance(self.colour)
        return "#000000" if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else "#ffffff"


class Name(NamedTuple):
    """A name on its ground, in the picture's pixels.

    Attributes:
      text: what is written; shortened where the picture is narrower.
      x, y, width, height: of the ground.
      text_x, text_y: where the text begins, its base line.
      text_width: that it is fitted to.
      colour, ink: of the ground and of the letters.
    """

    text: str
    x: float
    y: float
    width: float
    height: float
    text_x: float
    text_y: float
    text_width: float
    colour: str
    ink: str


@dataclasses.dataclass(frozen=True)
class DrawnImage:
    """One picture.

    Attributes:
      file: its name.
      jpeg: the image, from ``page_jpeg``; empty when it cannot be decoded.
      height_width_pixels: of the JPEG.
      truths: what is there.
      detections: what the model finds; None without a model.
      remarks: what is said below it.
    """

    file: str
    jpeg: bytes
    height_width_pixels: tuple[int, int]
    truths: tuple[DrawnBox, ...]
    detections: tuple[DrawnBox, ...] | None
    remarks: tuple[str, ...] = ()

    @property
    def data_url(self) -> str:
        """The JPEG inside its own address."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.jpeg).decode('ascii')}"

    @property
    def boxes(self) -> Sequence[tuple[DrawnBox, dict[str, float]]]:
        """Boxes in the order they are drawn (marked ones on top, below them the surest), each with its place."""
        every = (*self.truths, *sorted(self.detections or (), key=lambda box: box.score or 0.0))
        placed = []
        for box in sorted(every, key=lambda box: bool(box.mark)):
            xmin, ymin, xmax, ymax = self._pixels(box)
            placed.append((box, {"x": xmin, "y": ymin, "w": max(xmax - xmin, 0), "h": max(ymax - ymin, 0)}))
        return placed

    @property
    def grid_names(self) -> list[Name]:
        """Names for the picture in the grid: of marked boxes, and of a few detections."""
        named = [box for box in self._by_importance if box.mark]
        named += [box for box in self._by_importance if not box.mark and box.score is not None][:_MOST_GRID_NAMES]
        return self._names(named, self.grid_font)

    @property
    def window_names(self) -> list[Name]:
        """Names for the picture over the whole window: of all boxes but objects that a detection names as well."""
        found = self.detections or ()
        named = [
            box
            for box in self._by_importance
            if box.mark
            or box.score is not None
            or not any(box.class_name == other.class_name and _iou(box, other) >= _SAME_IOU for other in found)
        ]
        return self._names(named, self.window_font)

    @functools.cached_property
    def _by_importance(self) -> list[DrawnBox]:
        return sorted(
            (*self.truths, *(self.detections or ())),
            key=lambda box: (not box.mark, box.score is None, -(box.score or 0.0)),
        )

    def _pixels(self, box: DrawnBox) -> Box:
        height, width = self.height_width_pixels
        ymin, xmin, ymax, xmax = box.box_yxyx_normalized
        return xmin * width, ymin * height, xmax * width, ymax * height

    def _names(self, boxes: Sequence[DrawnBox], font: float) -> list[Name]:
        height, width = self.height_width_pixels
        placer = LabelPlacer((width, height), [self._pixels(box) for box, _ in self.boxes])
        names = []
        for box in boxes:
            text, text_width = fitted(box.title, font, width - 2 * _PADDING * font)
            place = placer.place(self._pixels(box), text_width + 2 * _PADDING * font, _LINE_HEIGHT * font)
            if place is not None:
                x, y, right, bottom = place
                base = bottom - 0.33 * font
                names.append(
                    Name(text, x, y, right - x, bottom - y, x + _PADDING * font, base, text_width, box.colour, box.ink)
                )
        return names

    @property
    def grid_font(self) -> float:
        """Size of the letters of ``grid_names``, in the picture's pixels."""
        return _GRID_FONT * self.height_width_pixels[1] / _GRID_WIDTH

    @property
    def window_font(self) -> float:
        """Size of the letters of ``window_names``, in the picture's pixels."""
        height, width = self.height_width_pixels
        return _WINDOW_FONT * max(width / _WINDOW[0], height / _WINDOW[1])


def fitted(text: str, font: float, most_width: float) -> tuple[str, float]:
    """A text, its end cut off as far as it has to be, and its width in letters of a size."""
    shown = text
    while True:
        width = _WIDER * font * _FONT.getlength(shown) / _MEASURED_SIZE
        if width <= most_width or len(shown) < 2:
            return shown, width
        shown = f"{shown[: -2 if shown.endswith('…') else -1]}…"


def class_colour(class_name: str) -> str:
    """A light colour that depends on the name alone: ``#rrggbb``."""
    hue = zlib.crc32(class_name.encode("utf-8", "replace")) % 360 / 360
    return "#" + "".join(f"{round(255 * part):02x}" for part in colorsys.hls_to_rgb(hue, 0.65, 0.9))


def relative_luminance(colour: str) -> float:
    """Of ``#rrggbb``, 0..1, as WCAG 2 defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def page_jpeg(encoded: bytes) -> tuple[bytes, tuple[int, int]]:
    """An image upright, of at most ``LONGER_SIDE_PIXELS`` and ``MOST_BYTES``, and its height and width.

    Nothing when it does not decode.
    """
    side = LONGER_SIDE_PIXELS
    try:
        with Image.open(io.BytesIO(encoded), formats=["JPEG", "PNG"]) as opened:
            opened.draft("RGB", (side, side))
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, SyntaxError):  # Pillow's name for a damaged PNG
        return b"", (0, 0)
    while True:
        picture.thumbnail((side, side))
        for quality in _QUALITIES:
            output = io.BytesIO()
            picture.save(output, "JPEG", quality=quality, optimize=True)
            if output.tell() <= MOST_BYTES:
                return output.getvalue(), (picture.height, picture.width)
        side = max(picture.size) * 3 // 4


def _iou(one: DrawnBox, other: DrawnBox) -> float:
    a, b = one.box_yxyx_normalized, other.box_yxyx_normalized
    height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if height <= 0 or width <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return height * width / (sum(areas) - height * width)
