"""Settings of the check of an exported model before it is pushed: the ``push.contract`` section of the config."""

from __future__ import annotations

from typing import Annotated

import pydantic

from components.settings import Settings

Sizes = Annotated[list[pydantic.PositiveInt], pydantic.Field(min_length=1)]


class ContractSettings(Settings):
    """What a model has to show before it is pushed, beside being good: that servers and clients can use it."""

    enabled: bool = True
    """Whether a blessed model is checked, in a process of its own, as `python -m serving.contract` does by hand. One
    that fails is not pushed, and the summary says why."""
    images: pydantic.PositiveInt = 8
    """Images of the split `eval` that the model is asked about. Fewer than 8 are asked about again in other sizes, so
    that a batch has 8."""
    sides_pixels: Sizes = [160, 320, 640, 1000]
    """Longer sides that these images are brought to, in turn: batches are of mixed sizes."""
    latency_runs: pydantic.NonNegativeInt = 20
    """Requests of each size that are timed, in TF Serving's loader, on the CPU, one after the other. Nothing is decided
    by it: percentiles are written down beside the result. 0: nothing is timed."""
    latency_batch_sizes: Sizes = [1, 8]
    """Images in a timed request."""
    max_reply_bytes: pydantic.PositiveInt = 4 << 20
    """Largest answer to the largest batch of the warm-up. gRPC's clients take 4 MiB unless they are told otherwise."""
    timeout_seconds: pydantic.PositiveInt = 1800
    """A check that takes longer is ended and counts as failed: a model that hangs is not served."""
