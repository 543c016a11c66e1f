"""TF Serving's PredictionService over gRPC: Predict and GetModelMetadata."""

from __future__ import annotations

import time
from typing import Final, NoReturn

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.protocol.errors import RequestError, abort
from serving.wire.answering import Answering

_LONGEST_SECONDS: Final = 1e6


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Translates calls for `Answering`."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def Predict(  # noqa: N802 - the name is the protocol's
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        """See `Answering.predict`."""
        remaining = context.time_remaining()
        # Where a caller sets no deadline, grpc says some hundred years, which no clock of Python's can wait for.
        has_deadline = remaining is not None and remaining < _LONGEST_SECONDS
        deadline = time.monotonic() + remaining if has_deadline else None
        try:
            return self._answering.predict(request, deadline, lambda: not context.is_active())
        except RequestError as error:
            abort(context, error)

    def GetModelMetadata(  # noqa: N802
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: grpc.ServicerContext
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """See `Answering.metadata`."""
        try:
            return self._answering.metadata(request)
        except RequestError as error:
            abort(context, error)

    def Classify(  # noqa: N802
        self, request: classification_pb2.ClassificationRequest, context: grpc.ServicerContext
    ) -> NoReturn:
        """A detector has no such signature."""
        _abort_unimplemented(context, "Classify")

    def Regress(  # noqa: N802
        self, request: regression_pb2.RegressionRequest, context: grpc.ServicerContext
    ) -> NoReturn:
        """A detector has no such signature."""
        _abort_unimplemented(context, "Regress")

    def MultiInference(  # noqa: N802
        self, request: inference_pb2.MultiInferenceRequest, context: grpc.ServicerContext
    ) -> NoReturn:
        """A detector has no such signatures."""
        _abort_unimplemented(context, "MultiInference")


def _abort_unimplemented(context: grpc.ServicerContext, method: str) -> NoReturn:
    message = f"{method} needs signatures a detector does not have; use Predict"
    abort(context, RequestError(grpc.StatusCode.UNIMPLEMENTED, message))
