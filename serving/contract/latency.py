"""How long answers take, one request after the other."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from schema import exported_model as names
from schema.contract_report import Latency
from serving.contract.loaders import Loader
from serving.contract.probe_images import Files
from serving.protocol.errors import RequestError

_MILLISECONDS = 1000.0


def measure_latency(loader: Loader, images: Files, batch_sizes: Sequence[int], runs: int) -> list[Latency]:
    """Percentiles over so many requests of each batch size; none where the loader does not answer."""
    return [
        latency
        for batch_size in batch_sizes
        if runs and (latency := _latency(loader, np.resize(images, batch_size), runs)) is not None
    ]


def _latency(loader: Loader, batch: Files, runs: int) -> Latency | None:
    inputs, milliseconds = {names.IMAGE_BYTES: batch}, []
    try:
        # The first one makes room for a batch of this size.
        loader.run(names.SERVING_SIGNATURE, inputs)
        for _ in range(runs):
            started = time.perf_counter()
            loader.run(names.SERVING_SIGNATURE, inputs)
            milliseconds.append((time.perf_counter() - started) * _MILLISECONDS)
    except RequestError:
        # The checks say so.
        return None
    p50, p95, p99 = (float(value) for value in np.percentile(milliseconds, (50, 95, 99)))
    return Latency(loader.name, len(batch), runs, p50, p95, p99)
