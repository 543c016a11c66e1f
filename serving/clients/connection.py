"""How a server is reached: address, TLS, token, how long and how often to try."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import grpc

from serving.clients.proxy import proxy_advice


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


@dataclasses.dataclass(frozen=True)
class Connection:
    """A server, and how it is asked.

    Attributes:
      server: `HOST:PORT`.
      timeout_seconds: how long one request may take, waiting for the server and trying again included.
      max_message_mib: largest answer accepted; None: any.
      tls: None: the connection is not encrypted.
      token: that lets in, if the server asks for one.
      retries: try again where the server is away for a moment or has too much to do.
    """

    server: str
    timeout_seconds: float = 30.0
    max_message_mib: int | None = 64
    tls: ClientTls | None = None
    token: str | None = dataclasses.field(default=None, repr=False)
    retries: bool = True

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
