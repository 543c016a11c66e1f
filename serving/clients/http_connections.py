"""HTTP/1.1 requests to one host over connections that stay open between them, each with a deadline."""

from __future__ import annotations

import collections
import dataclasses
import http.client
import pathlib
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Final

from serving.clients.connection import ClientTls, RestAddress
from serving.clients.proxy import HttpProxy

_CHUNK_BYTES: Final = 1 << 18


class TooLargeError(Exception):
    """An answer has more bytes than are accepted."""


@dataclasses.dataclass(frozen=True)
class HttpAnswer:
    """What came.

    Attributes:
      status: 200 and the like.
      reason: the server's words for it.
      content_type: what it says the body is, "" if it says nothing.
      location: where it sends who asks, "" if nowhere.
      body: whole.
    """

    status: int
    reason: str
    content_type: str
    location: str
    body: bytes


class HttpConnections:
    """As many connections as there are requests at once; safe to use from several threads."""

    def __init__(
        self, address: RestAddress, proxy: HttpProxy | None, tls: ClientTls | None, largest_bytes: int | None
    ) -> None:
        """Connects on first use.

        Args:
          address: whom to ask.
          proxy: through whom; None: directly.
          tls: for https; None: who the system trusts is trusted.
          largest_bytes: of an answer's body; None: any.

        Raises:
          OSError: a file of TLS cannot be used.
        """
        self._address = address
        self._proxy = proxy
        self._context = _context(tls) if address.is_encrypted else None
        self._largest_bytes = largest_bytes
        self._idle: collections.deque[http.client.HTTPConnection] = collections.deque()
        self._lock = threading.Lock()
        self._is_closed = False

    def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, until_monotonic: float
    ) -> HttpAnswer:
        """Sends a request and reads the answer.

        A connection that the server has closed in the meantime is replaced by a new one.

        Args:
          method: GET, POST.
          path: without the address's prefix.
          headers: to send.
          body: to send.
          until_monotonic: time of ``time.monotonic`` when nobody waits any more.

        Raises:
          TimeoutError: that time has come.
          OSError: the host is not reached, or the connection broke.
          http.client.HTTPException: what came is no HTTP, or breaks off.
          TooLargeError: more came than is accepted.
        """
        while True:
            with self._lock:
                kept = self._idle.pop() if self._idle else None
            connection = kept or self._new()
            is_reusable = False
            try:
                answer, is_reusable = self._exchange(connection, method, path, headers, body, until_monotonic)
            except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
                if kept is None:
                    raise
            else:
                return answer
            finally:
                self._put_back(connection, is_reusable)

    def close(self) -> None:
        """Closes what is idle now, and the rest when its answer has come."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, collections.deque()
        for connection in idle:
            connection.close()

    def _new(self) -> http.client.HTTPConnection:
        address, proxy = self._address, self._proxy
        host, port = (proxy.host, proxy.port) if proxy else (address.host, address.port)
        if self._context is None:
            return http.client.HTTPConnection(host, port)
        connection = http.client.HTTPSConnection(host, port, context=self._context)
        if proxy:
            connection.set_tunnel(address.host, address.port, _proxy_headers(proxy))
        return connection

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        until: float,
    ) -> tuple[HttpAnswer, bool]:
        """The answer, and whether the connection can be used again."""
        connection.timeout = _seconds_left(until)
        if connection.sock is None:
            connection.connect()
        target = self._address.prefix + path
        if self._proxy and self._context is None:
            # A proxy is told the whole of it.
            host = f"[{self._address.host}]" if ":" in self._address.host else self._address.host
            target = f"http://{host}:{self._address.port}{target}"
            headers = {**headers, **_proxy_headers(self._proxy)}
        connection.sock.settimeout(_seconds_left(until))
        connection.request(method, target, body, dict(headers))
        connection.sock.settimeout(_seconds_left(until))
        # An answer that ends with its connection takes the socket with it.
        socket = connection.sock
        response = connection.getresponse()
        chunks, size = [], 0
        while True:
            # Of each read alone: without this, a server that sends a byte now and then would never be late.
            socket.settimeout(_seconds_left(until))
            chunk = response.read1(_CHUNK_BYTES)
            if not chunk:
                break
            size += len(chunk)
            if self._largest_bytes is not None and size > self._largest_bytes:
                raise TooLargeError(f"more than {self._largest_bytes} bytes")
            chunks.append(chunk)
        content = b"".join(chunks)
        if response.length:
            raise http.client.IncompleteRead(content, response.length)
        # `read1` leaves that to its caller, and the connection takes no other request before.
        response.close()
        answer = HttpAnswer(
            response.status,
            response.reason,
            response.headers.get("Content-Type", ""),
            response.headers.get("Location", ""),
            content,
        )
        return answer, not response.will_close

    def _put_back(self, connection: http.client.HTTPConnection, is_reusable: bool) -> None:
        with self._lock:
            if is_reusable and not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()


def _proxy_headers(proxy: HttpProxy) -> dict[str, str]:
    return {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}


def _seconds_left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline is over")
    return left


def _context(tls: ClientTls | None) -> ssl.SSLContext:
    def used(file: pathlib.Path | None, expected: str, error: OSError) -> OSError:
        return OSError(f"{file}: cannot be used as {expected} ({error})")

    tls = tls or ClientTls()
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except OSError as error:
        raise used(tls.ca_file, "certificates in PEM of who may vouch for the server", error) from error
    context.set_alpn_protocols(["http/1.1"])
    if tls.certificate_file:
        try:
            context.load_cert_chain(tls.certificate_file, tls.key_file)
        except OSError as error:
            expected = f"a certificate in PEM with the key {tls.key_file or 'in the same file'}"
            raise used(tls.certificate_file, expected, error) from error
    return context
