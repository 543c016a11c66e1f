"""Asks by TF Serving's REST API. Needs the standard library and numpy: neither gRPC nor protobuf.

An answer over REST does not say which version gave it. So the version that is served is asked for first (at most once a
second), and then that one by its number: what is said of an answer is true, also while versions change.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import http.client
import json
import ssl
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from serving.clients import rest_messages
from serving.clients.connection import Connection
from serving.clients.errors import AwayError, ImageRefusedError, MessageError, ServerError
from serving.clients.http_connections import HttpAnswer, HttpConnections, TooLargeError
from serving.clients.proxy import http_proxy
from serving.clients.transport import ModelChoice, Predicted

_VERSION_SECONDS: Final = 1.0
"""How long a version is taken to be the one that is served; servers look for new ones less often."""
_MOST_AT_ONCE: Final = 64
"""Requests of an `AsyncRestTransport`; further ones wait."""
_OK: Final = 200
_REFUSED: Final = 400
_TOO_LARGE: Final = 413
_NOT_FOUND: Final = 404
_NOT_TOLD: Final = (403, 404, 405)
"""Answers to the question for a version, of gateways that let predictions alone through. Of a model that is not there,
too; then the prediction says so."""
# 429 and 503 are TF Serving's for RESOURCE_EXHAUSTED and UNAVAILABLE, 502 a gateway's when nobody is behind it.
_AWAY: Final = (429, 502, 503)
_SHOWN_CHARACTERS: Final = 300


class _StatusError(Exception):
    """An answer other than 200."""

    def __init__(self, answer: HttpAnswer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class RestTransport:
    """Connections to one model; see `serving.clients.transport.Transport`."""

    def __init__(self, connection: Connection, model: ModelChoice) -> None:
        """Connects on first use.

        Raises:
          OSError: a file of TLS, or the environment's proxy, cannot be used.
          ValueError: the address is not a URL.
        """
        address = connection.rest
        if address is None:
            raise ValueError(f"must begin with http:// or https://, found {connection.server!r}")
        self._is_encrypted = address.is_encrypted
        self._connection = connection
        self._model = model
        self._proxy = http_proxy(address)
        largest = None if connection.max_message_mib is None else connection.max_message_mib << 20
        self._http = HttpConnections(address, self._proxy, connection.tls, largest)
        self._served = _Served()

    def predict(self, images: Sequence[bytes], timeout_seconds: float) -> Predicted:
        """See `Transport`."""
        until = time.monotonic() + timeout_seconds
        body = rest_messages.predict_body(images)
        try:
            if self._model.version:
                return self._predict(self._model, body, until)
            served, is_known = self._served_model(until)
            try:
                return self._predict(served, body, until)
            except _StatusError as error:
                if not is_known or error.answer.status != _NOT_FOUND:
                    raise
            # It was unloaded since it was asked for.
            self._served.forget()
            return self._predict(self._served_model(until)[0], body, until)
        except _StatusError as error:
            raise self._refused(error.answer, by_the_images=True) from error

    def close(self) -> None:
        """See `Transport`."""
        self._http.close()

    def _predict(self, model: ModelChoice, body: bytes, until: float) -> Predicted:
        document = self._ask("POST", f"{rest_messages.model_path(model)}:predict", body, until)
        try:
            return Predicted(rest_messages.outputs_of(document), model.version or 0)
        except MessageError as error:
            raise ServerError(f"the model is no detector of ours: {error}") from error

    def _served_model(self, until: float) -> tuple[ModelChoice, bool]:
        """The choice with the number of the version that is served, and whether that was known before."""
        known = self._served.version()
        if known is not None:
            return self._numbered(known), True
        path = f"{rest_messages.model_path(self._model)}/metadata"
        try:
            version = rest_messages.version_of(self._ask("GET", path, None, until))
        except _StatusError as error:
            if error.answer.status not in _NOT_TOLD:
                raise self._refused(error.answer, by_the_images=False) from error
            version = 0
        except MessageError as error:
            raise ServerError(f"{self._connection.server}{path} is not TF Serving's: {error}") from error
        self._served.learn(version)
        return self._numbered(version), False

    def _numbered(self, version: int) -> ModelChoice:
        return dataclasses.replace(self._model, version=version, label="") if version else self._model

    def _ask(self, method: str, path: str, body: bytes | None, until: float) -> dict[str, Any]:
        """The object that the server answers with.

        Raises:
          _StatusError: it answers with another status than 200.
          ServerError: it does not answer, or with something else.
        """
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._connection.token:
            headers["Authorization"] = f"Bearer {self._connection.token}"
        try:
            answer = self._http.request(method, path, headers, body, until)
        except (OSError, http.client.HTTPException, TooLargeError) as error:
            raise self._unreached(error) from error
        if answer.status != _OK:
            raise _StatusError(answer)
        document = _object(answer.body)
        if document is None:
            raise ServerError(
                f"{self._connection.server}{path} answered {_status(answer)} with {_shown(answer)} in place of a JSON "
                "object; is this the address of TF Serving's REST API?"
            )
        return document

    def _refused(self, answer: HttpAnswer, *, by_the_images: bool) -> ServerError:
        """What a status other than 200 means for who asked; with or without sending images."""
        server = self._connection.server
        if 300 <= answer.status < 400:
            return ServerError(f"{server} answered {_status(answer)}, to {answer.location!r}; ask that address")
        document = _object(answer.body)
        said = document.get("error") if document else None
        # Whatever stands between may answer in a language of its own.
        text = f"{server} answered {_status(answer)}: {said if isinstance(said, str) else _shown(answer)}"
        if answer.status in _AWAY:
            return AwayError(text)
        # A request of one image less may be small enough.
        is_refused = answer.status == _TOO_LARGE or (answer.status == _REFUSED and isinstance(said, str))
        return ImageRefusedError(text) if is_refused and by_the_images else ServerError(text)

    def _unreached(self, error: Exception) -> ServerError:
        """What it means that no answer came."""
        server, proxy_advice = self._connection.server, self._proxy.advice if self._proxy else ""
        if isinstance(error, TimeoutError):
            late = f"{server} did not answer within {self._connection.timeout_seconds:g} s"
            return ServerError(late + (proxy_advice and f"; {proxy_advice}"))
        if isinstance(error, TooLargeError):
            return ServerError(f"{server} answered {error}; ask for fewer images at once, or raise max_message_mib")
        if isinstance(error, ssl.SSLCertVerificationError):
            found = f"{server} cannot be trusted: {error.verify_message}"
            return ServerError(f"{found}; give the certificates (PEM) of who vouches for it")
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return ServerError(f"no TLS with {server}: {error}; does its port speak TLS, and ask for a certificate?")
        if isinstance(error, http.client.IncompleteRead):
            return AwayError(f"{server} broke off its answer after {len(error.partial)} bytes")
        if isinstance(error, http.client.HTTPException) and not isinstance(error, OSError):
            advice = proxy_advice or "is this its REST port, and not the one of gRPC?"
            return ServerError(f"{server} does not answer in HTTP/1.1 ({error!r}); {advice}")
        advice = proxy_advice or "is it running, and is this its host and port?"
        if isinstance(error, http.client.RemoteDisconnected) and not self._is_encrypted:
            advice = "if it speaks TLS, its address begins with https://"
        return AwayError(f"no server answers at {server} ({error}); {advice}")


class AsyncRestTransport:
    """The same for asyncio: each request waits in a thread.

    A task that is cancelled no longer waits; its request does, until it is answered or late.
    """

    def __init__(self, connection: Connection, model: ModelChoice) -> None:
        """See `RestTransport`."""
        self._transport = RestTransport(connection, model)
        self._pool = concurrent.futures.ThreadPoolExecutor(_MOST_AT_ONCE, "rest-client")

    async def predict(self, images: Sequence[bytes], timeout_seconds: float) -> Predicted:
        """See `Transport`."""
        until = time.monotonic() + timeout_seconds

        def ask() -> Predicted:
            # The deadline goes on while a thread is waited for.
            return self._transport.predict(images, until - time.monotonic())

        return await asyncio.get_running_loop().run_in_executor(self._pool, ask)

    async def close(self) -> None:
        """See `Transport`."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._transport.close()


class _Served:
    """The version that was served a moment ago."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version: int | None = None
        self._until = 0.0

    def version(self) -> int | None:
        """None: it has to be asked for; 0: the server does not say."""
        with self._lock:
            return self._version if time.monotonic() < self._until else None

    def learn(self, version: int) -> None:
        with self._lock:
            self._version, self._until = version, time.monotonic() + _VERSION_SECONDS

    def forget(self) -> None:
        with self._lock:
            self._version = None


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _status(answer: HttpAnswer) -> str:
    return f"{answer.status} {answer.reason}".strip()


def _shown(answer: HttpAnswer) -> str:
    """The body in an error, cut."""
    text = " ".join(answer.body[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "replace").split())
    shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
    return f"{answer.content_type or 'no content type'}: {shown!r}"
