"""TF Serving's REST API, and the page of metrics, over HTTP on a port and in a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import json
import re
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Final

import grpc
from aiohttp import web
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2, predict_pb2

from serving.protocol.errors import RequestError
from serving.wire import rest_json
from serving.wire.answering import Answering
from serving.wire.token import REFUSED, Tokens

# http_rest_api_util.cc
_WHICH: Final = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_POST: Final = re.compile(_WHICH + r":(classify|regress|predict)", re.IGNORECASE)
_GET: Final = re.compile(_WHICH + r"(/metadata)?", re.IGNORECASE)
# http_server.cc; what is not here is 500.
_HTTP_STATUS: Final = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}
_CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type, Authorization",
}
_LARGEST_VERSION: Final = (1 << 63) - 1
_METRICS_PATH: Final = "/metrics"
_CLOSING_SECONDS: Final = 0.5

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclasses.dataclass(frozen=True)
class RestSettings:
    """How the door listens.

    Attributes:
      port: 0: a free one.
      timeout_seconds: how long a request may take; HTTP tells no deadline.
      has_cors: pages of other origins may ask.
      metrics_path: where the metrics are, beside /metrics.
    """

    port: int
    timeout_seconds: float = 30.0
    has_cors: bool = False
    metrics_path: str | None = None


class RestDoor:
    """Translates HTTP for `Answering`.

    Attributes:
      port: the port that is listened on.
    """

    def __init__(
        self,
        answering: Answering,
        settings: RestSettings,
        *,
        host: str,
        threads: int,
        max_message_mib: int,
        metrics_page: Callable[[], str],
        tokens: Tokens | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Binds the port.

        Raises:
          OSError: it is taken or may not be used.
        """
        self._answering = answering
        self._settings = settings
        self._metrics_page = metrics_page
        self._tokens = tokens
        self._tls = tls
        # Base64 makes three bytes four; what fits into a message of gRPC fits here.
        self._largest_body = (max_message_mib << 20) * 4 // 3
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, "rest")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, settings.port), family=family)
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._in_progress = 0
        self._is_ending = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="rest", daemon=True)

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    def stop(self, grace_seconds: float) -> None:
        """Refuses new requests at once, and gives those in progress so long to end."""
        if not self._thread.is_alive():
            self._socket.close()
            return
        asyncio.run_coroutine_threadsafe(self._stop(grace_seconds), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _start(self) -> None:
        app = web.Application(middlewares=[self._guarded], client_max_size=self._largest_body)
        app.router.add_route("*", "/{path:.*}", self._route)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSING_SECONDS)
        await self._runner.setup()
        self._site = web.SockSite(self._runner, self._socket, ssl_context=self._tls)
        await self._site.start()

    async def _stop(self, grace_seconds: float) -> None:
        self._is_ending = True
        until = time.monotonic() + grace_seconds
        await self._site.stop()
        while self._in_progress and time.monotonic() < until:
            await asyncio.sleep(0.02)
        await self._runner.cleanup()

    @web.middleware
    async def _guarded(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Counts a request and makes what is raised an answer."""
        self._in_progress += 1
        try:
            return await self._checked(request, handler)
        except RequestError as error:
            return self._failed(_HTTP_STATUS.get(error.code, 500), error.message)
        except web.HTTPRequestEntityTooLarge:
            return self._failed(413, f"the body is larger than {self._largest_body} bytes (--max_message_mib)")
        except web.HTTPException as error:
            return self._failed(error.status, error.reason)
        finally:
            self._in_progress -= 1

    async def _checked(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        # A browser asks what it may send before it sends a token.
        if request.method == "OPTIONS" and self._settings.has_cors:
            return self._answer("")
        if self._is_ending:
            raise RequestError(grpc.StatusCode.UNAVAILABLE, "the server is stopping")
        if self._tokens and not self._tokens.allows(request.headers.get("Authorization")):
            raise RequestError(grpc.StatusCode.UNAUTHENTICATED, REFUSED)
        return await handler(request)

    async def _route(self, request: web.Request) -> web.StreamResponse:
        path = request.rel_url.raw_path
        if request.method == "GET" and path in (_METRICS_PATH, self._settings.metrics_path):
            page = await self._in_thread(self._metrics_page)
            return web.Response(text=page, content_type="text/plain")
        pattern = {"POST": _POST, "GET": _GET}.get(request.method)
        match = pattern.fullmatch(path) if pattern else None
        if match is None:
            raise RequestError(grpc.StatusCode.INVALID_ARGUMENT, f"Malformed request: {request.method} {path}")
        spec = _spec(*match.group(1, 2, 3))
        kind = match.group(4)
        if request.method == "GET":
            answer = self._metadata if kind else self._status
            return self._answer(await self._in_thread(lambda: answer(spec)))
        if kind.lower() != "predict":
            raise RequestError(
                grpc.StatusCode.UNIMPLEMENTED, f"{kind} needs signatures a detector does not have; use predict"
            )
        body = await request.read()
        deadline = time.monotonic() + self._settings.timeout_seconds

        def is_cancelled() -> bool:
            return request.transport is None or request.transport.is_closing()

        return self._answer(await self._in_thread(lambda: self._predict(spec, body, deadline, is_cancelled)))

    def _predict(
        self, spec: model_pb2.ModelSpec, body: bytes, deadline: float, is_cancelled: Callable[[], bool]
    ) -> str:
        document = rest_json.parse(body)
        request = predict_pb2.PredictRequest(model_spec=spec)
        _, signatures = self._signatures(spec)
        is_by_rows = rest_json.fill_request(request, document, signatures.signature_def)
        response = self._answering.predict(request, deadline, is_cancelled, entrypoint="REST")
        return rest_json.predictions(response.outputs, is_by_rows)

    def _metadata(self, spec: model_pb2.ModelSpec) -> str:
        return rest_json.metadata(*self._signatures(spec))

    def _status(self, spec: model_pb2.ModelSpec) -> str:
        response = self._answering.status_response(get_model_status_pb2.GetModelStatusRequest(model_spec=spec))
        document = json_format.MessageToDict(
            response, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        for entry in document["model_version_status"]:
            # TF Serving says OK of what did not fail.
            entry.setdefault("status", {"error_code": "OK", "error_message": ""})
        return json.dumps(document, indent=1)

    def _signatures(
        self, spec: model_pb2.ModelSpec
    ) -> tuple[get_model_metadata_pb2.GetModelMetadataResponse, get_model_metadata_pb2.SignatureDefMap]:
        response = self._answering.metadata(
            get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        )
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return response, signatures

    async def _in_thread(self, work: Callable[[], str]) -> str:
        return await self._loop.run_in_executor(self._pool, work)

    def _answer(self, text: str, status: int = 200) -> web.Response:
        headers = _CORS if self._settings.has_cors else None
        return web.Response(text=text, status=status, content_type="application/json", headers=headers)

    def _failed(self, status: int, message: str) -> web.Response:
        return self._answer(json.dumps({"error": message}), status)


def _spec(name: str, version: str | None, label: str | None) -> model_pb2.ModelSpec:
    """Which model a path means."""
    spec = model_pb2.ModelSpec(name=urllib.parse.unquote(name))
    if version:
        if int(version[:20]) > _LARGEST_VERSION:
            message = f"Failed to convert version: {version[:40]} to numeric."
            raise RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)
        spec.version.value = int(version)
    if label:
        spec.version_label = urllib.parse.unquote(label)
    return spec
