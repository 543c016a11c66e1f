"""What requests are answered with, whichever door they come through: gRPC and REST translate to and from this."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import grpc
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2, predict_pb2

from schema.exported_model import SERVING_SIGNATURE
from serving.models.request_inputs import to_call
from serving.models.runnable import never
from serving.models.servables import Servables
from serving.models.version_store import VersionStatus
from serving.protocol import tensors
from serving.protocol.errors import RequestError
from serving.protocol.limits import Limits

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
      entrypoint: the door it came through, "GRPC" or "REST" (TF Serving's words).
      is_cancelled: the caller had gone by then, so that nobody has seen the answer.
    """

    request: predict_pb2.PredictRequest
    response: predict_pb2.PredictResponse | None
    error: RequestError | None
    seconds: float
    entrypoint: str
    is_cancelled: bool = False


Observer = Callable[[Answered], None]
"""Is called after every Predict, in its thread: it must be quick, and what it raises is logged and stops nothing."""


class Answering:
    """Answers requests by the models that are loaded; safe to use from several threads."""

    def __init__(self, servables: Servables, limits: Limits, observers: Sequence[Observer] = ()) -> None:
        self._servables = servables
        self._limits = limits
        self._observers = observers
        self._known_faults: set[tuple[str, str, int]] = set()
        self._lock = threading.Lock()

    def predict(
        self,
        request: predict_pb2.PredictRequest,
        deadline_monotonic: float | None = None,
        is_cancelled: Callable[[], bool] = never,
        entrypoint: str = "GRPC",
    ) -> predict_pb2.PredictResponse:
        """Runs a signature.

        Args:
          request: of TF Serving's PredictionService.
          deadline_monotonic: time of ``time.monotonic`` after which nobody waits for the answer; None: there is none.
          is_cancelled: whether the caller has gone.
          entrypoint: the door it came through, for those who watch.

        Raises:
          RequestError: it cannot be answered.
        """
        started = time.monotonic()
        try:
            with self._nothing_unforeseen():
                response = self._predict(request, deadline_monotonic, is_cancelled)
        except RequestError as error:
            self._observe(Answered(request, None, error, time.monotonic() - started, entrypoint))
            raise
        self._observe(Answered(request, response, None, time.monotonic() - started, entrypoint, is_cancelled()))
        return response

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Signatures of a version; `signature_def` is the one field there is.

        Raises:
          RequestError: another field is asked for, or the model is not there.
        """
        with self._nothing_unforeseen():
            return self._metadata(request)

    def _metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        require_model_spec(request.HasField("model_spec"))
        if not request.metadata_field:
            raise _invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != _SIGNATURE_DEF:
                raise _invalid(f"Metadata field {field} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        signatures = get_model_metadata_pb2.SignatureDefMap()
        with self._servables.use(request.model_spec) as model:
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
        known = self._servables.statuses(spec.name)
        # There are clients that always send a version, 0 where none is meant.
        if not spec.version.value:
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

    def _predict(
        self, request: predict_pb2.PredictRequest, deadline_monotonic: float | None, is_cancelled: Callable[[], bool]
    ) -> predict_pb2.PredictResponse:
        require_model_spec(request.HasField("model_spec"))
        if deadline_monotonic is not None and time.monotonic() >= deadline_monotonic:
            raise RequestError(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline exceeded before the work could start")
        spec = request.model_spec
        with self._servables.use(spec) as model:
            outputs = model.run(to_call(model, request, self._limits, deadline_monotonic, is_cancelled))
        response = predict_pb2.PredictResponse()
        response.model_spec.name = spec.name
        response.model_spec.version.value = model.version
        response.model_spec.signature_name = spec.signature_name or SERVING_SIGNATURE
        for alias, array in outputs.items():
            tensors.fill_message(response.outputs[alias], array)
        return response

    @contextmanager
    def _nothing_unforeseen(self) -> Iterator[None]:
        """Turns what nobody thought of into INTERNAL; its traceback is logged the first time."""
        try:
            yield
        except RequestError:
            raise
        except Exception as error:
            place = error.__traceback__
            while place and place.tb_next:
                place = place.tb_next
            fault = (
                type(error).__name__,
                place.tb_frame.f_code.co_filename if place else "",
                place.tb_lineno if place else 0,
            )
            with self._lock:
                is_new = fault not in self._known_faults
                self._known_faults.add(fault)
            if is_new:
                _LOG.exception("a request could not be answered; the same fault is not logged again")
            message = f"internal error ({fault[0]}); the server's log has more"
            raise RequestError(grpc.StatusCode.INTERNAL, message) from error

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
