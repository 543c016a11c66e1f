"""Asks over gRPC, by TF Serving's PredictionService."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import grpc
from grpc import aio

from schema import exported_model
from serving.clients import messages
from serving.clients.connection import Connection
from serving.clients.errors import AwayError, ImageRefusedError, MessageError, ServerError
from serving.clients.grpc_channel import call_metadata, make_channel
from serving.clients.proxy import proxy_advice
from serving.clients.transport import ModelChoice, Predicted

_TOO_LARGE: Final = "larger than max"
"""In gRPC's words for a message above the limit of who receives it."""
_OTHER_PROTOCOL: Final = "http1"
"""In gRPC's words for a server that answers in HTTP/1."""


class GrpcTransport:
    """A channel to one model; see `serving.clients.transport.Transport`."""

    def __init__(self, connection: Connection, model: ModelChoice) -> None:
        """Connects on first use.

        Raises:
          OSError: a file of TLS cannot be read.
        """
        self._connection = connection
        self._model = model
        self._channel = make_channel(connection)
        self._predict = _method(self._channel)

    def predict(self, images: Sequence[bytes], timeout_seconds: float) -> Predicted:
        """See `Transport`."""
        request = messages.predict_request(images, self._model.name, self._model.version, self._model.label)
        try:
            response = self._predict(request, timeout=timeout_seconds, metadata=call_metadata(self._connection))
        except grpc.RpcError as error:
            raise _explained(self._connection, error) from error
        return _predicted(response)

    def close(self) -> None:
        """See `Transport`."""
        self._channel.close()


class AsyncGrpcTransport:
    """The same for asyncio; to be made where the loop runs."""

    def __init__(self, connection: Connection, model: ModelChoice) -> None:
        """See `GrpcTransport`."""
        self._connection = connection
        self._model = model
        self._channel = make_channel(connection, aio)
        self._predict = _method(self._channel)

    async def predict(self, images: Sequence[bytes], timeout_seconds: float) -> Predicted:
        """See `Transport`."""
        request = messages.predict_request(images, self._model.name, self._model.version, self._model.label)
        try:
            response = await self._predict(request, timeout=timeout_seconds, metadata=call_metadata(self._connection))
        except grpc.RpcError as error:
            raise _explained(self._connection, error) from error
        return _predicted(response)

    async def close(self) -> None:
        """See `Transport`."""
        await self._channel.close()


def _method(channel: Any) -> Any:
    return channel.unary_unary(
        messages.PREDICT_METHOD,
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=messages.PredictResponse.FromString,
    )


def _predicted(response: Any) -> Predicted:
    try:
        outputs = {
            name: messages.to_array(name, response.outputs[name])
            for name in (*exported_model.OUTPUTS, exported_model.THRESHOLDS)
            if name in response.outputs
        }
    except MessageError as error:
        raise ServerError(f"the model is no detector of ours: {error}") from error
    return Predicted(outputs, response.model_spec.version.value)


def _explained(connection: Connection, error: Any) -> ServerError:
    """What a call's failure means for who asked."""
    code, details, server = error.code(), error.details() or "", connection.server
    answered = f"{server} answered {code.name}: {details}"
    if code == grpc.StatusCode.INVALID_ARGUMENT:
        return ImageRefusedError(answered)
    if code == grpc.StatusCode.UNAVAILABLE:
        advice = proxy_advice(server) or "is it running, and is this its host and port?"
        if _OTHER_PROTOCOL in details:
            advice = f"if this is its REST port, the address is http://{server}"
        return AwayError(f"no server answers at {server} ({details}); {advice}")
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        # A request of one image less may be small enough.
        return ImageRefusedError(answered) if _TOO_LARGE in details else AwayError(answered)
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        advice = proxy_advice(server)
        late = f"{server} did not answer within {connection.timeout_seconds:g} s"
        return ServerError(late + (advice and f"; {advice}"))
    return ServerError(answered)
