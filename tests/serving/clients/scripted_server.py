"""A TCP server that answers as a test says, byte for byte."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence


class ScriptedServer:
    """Each connection of `script` is a list of what is sent, one item after each request; then it is closed.

    Attributes:
      port: that is listened on.
      requests: heads and bodies that came, by connection.
    """

    def __init__(self, script: Sequence[Sequence[bytes]]) -> None:
        self._listening = socket.create_server(("localhost", 0))
        self.port: int = self._listening.getsockname()[1]
        self.requests: list[list[bytes]] = []
        self._script = script
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for answers in self._script:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            came: list[bytes] = []
            self.requests.append(came)
            with connection:
                for answer in answers:
                    came.append(_request(connection))
                    connection.sendall(answer)
                    if not answer:
                        # Nothing is said until the other side has enough of it.
                        connection.recv(1)

    def close(self) -> None:
        self._listening.close()


@contextlib.contextmanager
def scripted(*script: Sequence[bytes]) -> Iterator[ScriptedServer]:
    server = ScriptedServer(script)
    try:
        yield server
    finally:
        server.close()


def answer(body: bytes, status: str = "200 OK", kind: str = "application/json", more: str = "") -> bytes:
    """An HTTP answer whose connection stays open."""
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def _request(connection: socket.socket) -> bytes:
    came = b""
    while b"\r\n\r\n" not in came:
        came += connection.recv(1 << 16)
    head, _, body = came.partition(b"\r\n\r\n")
    lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while lengths and len(body) < lengths[0]:
        body += connection.recv(1 << 16)
    return head + b"\r\n\r\n" + body
