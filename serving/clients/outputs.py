"""What a client prints as the answers come: a table, JSON lines, CSV, or COCO results at the end."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from typing import Final, Protocol, TextIO

from serving.clients.detections import ImageDetections

_COLUMNS: Final = ("image", "class", "score", "xmin", "ymin", "xmax", "ymax")
_CLASS_WIDTH: Final = 24


class Output(Protocol):
    """Takes answers one after the other."""

    def write(self, result: ImageDetections) -> None:
        """An image's answer."""

    def close(self) -> None:
        """What comes after the last one."""


class TableOutput:
    """A line a detection; an image in which nothing was found has a line that says so."""

    def __init__(self, stream: TextIO, longest_name: int) -> None:
        """`longest_name`: characters of the longest path that may come, which the first column is as wide as."""
        self._stream = stream
        self._widths = (max(longest_name, len(_COLUMNS[0])), _CLASS_WIDTH, 5, 5, 5, 5, 5)
        self._is_begun = False

    def write(self, result: ImageDetections) -> None:
        """See `Output`."""
        if not self._is_begun:
            self._line(_COLUMNS)
            self._is_begun = True
        if not result.detections:
            self._line((result.file, "(nothing found)", "", "", "", "", ""))
        for found in result.detections:
            corners = map(str, found.box_xyxy_pixels(result.width, result.height))
            self._line((result.file, found.class_name, f"{found.score:.3f}", *corners))

    def close(self) -> None:
        """See `Output`."""

    def _line(self, cells: Sequence[str]) -> None:
        aligned = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, self._widths, strict=True))
        ]
        print("  ".join(aligned).rstrip(), file=self._stream, flush=True)


class JsonLinesOutput:
    """An object an image and line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, result: ImageDetections) -> None:
        """See `Output`."""
        print(json.dumps(result.to_json(), ensure_ascii=False), file=self._stream, flush=True)

    def close(self) -> None:
        """See `Output`."""


class CsvOutput:
    """A row a detection, with the version that found it; images without any have none."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._writer = csv.writer(stream, lineterminator="\n")
        self._writer.writerow((*_COLUMNS, "class_id", "model_version"))

    def write(self, result: ImageDetections) -> None:
        """See `Output`."""
        for found in result.detections:
            corners = found.box_xyxy_pixels(result.width, result.height)
            self._writer.writerow(
                (
                    result.file,
                    found.class_name,
                    f"{found.score:.6f}",
                    *corners,
                    found.class_id,
                    result.model_version,
                )
            )
        self._stream.flush()

    def close(self) -> None:
        """See `Output`."""


class CocoOutput:
    """COCO's results: a list of detections with boxes in pixels (x, y, width, height), and `file_name` beside the id.

    An image's id is its place in the order of the answers, from 1 on; `file_name` tells which it is.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._images = 0
        self._rows: list[dict[str, object]] = []

    def write(self, result: ImageDetections) -> None:
        """See `Output`."""
        self._images += 1
        for found in result.detections:
            ymin, xmin, ymax, xmax = found.box_yxyx_normalized
            x, y = xmin * result.width, ymin * result.height
            width, height = (xmax - xmin) * result.width, (ymax - ymin) * result.height
            self._rows.append(
                {
                    "image_id": self._images,
                    "file_name": result.file,
                    "category_id": found.class_id,
                    "category_name": found.class_name,
                    "bbox": [round(value, 2) for value in (x, y, width, height)],
                    "score": round(found.score, 6),
                }
            )

    def close(self) -> None:
        """See `Output`."""
        json.dump(self._rows, self._stream, ensure_ascii=False)
        print(file=self._stream, flush=True)


FORMATS: Final = ("table", "jsonl", "csv", "coco")


def make_output(form: str, stream: TextIO, longest_name: int) -> Output:
    """The output of one of `FORMATS`."""
    match form:
        case "table":
            return TableOutput(stream, longest_name)
        case "jsonl":
            return JsonLinesOutput(stream)
        case "csv":
            return CsvOutput(stream)
        case "coco":
            return CocoOutput(stream)
    raise ValueError(f"found {form!r}; expected one of {', '.join(FORMATS)}")
