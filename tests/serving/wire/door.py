"""A running server with every door open, and calls of its REST door by plain HTTP."""

from __future__ import annotations

import contextlib
import json
import pathlib
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from serving.model_server import ModelServer, ServerSettings
from serving.models.models_config import ModelConfig
from serving.models.version_policy import ALL
from serving.wire.rest import RestSettings


@contextlib.contextmanager
def open_door(folder: pathlib.Path, **settings: Any) -> Iterator[ModelServer]:
    """Serves all versions in `folder`/models; version 1 is "stable"."""
    given = {"port": 0, "poll_seconds": 3600, "rest": RestSettings(0, metrics_path="/monitoring/prometheus/metrics")}
    model = ModelConfig("detector", folder / "models", ALL, {"stable": 1})
    running = ModelServer([model], ServerSettings(**{**given, **settings}))
    running.start()
    try:
        yield running
    finally:
        running.stop(grace_seconds=0)


def http(
    server: ModelServer,
    path: str,
    body: object = None,
    *,
    method: str | None = None,
    headers: dict[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers of an answer; a body that is no bytes is sent as JSON."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    address = f"{'https' if tls else 'http'}://localhost:{server.rest_port}{path}"
    request = urllib.request.Request(address, data, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60, context=tls) as response:
            return response.status, response.read().decode(), dict(response.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)
