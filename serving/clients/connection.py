"""How a server is reached: address, TLS, token, how long and how often to try."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import urllib.parse
from typing import Final

_PORTS: Final = {"http": 80, "https": 443}
"""What is meant where a URL names none."""


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
class RestAddress:
    """Where a REST API is.

    Attributes:
      is_encrypted: https.
      host: a name or address, IPv6 without brackets.
      port: of TCP.
      prefix: path before TF Serving's own, of a gateway; "" or begins with / and does not end so.
    """

    is_encrypted: bool
    host: str
    port: int
    prefix: str


@dataclasses.dataclass(frozen=True)
class Connection:
    """A server, and how it is asked.

    Attributes:
      server: `HOST:PORT` (or another target of gRPC's) is asked over gRPC; a URL (http:// or https://) by TF Serving's
        REST API below it.
      timeout_seconds: how long one request may take, waiting for the server and trying again included.
      max_message_mib: largest answer accepted; None: any.
      tls: None: gRPC is not encrypted; https trusts whom the system trusts.
      token: that lets in, if the server asks for one.
      retries: try again where the server is away for a moment or has too much to do.
    """

    server: str
    timeout_seconds: float = 30.0
    max_message_mib: int | None = 64
    tls: ClientTls | None = None
    token: str | None = dataclasses.field(default=None, repr=False)
    retries: bool = True

    def __post_init__(self) -> None:
        """Raises `ValueError` for an address that is none, or that contradicts `tls`."""
        rest = self.rest
        if rest and self.tls and not rest.is_encrypted:
            raise ValueError(f"{self.server} is not encrypted, and TLS is asked for; write https://")

    @functools.cached_property
    def rest(self) -> RestAddress | None:
        """Where the REST API is; None: gRPC is asked."""
        scheme, is_url, _ = self.server.partition("://")
        return _rest_address(self.server) if is_url and scheme.lower() in _PORTS else None


def _rest_address(url: str) -> RestAddress:
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"must be a URL such as http://HOST:PORT, found {url!r} ({error})") from error
    if not host or parts.query or parts.fragment or parts.username is not None:
        # What stands before an @ is a password: it is not repeated.
        shown = url.rpartition("@")[2]
        raise ValueError(f"must be a URL of host, port and path alone, such as http://HOST:PORT, found {shown!r}")
    return RestAddress(parts.scheme == "https", host, port or _PORTS[parts.scheme], parts.path.rstrip("/"))
