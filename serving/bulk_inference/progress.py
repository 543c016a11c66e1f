"""How far a run on this machine is, told every few seconds by what is on the disk, whichever process wrote it."""

from __future__ import annotations

import pathlib
import sys
import threading
from types import TracebackType
from typing import Self

from serving.bulk_inference.part_file import PART_NAME

_SECONDS = 5.0


class Progress:
    """Tells of images in the files of parts while the block runs; a context manager."""

    def __init__(self, folder: str, parts: int, images: int | None, seconds: float = _SECONDS) -> None:
        """Begins to tell when the block does.

        Args:
          folder: with the files of parts, on this machine.
          parts: how many there are.
          images: how many there are; None: nobody knows.
          seconds: between two lines.
        """
        self._folder = pathlib.Path(folder)
        self._parts = parts
        self._of_images = f"of {images} images" if images is not None else "images"
        self._seconds = seconds
        self._counted: dict[str, tuple[int, int]] = {}
        self._told = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)

    def __enter__(self) -> Self:
        # What an earlier run has done is no news.
        self._told = self.count()[0]
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def count(self) -> tuple[int, int]:
        """Images that have an answer, and parts that are complete."""
        images: dict[str, int] = {}
        finished = 0
        for path in self._folder.iterdir():
            match = PART_NAME.fullmatch(path.name)
            if not match:
                continue
            finished += not match["writing"]
            # Of a part that two are writing, or one that was stopped, the longest counts.
            images[match[1]] = max(images.get(match[1], 0), self._lines(path))
        return sum(images.values()), finished

    def _lines(self, path: pathlib.Path) -> int:
        """Complete lines in a file that grows; only what is new is read."""
        position, lines = self._counted.get(path.name, (0, 0))
        try:
            with path.open("rb") as file:
                file.seek(position)
                while block := file.read(1 << 20):
                    lines += block.count(b"\n")
                    position += len(block)
        except FileNotFoundError:
            # Renamed between the listing and now.
            return lines
        self._counted[path.name] = position, lines
        return lines

    def _tell(self) -> None:
        while not self._is_over.wait(self._seconds):
            images, finished = self.count()
            if images != self._told:
                self._told = images
                print(f"{images} {self._of_images}, {finished} of {self._parts} parts", file=sys.stderr, flush=True)
