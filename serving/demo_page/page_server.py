"""The page's own server, over HTTP: its files, `GET /model` and `POST /detect`. The browser asks nobody else."""

from __future__ import annotations

import json
import logging
import pathlib
import socket
import socketserver
import sys
import threading
import urllib.parse
from collections.abc import Callable, Collection
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

from serving.demo_page.answers import PageAnswers, Reply, failure
from serving.demo_page.same_origin import host_refusal, origin_refusal

_LOG = logging.getLogger(__name__)
_STATIC: Final = pathlib.Path(__file__).with_name("static")
_MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS: Final = {
    # No script, style or picture but the page's own; no request leaves for anywhere else; nobody frames it.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    # No thread waits for what a browser may ask later.
    "Connection": "close",
}
_SOCKET_SECONDS: Final = 30.0
"""For a caller that sends nothing more."""
_END_SECONDS: Final = 0.05
"""Between two looks whether it is to end."""
_CHUNK: Final = 1 << 16


class PageServer(ThreadingHTTPServer):
    """Listens from the start, answers once it is entered or `serve_forever` is called."""

    daemon_threads = True

    def __init__(
        self, answers: PageAnswers, host: str = "127.0.0.1", port: int = 0, allowed_names: Collection[str] = ()
    ) -> None:
        """Binds the port.

        Args:
          answers: what is answered.
          host: address to listen on.
          port: 0: a free one.
          allowed_names: host names by which the page may be reached, beside localhost and IP addresses.

        Raises:
          OSError: the port is taken, or the address is none of this machine.
        """
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.answers = answers
        self.allowed_names = frozenset(name.lower() for name in (host, *allowed_names))
        # By name, so that a path is looked up and never made a path of files.
        self.files = {f"/{path.name}": path for path in _STATIC.iterdir() if path.suffix in _MEDIA_TYPES}
        self.files["/"] = self.files["/page.html"]
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Without HTTPServer's look for the host's full name, which may wait for a name server."""
        socketserver.TCPServer.server_bind(self)
        host, self.server_port = self.server_address[:2]
        self.server_name = str(host)

    @property
    def address(self) -> str:
        """Where a browser on this machine finds the page."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.server_name, self.server_name)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}/"

    def __enter__(self) -> Self:
        work = {"poll_interval": _END_SECONDS}
        self._thread = threading.Thread(target=self.serve_forever, kwargs=work, name="demo page", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that has gone is nobody's concern."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            _LOG.exception("a request of %s failed", client_address)


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"
    timeout = _SOCKET_SECONDS

    def do_GET(self) -> None:
        self._guard(self._get)

    def do_POST(self) -> None:
        self._guard(self._post)

    def _guard(self, work: Callable[[], None]) -> None:
        """Answers, too, when something nobody thought of was raised."""
        try:
            work()
        except (ConnectionError, TimeoutError):
            raise
        except Exception:
            _LOG.exception("%s %s failed", self.command, self.path)
            message = "the program behind this page failed; what it printed says why"
            self._reply(failure(HTTPStatus.INTERNAL_SERVER_ERROR, "image", message))

    def _get(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        refusal = host_refusal(self.headers, self.server.allowed_names)
        if refusal is None and url.path == "/model":
            refusal = origin_refusal(self.headers)
        if refusal is not None:
            self._reply(failure(HTTPStatus.FORBIDDEN, "request", refusal))
        elif url.path == "/model":
            self._reply(self.server.answers.model())
        elif file := self.server.files.get(url.path):
            self._send(HTTPStatus.OK, file.read_bytes(), _MEDIA_TYPES[file.suffix])
        else:
            self._reply(failure(HTTPStatus.NOT_FOUND, "request", "there is no such page"))

    def _post(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        refusal = host_refusal(self.headers, self.server.allowed_names) or origin_refusal(self.headers)
        if refusal is not None:
            self._refuse_body(failure(HTTPStatus.FORBIDDEN, "request", refusal))
        elif url.path != "/detect":
            self._refuse_body(failure(HTTPStatus.NOT_FOUND, "request", "images go to /detect"))
        elif (body := self._body()) is not None:
            (name,) = urllib.parse.parse_qs(url.query).get("name", ["image"])[:1]
            self._reply(self.server.answers.detect(body, name))

    def _body(self) -> bytes | None:
        """What was sent; None: it was refused, and that is answered."""
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdecimal() or "Transfer-Encoding" in self.headers:
            message = "an image comes in one piece, with its Content-Length"
            self._refuse_body(failure(HTTPStatus.LENGTH_REQUIRED, "request", message))
            return None
        limit = self.server.answers.max_image_mib
        if int(length) > limit << 20:
            size = f"{int(length) / (1 << 20):.1f} MiB"
            message = f"the image has {size}; at most {limit} MiB are taken (--max_image_mib)"
            self._refuse_body(failure(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "image", message), int(length))
            return None
        body = self.rfile.read(int(length))
        # Who went away in the middle waits for no answer.
        return body if len(body) == int(length) else None

    def _refuse_body(self, reply: Reply, length: int = 0) -> None:
        """Answers before the body was read. A browser that is still sending would not see the answer: it is let end,
        unless it sends without end."""
        remaining = min(length, 4 * self.server.answers.max_image_mib << 20)
        while remaining > 0 and (part := self.rfile.read(min(remaining, _CHUNK))):
            remaining -= len(part)
        self._reply(reply)

    def _reply(self, reply: Reply) -> None:
        body = json.dumps(reply.document, ensure_ascii=False).encode()
        self._send(reply.status, body, "application/json; charset=utf-8")

    def _send(self, status: HTTPStatus, body: bytes, media_type: str) -> None:
        self.send_response(status)
        headers = {**_HEADERS, "Content-Type": media_type, "Content-Length": str(len(body))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Says no versions of Python to strangers."""
        return "demo"

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """To the log, and there among details."""
        _LOG.debug(format, *arguments)
