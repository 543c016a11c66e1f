"""A contact sheet: a dozen pictures of a data set with their boxes and class names, on one image."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from components.example_gen.boxes import Box, CheckedObject
from pipeline.box_drawing import DrawnBox, Rgb, class_colours, draw_boxes
from pipeline.doctor.survey import Picture

SHOWN: Final = 12
"""How many pictures a sheet has."""

_COLUMNS: Final = 4
_CELL_WIDTH: Final = 460
_MARGIN, _CAPTION, _LEGEND = 16, 26, 26
_CAPTION_FONT = ImageFont.load_default(16)
_BACKGROUND, _FRAME, _INK = (246, 246, 244), (228, 228, 224), (40, 40, 40)
_MOST_NAMED: Final = 24
_SIXTEEN_BIT_GREY: Final = ("I;16", "I;16B", "I;16L", "I")


def choose(pictures: Sequence[Picture], count: int = SHOWN) -> list[Picture]:
    """Pictures that show much: of every split, and of each those with classes not yet seen first, then spread evenly.

    In the order given.
    """
    by_split: dict[str, list[int]] = {}
    for index, picture in enumerate(pictures):
        by_split.setdefault(picture.split, []).append(index)
    chosen: list[int] = []
    # The smallest split first: what it cannot fill is left to the others, and half of the places to the largest.
    for left, indices in enumerate(sorted(by_split.values(), key=len)):
        splits_left = len(by_split) - left
        share = count - len(chosen) if splits_left == 1 else max((count - len(chosen)) // (splits_left + 1), 1)
        chosen += _of_split(pictures, indices, min(share, len(indices)))
    return [pictures[index] for index in sorted(chosen)]


def _of_split(pictures: Sequence[Picture], indices: Sequence[int], count: int) -> list[int]:
    chosen: list[int] = []
    seen: set[str] = set()
    for index in indices:
        new = {checked.class_name for checked in pictures[index].objects} - seen
        if new and len(chosen) < -(-count // 2):
            chosen.append(index)
            seen |= new
    rest = [index for index in indices if index not in chosen]
    missing = count - len(chosen)
    return chosen + [rest[place * len(rest) // missing] for place in range(missing)]


def draw_sheet(pictures: Sequence[tuple[Picture, bytes]], classes: Mapping[str, int]) -> Image.Image:
    """The sheet.

    Args:
      pictures: with their image files; one that does not decode is a grey cell that says so.
      classes: boxes by name of all classes of the data set, the most frequent first: the legend.
    """
    colours = class_colours(list(classes))
    decoded = [(picture, _decoded(encoded)) for picture, encoded in pictures]
    ratios = sorted(image.height / image.width for _, image in decoded if isinstance(image, Image.Image))
    cell = (_CELL_WIDTH, round(_CELL_WIDTH * min(max(ratios[len(ratios) // 2] if ratios else 0.75, 0.5), 1.25)))
    rows = -(-len(decoded) // _COLUMNS)
    width = _COLUMNS * (cell[0] + _MARGIN) + _MARGIN
    legend = list(_legend(classes, width))
    height = _MARGIN + rows * (cell[1] + _CAPTION + _MARGIN) + len(legend) * _LEGEND + _MARGIN // 2
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for index, (picture, image) in enumerate(decoded):
        x = _MARGIN + index % _COLUMNS * (cell[0] + _MARGIN)
        y = _MARGIN + index // _COLUMNS * (cell[1] + _CAPTION + _MARGIN)
        sheet.paste(_drawn(picture, image, cell, colours), (x, y))
        count = len(picture.objects)
        tail = f"  {picture.split}, {count} object{'' if count == 1 else 's'}"
        room = cell[0] - _CAPTION_FONT.getlength(tail)
        draw.text((x, y + cell[1] + 4), _shortened(picture.file, room) + tail, _INK, _CAPTION_FONT)
    for line, entries in enumerate(legend):
        y = height - _MARGIN // 2 - (len(legend) - line) * _LEGEND
        for left, name, text in entries:
            draw.rectangle((left, y + 3, left + 14, y + 17), fill=colours.get(name, _BACKGROUND))
            draw.text((left + 20, y), text, _INK, _CAPTION_FONT)
    return sheet


def is_dark(encoded: bytes, min_brightest: int) -> bool:
    """Whether an image decodes to values below ``min_brightest`` (of 255) only; not when it does not decode."""
    image = _decoded(encoded)
    return isinstance(image, Image.Image) and int(np.asarray(image).max()) < min_brightest


def _legend(classes: Mapping[str, int], width: int) -> Iterator[list[tuple[float, str, str]]]:
    """Lines of entries: x, class, text."""
    entries: list[tuple[float, str, str]] = []
    x: float = _MARGIN
    shown = list(classes.items())[:_MOST_NAMED]
    texts = [(name, f"{name} ({count})") for name, count in shown]
    if len(classes) > len(shown):
        texts.append(("", f"and {len(classes) - len(shown)} more"))
    for name, text in texts:
        length = 20 + _CAPTION_FONT.getlength(text) + 24
        if x + length > width and entries:
            yield entries
            entries, x = [], _MARGIN
        entries.append((x, name, text))
        x += length
    if entries:
        yield entries


def _shortened(path: str, room: float) -> str:
    """The path, without its beginning where it is too long."""
    if _CAPTION_FONT.getlength(path) <= room:
        return path
    while path and _CAPTION_FONT.getlength("..." + path) > room:
        path = path[1:]
    return "..." + path.lstrip(".")


def _drawn(
    picture: Picture, image: Image.Image | str, size: tuple[int, int], colours: Mapping[str, Rgb]
) -> Image.Image:
    """One cell: the picture with its boxes, or why there is none."""
    cell = Image.new("RGB", size, _FRAME)
    draw = ImageDraw.Draw(cell)
    if isinstance(image, str):
        draw.text((12, 12), image, _INK, _CAPTION_FONT)
        return cell
    small = ImageOps.contain(image, size, Image.Resampling.LANCZOS)
    offset = (size[0] - small.width) // 2, (size[1] - small.height) // 2
    cell.paste(small, offset)
    # Large boxes first, so that small ones stay visible on them.
    objects = sorted(picture.objects, key=lambda checked: -checked.area_pixels)
    draw_boxes(
        cell,
        [
            DrawnBox(
                _in_pixels(checked.box_xyxy_normalized, small.size, offset),
                _title(checked),
                colours[checked.class_name],
                checked.annotation.is_crowd or checked.annotation.is_difficult,
            )
            for checked in objects
        ],
    )
    return cell


def _title(checked: CheckedObject) -> str:
    crowd = " (crowd)" if checked.annotation.is_crowd else ""
    return checked.class_name + crowd + (" (difficult)" if checked.annotation.is_difficult else "")


def _decoded(encoded: bytes) -> Image.Image | str:
    """Upright RGB, of 16 bits the upper 8, as the detector sees it; or why it does not decode."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(encoded)) as image:
                image.draft("RGB", (2 * _CELL_WIDTH, 2 * _CELL_WIDTH))
                upright = ImageOps.exif_transpose(image)
                if upright.mode in _SIXTEEN_BIT_GREY:
                    upright = upright.point(lambda value: value / 256).convert("L")
                return upright.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        return f"does not decode: {str(error)[:40]}"


def _in_pixels(box: Box, size: tuple[int, int], offset: tuple[int, int]) -> Box:
    return (
        offset[0] + box[0] * size[0],
        offset[1] + box[1] * size[1],
        offset[0] + box[2] * size[0],
        offset[1] + box[3] * size[1],
    )
