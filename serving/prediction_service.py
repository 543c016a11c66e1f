"""TF Serving's PredictionService: Predict and GetModelMetadata."""

from __future__ import annotations

from typing import NoReturn

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from schema.exported_model import SERVING_SIGNATURE
from serving import tensors
from serving.errors import RequestError, abort
from serving.model_versions import ModelVersions

_SIGNATURE_DEF = "signature_def"


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers with the served version of one model."""

    def __init__(self, versions: ModelVersions) -> None:
        self._versions = versions

    def Predict(  # noqa: N802 - the name is the protocol's
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        """Runs a signature; see `LoadedModel.predict` for what is refused."""
        try:
            return self._predict(request)
        except RequestError as error:
            abort(context, error)

    def _predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        _require_model_spec(request)
        spec = request.model_spec
        with self._versions.use(spec) as model:
            inputs = {alias: tensors.to_array(alias, message) for alias, message in request.inputs.items()}
            outputs = model.predict(spec.signature_name, inputs, list(request.output_filter))
        response = predict_pb2.PredictResponse()
        response.model_spec.name = spec.name
        response.model_spec.version.value = model.version
        response.model_spec.signature_name = spec.signature_name or SERVING_SIGNATURE
        for alias, array in outputs.items():
            response.outputs[alias].CopyFrom(tensors.to_message(array))
        return response

    def GetModelMetadata(  # noqa: N802
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: grpc.ServicerContext
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Signatures of the served version; `signature_def` is the one field there is."""
        try:
            return self._metadata(request)
        except RequestError as error:
            abort(context, error)

    def _metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        _require_model_spec(request)
        if not request.metadata_field:
            raise _invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != _SIGNATURE_DEF:
                raise _invalid(f"Metadata field {field} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        signatures = get_model_metadata_pb2.SignatureDefMap()
        with self._versions.use(request.model_spec) as model:
            for name, definition in model.signature_defs.items():
                signatures.signature_def[name].CopyFrom(definition)
            response.model_spec.name = request.model_spec.name
            response.model_spec.version.value = model.version
        response.metadata[_SIGNATURE_DEF].Pack(signatures)
        return response

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


def _require_model_spec(
    request: predict_pb2.PredictRequest | get_model_metadata_pb2.GetModelMetadataRequest,
) -> None:
    if not request.HasField("model_spec"):
        raise _invalid("Missing ModelSpec")


def _invalid(message: str) -> RequestError:
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)


def _abort_unimplemented(context: grpc.ServicerContext, method: str) -> NoReturn:
    message = f"{method} needs signatures a detector does not have; use Predict"
    abort(context, RequestError(grpc.StatusCode.UNIMPLEMENTED, message))
