"""A connection as gRPC has it: a channel, and what goes with every call."""

from __future__ import annotations

from typing import Any, Final

import grpc

from serving.clients.connection import ClientTls, Connection

_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    # Who tries again is above: `serving.clients.attempts`.
    ("grpc.enable_retries", 0),
    # A try after a pause of ours finds a channel that tries, too, and not one that still waits for its own pause.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


def make_channel(connection: Connection, module: Any = grpc) -> Any:
    """A channel of `grpc` or of `grpc.aio`; it connects on first use.

    Raises:
      OSError: a file of TLS cannot be read.
    """
    largest = connection.max_message_mib
    options = [*_OPTIONS, ("grpc.max_receive_message_length", -1 if largest is None else largest << 20)]
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
