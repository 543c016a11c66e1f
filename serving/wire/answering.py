"""What requests are answered with, whichever door they come through: gRPC and REST translate to and from this."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence

import grpc
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2, predict_pb2

from schema.exported_model import SERVING_SIGNATURE
from serving.models.model_versions import ModelVersions, VersionStatus
from serving.protocol import tensors
from serving.protocol.errors import RequestError

_SIGNATURE_DEF = "signature_def"
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Answered:
    """A Predict that was answered, for those who watch: metrics, the log of requests, a shadow.

    Attributes:
      request: as it came.
      response: None where it was refused.
      error: why it was refused, None where it was answered.
      seconds: from the request's arrival to its answer.
    """

    request: predict_pb2.PredictRequest
    response: predict_pb2.PredictResponse | None
    error: RequestError | None
    seconds: float


Observer = Callable[[Answered], None]
"""Is called after every Predict, in its thread: it must be quick, and what it raises is logged and stops nothing."""


def _never() -> bool:
    return False


class Answering:
    """Answers requests by the models that are loaded; safe to use from several threads."""

    def __init__(self, versions: ModelVersions, observers: Sequence[Observer] = ()) -> None:
        self._versions = versions
        self._observers = observers

    def predict(
        self,
        request: predict_pb2.PredictRequest,
        deadline_monotonic: float | None = None,
        is_cancelled: Callable[[], bool] = _never,
    ) -> predict_pb2.PredictResponse:
        """Runs a signature; see `LoadedModel.predict` for what is refused.

        Args:
          request: of TF Serving's PredictionService.
          deadline_monotonic: time of ``time.monotonic`` after which nobody waits for the answer; None: there is none.
          is_cancelled: whether the caller has gone.

        Raises:
          RequestError: it cannot be answered.
        """
        started = time.monotonic()
        try:
            response = self._predict(request)
        except RequestError as error:
            self._observe(Answered(request, None, error, time.monotonic() - started))
            raise
        self._observe(Answered(request, response, None, time.monotonic() - started))
        return response

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Signatures of a version; `signature_def` is the one field there is.

        Raises:
          RequestError: another field is asked for, or the model is not there.
        """
        require_model_spec(request.HasField("model_spec"))
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

    def statuses(self, spec: model_pb2.ModelSpec) -> dict[int, VersionStatus]:
        """State by version of a model's versions, or of the one that is named.

        Raises:
          RequestError: NOT_FOUND, there is no such model or version.
        """
        known = self._versions.statuses() if spec.name == self._versions.model_name else {}
        if not spec.HasField("version"):
            if not known:
                raise RequestError(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {spec.name}")
            return known
        number = spec.version.value
        if number not in known:
            raise RequestError(grpc.StatusCode.NOT_FOUND, f"Could not find version {number} of model {spec.name}")
        return {number: known[number]}

    def status_response(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """What `statuses` says, as a message.

        Raises:
          RequestError: as `statuses`; INVALID_ARGUMENT without a model.
        """
        require_model_spec(request.HasField("model_spec"))
        response = get_model_status_pb2.GetModelStatusResponse()
        for number, status in self.statuses(request.model_spec).items():
            entry = response.model_version_status.add(version=number, state=status.state)
            if status.error:
                entry.status.error_code = grpc.StatusCode.UNKNOWN.value[0]
                entry.status.error_message = status.error
        return response

    def _predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        require_model_spec(request.HasField("model_spec"))
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

    def _observe(self, answered: Answered) -> None:
        for observer in self._observers:
            try:
                observer(answered)
            except Exception:
                _LOG.exception("an answered request could not be counted or logged")


def require_model_spec(is_given: bool) -> None:
    """Raises `RequestError` for a request that names no model."""
    if not is_given:
        raise _invalid("Missing ModelSpec")


def _invalid(message: str) -> RequestError:
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)
