"""A connection as gRPC has it: a channel, and what goes with every call."""

from __future__ import annotations

import json
from typing import Any, Final

import grpc

from serving.clients.connection import ClientTls, Connection

_RETRIES: Final = {
    "methodConfig": [
        {
            "name": [{"service": "tensorflow.serving.PredictionService"}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                # The server is being replaced, or has too much to do; everything else would be the same again.
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
            },
        }
    ]
}


def make_channel(connection: Connection, module: Any = grpc) -> Any:
    """A channel of `grpc` or of `grpc.aio`; it connects on first use.

    Raises:
      OSError: a file of TLS cannot be read.
    """
    largest = connection.max_message_mib
    options: list[tuple[str, int | str]] = [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1 if largest is None else largest << 20),
        ("grpc.enable_retries", int(connection.retries)),
    ]
    if connection.retries:
        options.append(("grpc.service_config", json.dumps(_RETRIES)))
    if connection.tls:
        return module.secure_channel(connection.server, _credentials(connection.tls), options=options)
    return module.insecure_channel(connection.server, options=options)


def call_metadata(connection: Connection) -> tuple[tuple[str, str], ...]:
    """What goes with every call."""
    return (("authorization", f"Bearer {connection.token}"),) if connection.token else ()


def _credentials(tls: ClientTls) -> grpc.ChannelCredentials:
    files = (tls.ca_file, tls.key_file, tls.certificate_file)
    root, key, certificate = (file.read_bytes() if file else None for file in files)
    return grpc.ssl_channel_credentials(root, key, certificate)
