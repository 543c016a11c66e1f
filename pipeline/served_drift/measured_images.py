"""All that is compared of a set of images: how they look, and what models make of them."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from components.detector.weights.checkpoints import CheckpointError
from pipeline.served_drift.embedding import embed
from pipeline.served_drift.image_statistics import image_statistics
from pipeline.served_drift.seen_images import Found, ask

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class MeasuredImages:
    """A set of images.

    Attributes:
      statistics: float64 [N, 4], see ``image_statistics``.
      found: by the model that is judged.
      embeddings: float64 [N, C]; None where the export allows none.
      why_not_embedded: says why that is.
      previous: what the version before finds; None where there is none.
    """

    statistics: Floats
    found: tuple[Found, ...]
    embeddings: Floats | None
    why_not_embedded: str
    previous: tuple[Found, ...] | None

    @classmethod
    def of(
        cls, encoded: Sequence[bytes], found: Sequence[Found], model: pathlib.Path, previous: pathlib.Path | None
    ) -> Self:
        """Measures.

        Args:
          encoded: the files; they decode.
          found: what the model finds in them.
          model: folder of its version.
          previous: of the version before; None: there is none.
        """
        embeddings, why_not = None, ""
        try:
            embeddings = embed(model, encoded)
        except CheckpointError as error:
            why_not = str(error)
        return cls(
            np.stack([image_statistics(image) for image in encoded]),
            tuple(found),
            embeddings,
            why_not,
            None if previous is None else tuple(ask(previous, encoded)),
        )

    def __len__(self) -> int:
        return len(self.found)

    def select(self, rows: Sequence[int]) -> Self:
        """Some of the images."""
        return dataclasses.replace(
            self,
            statistics=self.statistics[list(rows)],
            found=tuple(self.found[row] for row in rows),
            embeddings=None if self.embeddings is None else self.embeddings[list(rows)],
            previous=None if self.previous is None else tuple(self.previous[row] for row in rows),
        )
