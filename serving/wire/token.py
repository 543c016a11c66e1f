"""Tokens that let a caller in: the file of them, and the interceptor of gRPC that asks for one."""

from __future__ import annotations

import hmac
import logging
import pathlib
import threading
from collections.abc import Callable
from typing import Any, Final

import grpc

_LOG = logging.getLogger(__name__)
_SCHEME: Final = "bearer"
_SHORTEST: Final = 16
_OPEN_SERVICES: Final = ("/grpc.health.v1.Health/",)
"""Probes of a cluster can send no token; that a server is alive is no secret."""
REFUSED: Final = "expected the metadata or header 'authorization: Bearer TOKEN' with a token of this server"


class TokenFileError(Exception):
    """A file of tokens that cannot be used; the message is one line that names it and shows no token."""


class Tokens:
    """The tokens of a file, read again when it changes: two at a time let callers move from the old to the new.

    The file has a token a line; empty lines and lines that begin with # are passed over.
    """

    def __init__(self, path: pathlib.Path) -> None:
        """Reads the file.

        Raises:
          TokenFileError: it cannot be read, holds no token, or one that is easily guessed.
        """
        self._path = path
        self._lock = threading.Lock()
        self._tokens = _read(path)
        self._stamp = self._found_stamp()

    def allows(self, authorization: str | None) -> bool:
        """Whether the value of an `authorization` header lets its sender in."""
        self._read_if_changed()
        scheme, _, given = (authorization or "").partition(" ")
        if scheme.lower() != _SCHEME:
            return False
        # All are compared, each in constant time: how long it takes says nothing of a token.
        matches = [hmac.compare_digest(token, given.strip().encode()) for token in self._tokens]
        return any(matches)

    def _read_if_changed(self) -> None:
        stamp = self._found_stamp()
        with self._lock:
            if stamp == self._stamp:
                return
            self._stamp = stamp
            try:
                self._tokens = _read(self._path)
                _LOG.info("%s: %d tokens, read again", self._path, len(self._tokens))
            except TokenFileError as error:
                _LOG.error("%s; the tokens read before go on being those that let in", error)

    def _found_stamp(self) -> tuple[int, ...] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino)


class TokenInterceptor(grpc.ServerInterceptor):
    """Answers calls without a token with UNAUTHENTICATED, before their message is read."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

        def refuse(_: Any, context: grpc.ServicerContext) -> None:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, REFUSED)

        self._unary = grpc.unary_unary_rpc_method_handler(refuse)
        self._stream = grpc.stream_stream_rpc_method_handler(refuse)

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """See `grpc.ServerInterceptor`."""
        if details.method.startswith(_OPEN_SERVICES):
            return continuation(details)
        given = [value for key, value in details.invocation_metadata if key == "authorization"]
        if self._tokens.allows(given[0] if len(given) == 1 else None):
            return continuation(details)
        handler = continuation(details)
        return self._stream if handler is not None and handler.request_streaming else self._unary


def _read(path: pathlib.Path) -> list[bytes]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenFileError(f"{path}: cannot be read ({error})") from error
    tokens = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        if len(line) < _SHORTEST or not line.isascii() or " " in line:
            raise TokenFileError(
                f"{path}:{number}: a token is at least {_SHORTEST} ASCII characters without spaces, found {len(line)}"
            )
        tokens.append(line.encode())
    if not tokens:
        raise TokenFileError(f"{path}: holds no token; expected one a line")
    return tokens
