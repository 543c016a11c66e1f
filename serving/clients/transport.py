"""The seam between what a client does and how its requests travel: a transport is a file, gRPC's and REST's there are.

A transport asks once. Trying again, the deadline over all tries, batches and many files are done above it, for all
transports alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy.typing as npt


@dataclasses.dataclass(frozen=True)
class ModelChoice:
    """Which model is asked.

    Attributes:
      name: on the server.
      version: to insist on; None or 0: the one that is served.
      label: of a version to insist on, in place of its number.
    """

    name: str
    version: int | None = None
    label: str = ""

    def __post_init__(self) -> None:
        """Raises `ValueError` where a version and a label are given."""
        if self.version is not None and self.label:
            raise ValueError(f"a version ({self.version}) and a label ({self.label!r}) exclude each other")


@dataclasses.dataclass(frozen=True)
class Predicted:
    """What the signature `serving_default` gave.

    Attributes:
      outputs: arrays by the names of `OUTPUTS` and `THRESHOLDS` of `schema.exported_model`, as far as the answer has
        them; strings are bytes in arrays of objects.
      version: of the model that answered; 0: the server does not say.
    """

    outputs: Mapping[str, npt.NDArray[Any]]
    version: int


class Transport(Protocol):
    """A way to one model on one server; safe to use from several threads."""

    def predict(self, images: Sequence[bytes], timeout_seconds: float) -> Predicted:
        """Asks once.

        Args:
          images: JPEG or PNG files.
          timeout_seconds: when nobody waits for the answer any more.

        Raises:
          ImageRefusedError: the server does not take one of the images.
          AwayError: in a moment the same may be answered.
          ServerError: no answer for another reason, or one that is not a detector's.
        """

    def close(self) -> None:
        """Ends the connection."""


class AsyncTransport(Protocol):
    """The same for asyncio."""

    async def predict(self, images: Sequence[bytes], timeout_seconds: float) -> Predicted:
        """See `Transport`."""

    async def close(self) -> None:
        """See `Transport`."""
