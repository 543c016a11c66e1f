"""How a server is reached: address, TLS, token, how long and how often to try."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import grpc

from serving.clients.proxy import proxy_advice

_RETRIES = {
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


class ServerError(Exception):
    """No usable answer came; the message says what the server or the network said."""


class ImageRefusedError(ServerError):
    """The server works and refused this image (or request); another may be fine."""


@dataclasses.dataclass(frozen=True)
class ClientTls:
    """How the server is known, and who the client is.

    Attributes:
      ca_file: certificates (PEM) of who may vouch for the server; None: those that the system trusts.
      certificate_file: the client's own, for a server that asks for one.
      key_file: its key.
    """

    ca_file: pathlib.Path | None = None
    certificate_file: pathlib.Path | None = None
    key_file: pathlib.Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """For a channel.

        Raises:
          OSError: a file cannot be read.
        """
        files = (self.ca_file, self.key_file, self.certificate_file)
        root, key, certificate = (file.read_bytes() if file else None for file in files)
        return grpc.ssl_channel_credentials(root, key, certificate)


@dataclasses.dataclass(frozen=True)
class Connection:
    """A server, and how it is asked.

    Attributes:
      server: `HOST:PORT`.
      timeout_seconds: how long one request may take, waiting for the server and trying again included.
      max_message_mib: largest answer accepted.
      tls: None: the connection is not encrypted.
      token: that lets in, if the server asks for one.
      retries: try again where the server is away for a moment or has too much to do.
    """

    server: str
    timeout_seconds: float = 30.0
    max_message_mib: int = 64
    tls: ClientTls | None = None
    token: str | None = dataclasses.field(default=None, repr=False)
    retries: bool = True

    def channel(self, module: Any = grpc) -> Any:
        """A channel of `grpc` or of `grpc.aio`; it connects on first use."""
        options: list[tuple[str, int | str]] = [
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", self.max_message_mib << 20),
            ("grpc.enable_retries", int(self.retries)),
        ]
        if self.retries:
            options.append(("grpc.service_config", json.dumps(_RETRIES)))
        if self.tls:
            return module.secure_channel(self.server, self.tls.credentials(), options=options)
        return module.insecure_channel(self.server, options=options)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def explained(self, error: Any) -> ServerError:
        """What a call's failure means for who asked."""
        code, details = error.code(), error.details()
        advice = proxy_advice(self.server)
        if code == grpc.StatusCode.INVALID_ARGUMENT:
            return ImageRefusedError(f"{self.server} answered {code.name}: {details}")
        if code == grpc.StatusCode.UNAVAILABLE:
            found = f"no server answers at {self.server} ({details}); "
            return ServerError(found + (advice or "is it running, and is this its host and port?"))
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            late = f"{self.server} did not answer within {self.timeout_seconds:g} s"
            return ServerError(late + (advice and f"; {advice}"))
        return ServerError(f"{self.server} answered {code.name}: {details}")
