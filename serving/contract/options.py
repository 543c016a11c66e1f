"""What a contract check is told; imports no TensorFlow, so that a wrong flag costs no time."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING

from schema.exported_model import MODEL_NAME

if TYPE_CHECKING:
    from serving.clients.connection import Connection

BATCH: int = 8
"""Images that are asked about together."""


@dataclasses.dataclass(frozen=True)
class ContractOptions:
    """With which images, how often, and where.

    Attributes:
      images: JPEG or PNG files; none: images are drawn.
      sides_pixels: longer sides that images are brought to, in turn.
      latency_runs: timed requests of each size.
      latency_batch_sizes: images in a timed request.
      max_reply_bytes: largest answer that clients take; gRPC's clients take 4 MiB unless they are told otherwise.
      server: how a server that is asked the same is reached, None without one.
      model_name: what that server calls the model.
    """

    images: tuple[pathlib.Path, ...] = ()
    sides_pixels: tuple[int, ...] = (160, 320, 640, 1000)
    latency_runs: int = 20
    latency_batch_sizes: tuple[int, ...] = (1, 8)
    max_reply_bytes: int = 4 << 20
    server: Connection | None = None
    model_name: str = MODEL_NAME
