"""What a frozen backbone made of images, kept in plain array files: written once in order, read in any order.

A folder holds a file for each kind of array, in which row after row lies as it is in memory, and ``progress.json``,
which says how many rows are there and whether these are all. It is written when the rows before it are on the disk, and
rows beyond it are cut off: after a kill or a full disk nothing half-written is taken for whole. Reading maps the files
into memory, so that the operating system keeps what fits and no more.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import IO, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

_PROGRESS_FILE: Final = "progress.json"
_SHARES: Final = "valid_height_width"
_BOX_ENDS: Final = "box_ends"
_BOXES: Final = "boxes"

BOX_COLUMNS: Final = 6
"""ymin, xmin, ymax, xmax (normalised to the canvas), 0-based class, weight: the real rows of a ``GroundTruth``."""


class Rows(NamedTuple):
    """Of images, in the order they were asked for.

    Attributes:
      features: [B, h, w, C] by level, in the type they are stored in.
      valid_height_width: float32 [B, 2], the share of the canvas that is image.
      boxes: of each image, float32 [M, ``BOX_COLUMNS``].
    """

    features: dict[str, NDArray[Any]]
    valid_height_width: NDArray[np.float32]
    boxes: list[NDArray[np.float32]]


class FeatureStore:
    """The rows in a folder.

    Args:
      folder: theirs alone; made when it is missing.
      levels: shape [h, w, C] of a row of each level.
      storage: what features are stored as.
    """

    def __init__(self, folder: pathlib.Path, levels: Mapping[str, tuple[int, ...]], storage: str) -> None:
        self.folder = folder
        self._levels = dict(levels)
        self._types: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
            **{level: (np.dtype(storage), shape) for level, shape in levels.items()},
            _SHARES: (np.dtype(np.float32), (2,)),
            _BOX_ENDS: (np.dtype(np.int64), ()),
            _BOXES: (np.dtype(np.float32), (BOX_COLUMNS,)),
        }

    @property
    def row_bytes(self) -> int:
        """On the disk, boxes not counted."""
        return sum(self._bytes(name) for name in self._types if name != _BOXES)

    def progress(self) -> tuple[int, bool]:
        """How many rows are there, and whether that is all of them; (0, False) without any."""
        try:
            said = json.loads((self.folder / _PROGRESS_FILE).read_bytes())
            rows, boxes, complete = int(said["rows"]), int(said["boxes"]), bool(said["complete"])
            enough = all(
                (self.folder / f"{name}.bin").stat().st_size >= (boxes if name == _BOXES else rows) * self._bytes(name)
                for name in self._types
            )
        except (OSError, ValueError, KeyError):
            return 0, False
        return (rows, complete) if enough else (0, False)

    def writer(self) -> FeatureWriter:
        """Goes on behind the rows that ``progress`` counts."""
        return FeatureWriter(self, self._types)

    def read(self, indices: Sequence[int]) -> Rows:
        """Rows by number, any order, repeated or not; those that ``progress`` counts."""
        ends, boxes = self._mapped[_BOX_ENDS], self._mapped[_BOXES]
        spans = [(int(ends[index - 1]) if index else 0, int(ends[index])) for index in indices]
        return Rows(
            {level: np.stack([self._mapped[level][index] for index in indices]) for level in self._levels},
            np.stack([self._mapped[_SHARES][index] for index in indices]),
            [np.array(boxes[start:end]) for start, end in spans],
        )

    @property
    def _mapped(self) -> dict[str, NDArray[Any]]:
        if "_maps" not in self.__dict__:
            self._maps = {
                # An empty file cannot be mapped: images without an object have no boxes.
                name: np.memmap(path, dtype, "r").reshape(-1, *shape)
                if (path := self.folder / f"{name}.bin").stat().st_size
                else np.zeros((0, *shape), dtype)
                for name, (dtype, shape) in self._types.items()
            }
        return self._maps

    def _bytes(self, name: str) -> int:
        dtype, shape = self._types[name]
        return dtype.itemsize * int(np.prod(shape, dtype=np.int64))


class FeatureWriter(contextlib.ExitStack):
    """Appends rows; a context manager."""

    def __init__(self, store: FeatureStore, types: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]) -> None:
        super().__init__()
        self._folder = store.folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self.rows, _ = store.progress()
        self._boxes = 0
        self._files: dict[str, IO[bytes]] = {}
        ends = self._folder / f"{_BOX_ENDS}.bin"
        if self.rows:
            self._boxes = int(np.fromfile(ends, np.int64, count=self.rows)[-1])
        for name in types:
            file = self.enter_context((self._folder / f"{name}.bin").open("ab"))
            file.truncate((self._boxes if name == _BOXES else self.rows) * store._bytes(name))
            self._files[name] = file
        self._types = types

    def append(
        self,
        features: Mapping[str, NDArray[Any]],
        valid_height_width: NDArray[np.float32],
        boxes: Sequence[NDArray[np.float32]],
    ) -> None:
        """Adds images; they count from the next ``commit`` on. Shapes as in ``Rows``."""
        ends = self._boxes + np.cumsum([len(of_image) for of_image in boxes])
        values = {**features, _SHARES: valid_height_width, _BOX_ENDS: ends, _BOXES: np.concatenate(boxes)}
        for name, (dtype, _) in self._types.items():
            self._files[name].write(np.ascontiguousarray(values[name], dtype).tobytes())
        self.rows += len(boxes)
        self._boxes = int(ends[-1])

    def commit(self, complete: bool) -> None:
        """What was appended is on the disk, and counts."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        partial = self._folder / f"{_PROGRESS_FILE}.partial"
        with partial.open("wb") as file:
            file.write(json.dumps({"rows": self.rows, "boxes": self._boxes, "complete": complete}).encode())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._folder / _PROGRESS_FILE)


def folder_bytes(folder: pathlib.Path) -> int:
    """Size of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def remove_folder(folder: pathlib.Path) -> None:
    """Deletes it, progress first: a kill in between leaves nothing that could be taken for whole."""
    (folder / _PROGRESS_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
