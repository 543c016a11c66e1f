"""gRPC's health service, on a thread of its own: a server that is busy is not dead."""

from __future__ import annotations

import concurrent.futures
import functools
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

_SERVICES: Final = ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")


class Health:
    """What the health service says of this server."""

    def __init__(self, server: grpc.Server) -> None:
        """Adds the service to a server; it is not serving yet."""
        pool = concurrent.futures.ThreadPoolExecutor(1, "health")
        self._servicer = health.HealthServicer(experimental_non_blocking=True, experimental_thread_pool=pool)
        # grpc looks for this attribute at what it calls; without it a check would queue behind the predictions.
        check = functools.partial(self._servicer.Check)
        check.experimental_thread_pool = pool  # type: ignore[attr-defined]
        self._servicer.Check = check
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)
        self.set_serving(False)

    def set_serving(self, is_serving: bool) -> None:
        """What is answered from now on."""
        statuses = health_pb2.HealthCheckResponse
        for service in _SERVICES:
            self._servicer.set(service, statuses.SERVING if is_serving else statuses.NOT_SERVING)

    def end(self) -> None:
        """NOT_SERVING from now on, whatever is set."""
        self._servicer.enter_graceful_shutdown()
