"""What a message has to be before it is a request: small enough, and one; said in words, where gRPC says it badly.

Of a message that is too large gRPC says RESOURCE_EXHAUSTED. That code means too much work, and clients ask again, with
the same large message. gRPC refuses inside its core, where nothing of ours is asked. So the core has a limit that is
further out, which still bounds the memory that a message takes, and whatever lies between the two is counted here, as
bytes, before it is parsed.

Of bytes that do not parse gRPC says INTERNAL, logs a stack trace, and keeps some of their memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from serving.protocol.errors import RequestError, abort

_HARD_FACTOR: Final = 2
_LARGEST_BYTES: Final = 2**31 - 1
"""Of gRPC's setting, an int32, and of a message, which protobuf keeps below 2 GiB."""


def hard_limit_bytes(max_message_bytes: int) -> int:
    """What gRPC's core is to refuse without reading it."""
    return min(max_message_bytes * _HARD_FACTOR, _LARGEST_BYTES)


@dataclasses.dataclass(frozen=True)
class _Refused:
    """In place of a request; its bytes are let go."""

    reason: str


class RequestMessageInterceptor(grpc.ServerInterceptor):
    """Answers single requests that are too large, or none, with INVALID_ARGUMENT. Streams are left to gRPC."""

    def __init__(self, max_message_bytes: int) -> None:
        self._max_bytes = max_message_bytes

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """See `grpc.ServerInterceptor`."""
        handler = continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler

        def parse(serialized: bytes) -> Any:
            if len(serialized) > self._max_bytes:
                return _Refused(
                    f"the request has {len(serialized)} bytes, the limit is {self._max_bytes} (--max_message_mib); "
                    "send fewer or smaller images in one"
                )
            try:
                return handler.request_deserializer(serialized)
            except DecodeError as error:
                return _Refused(f"{len(serialized)} bytes that are no request of {details.method} ({error})")

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            if isinstance(request, _Refused):
                abort(context, RequestError(grpc.StatusCode.INVALID_ARGUMENT, request.reason))
            return handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(answer, parse, handler.response_serializer)
