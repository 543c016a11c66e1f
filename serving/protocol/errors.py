"""Errors a caller sees, with the gRPC status code they are answered with."""

from __future__ import annotations

import re
from typing import NoReturn

import grpc

_GRAPH_DETAILS = re.compile(r"\[\[\{\{.*?\}\}\]\]|\{\{.*?\}\}|\[Op:.*?\]")
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class RequestError(Exception):
    """A request that cannot be answered; servicers turn it into a gRPC status.

    Attributes:
      code: the status code TF Serving answers the same request with.
      message: what was found, what was expected.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def abort(context: grpc.ServicerContext, error: RequestError) -> NoReturn:
    """Ends a call with the error's status."""
    context.abort(error.code, error.message)
    raise AssertionError("grpc's abort raises")


def of_tensorflow(code: int, message: str) -> RequestError:
    """What a graph raised, without names of nodes and stack traces; TensorFlow's codes are gRPC's numbers."""
    lines = [line.strip() for line in _GRAPH_DETAILS.sub("", message).splitlines() if line.strip()]
    # The reason comes last, after where in the graph it was found.
    return RequestError(_CODES.get(code, grpc.StatusCode.INTERNAL), lines[-1] if lines else "no reason given")
