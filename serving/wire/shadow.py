"""A share of what is answered also goes to another version, the candidate; where it finds something else is counted.

Nobody waits for it: what was answered is looked at afterwards, by a thread of its own, an image at a time, while no
image of a caller's waits for a batch. The candidate's images take no place in the queue of batches and join none.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import grpc
import numpy.typing as npt
from tensorflow_serving.apis import model_pb2, predict_pb2

from schema.exported_model import COUNTS, IMAGE_ERRORS, OUTPUTS
from serving.comparison.matching import Tolerance, match
from serving.models.request_inputs import to_call
from serving.models.runnable import Call, Runnable
from serving.models.servables import Servables
from serving.protocol import tensors
from serving.protocol.detections import detections_of_image
from serving.protocol.errors import RequestError
from serving.protocol.limits import Limits
from serving.wire.answering import Answered
from serving.wire.bounded_queue import BoundedQueue
from serving.wire.request_log import LogFiles, RequestLog
from serving.wire.request_sampling import is_drawn
from serving.wire.shadow_metrics import ShadowMetrics

_LOG = logging.getLogger(__name__)
_QUEUED_ANSWERS: Final = 64
_QUEUED_BYTES: Final = 64 << 20
_LOOK_SECONDS: Final = 0.2
_LULL_SECONDS: Final = 0.02

_Arrays = Mapping[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class ShadowSettings:
    """Who is asked too, and how often.

    Attributes:
      label: of the candidate, by each model's labels at the time; empty: it has a number.
      version: the candidate's number where it has no label.
      share: of the answered requests, 0..1.
      tolerance: which detections of the two are one object.
      files: for images in which one finds what the other does not; None: they are not kept.
    """

    label: str = ""
    version: int = 0
    share: float = 0.1
    tolerance: Tolerance = dataclasses.field(default_factory=Tolerance)
    files: LogFiles | None = None

    def spec(self, model_name: str) -> model_pb2.ModelSpec:
        """Whom to ask."""
        if self.label:
            return model_pb2.ModelSpec(name=model_name, version_label=self.label)
        return model_pb2.ModelSpec(name=model_name, version={"value": self.version})


class Shadow:
    """Compares a candidate with what is served; an `Observer` of those who answer, whom it never delays.

    A candidate that is not loaded is waited for; one that fails is counted, and no caller hears of it.
    """

    def __init__(
        self,
        settings: ShadowSettings,
        servables: Servables,
        limits: Limits,
        metrics: ShadowMetrics,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        """Begins at once.

        Args:
          settings: see there.
          servables: what the candidate is one of.
          limits: of requests; the candidate's signature may be another.
          metrics: where it is counted.
          is_busy: whether somebody waits for an answer; the candidate is not asked meanwhile.

        Raises:
          OSError: the folder of the log cannot be made or written to.
        """
        self._settings = settings
        self._servables = servables
        self._limits = limits
        self._metrics = metrics
        self._is_busy = is_busy
        self._log = RequestLog(settings.files, metrics.log_dropped) if settings.files else None
        self._missing: set[str] = set()
        self._known_faults: set[tuple[str, int, str]] = set()
        self._waiting: BoundedQueue[Answered] = BoundedQueue(_QUEUED_ANSWERS, _QUEUED_BYTES)
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._thread.start()

    def answered(self, answered: Answered) -> None:
        """Takes an answer, if it is one of the share and somebody got it; an `Observer`."""
        response = answered.response
        if response is None or answered.is_cancelled or not is_drawn(self._settings.share):
            return
        name = response.model_spec.name
        if not set(OUTPUTS) <= set(response.outputs):
            self._metrics.skipped(name, "outputs", _images_asked(answered.request))
        elif not self._waiting.offer(answered, answered.request.ByteSize() + response.ByteSize()):
            self._metrics.skipped(name, "queue", _images_asked(answered.request))

    def end(self) -> None:
        """Begins nothing more; what waits is dropped."""
        self._is_ending.set()

    def wait(self, timeout_seconds: float) -> bool:
        """After `end`: waits for the image that is being looked at, and completes the log.

        Returns:
          Whether the candidate has answered in time: it cannot be stopped.
        """
        until = time.monotonic() + timeout_seconds
        self._thread.join(timeout_seconds)
        if self._log:
            self._log.stop(max(0.0, until - time.monotonic()))
        return not self._thread.is_alive()

    def _work(self) -> None:
        while not self._is_ending.is_set():
            with self._waiting.take(_LOOK_SECONDS) as answered:
                if answered is not None and answered.response is not None:
                    self._look_at(answered.request, answered.response)

    def _look_at(self, request: predict_pb2.PredictRequest, response: predict_pb2.PredictResponse) -> None:
        name = response.model_spec.name
        images = _images_asked(request)
        version = 0
        try:
            with contextlib.ExitStack() as stack:
                candidate = self._candidate(stack, name)
                if candidate is None:
                    self._metrics.skipped(name, "missing", images)
                    return
                version = candidate.version
                if version == response.model_spec.version.value:
                    self._metrics.skipped(name, "same_version", images)
                    return
                served = {
                    alias: tensors.to_array(alias, response.outputs[alias])
                    for alias in (*OUTPUTS, IMAGE_ERRORS)
                    if alias in response.outputs
                }
                comparison = _Comparison(request, response, served, to_call(candidate, request, self._limits))
                self._compare(comparison, candidate)
        except Exception as error:
            # Whatever a candidate does, the next request is looked at.
            self._note_fault(name, version, images, error)

    def _candidate(self, stack: contextlib.ExitStack, name: str) -> Runnable | None:
        """The version to ask, which stays loaded until the stack is left; None: there is none now."""
        try:
            candidate = stack.enter_context(self._servables.use(self._settings.spec(name)))
        except RequestError as error:
            if name not in self._missing:
                _LOG.warning("%s: the shadow has nobody to ask, and looks again with every request: %s", name, error)
            self._missing.add(name)
            return None
        if name in self._missing:
            self._missing.remove(name)
            _LOG.info("%s: the shadow asks version %d from now on", name, candidate.version)
        return candidate

    def _compare(self, comparison: _Comparison, candidate: Runnable) -> None:
        name = comparison.response.model_spec.name
        versions = (comparison.response.model_spec.version.value, candidate.version)
        for image in range(len(comparison.served[COUNTS])):
            if not self._waits_for_lull():
                return
            if comparison.is_unreadable(image):
                self._metrics.skipped(name, "unreadable", 1)
                continue
            started = time.monotonic()
            try:
                outputs = candidate.run(comparison.call_of(image))
                seconds = time.monotonic() - started
                both = detections_of_image(comparison.served, image), detections_of_image(outputs, 0)
                difference = match(*both, self._settings.tolerance)
            except Exception as error:
                self._note_fault(name, candidate.version, 1, error)
                continue
            self._metrics.compared(name, versions, difference, seconds)
            if self._log and difference.has_unmatched:
                for one in comparison.records(image, outputs, candidate.version, self._settings.spec(name)):
                    self._log.write_later(*one, self._settings.share)

    def _waits_for_lull(self) -> bool:
        """Returns when nobody waits for an answer; False: the server ends."""
        while self._is_busy() and not self._is_ending.wait(_LULL_SECONDS):
            pass
        return not self._is_ending.is_set()

    def _note_fault(self, name: str, version: int, images: int, error: Exception) -> None:
        """Counts, and logs what is new."""
        code = error.code if isinstance(error, RequestError) else grpc.StatusCode.INTERNAL
        self._metrics.failed(name, version, code.name, images)
        fault = (name, version, code.name if isinstance(error, RequestError) else type(error).__name__)
        if fault in self._known_faults:
            return
        self._known_faults.add(fault)
        _LOG.warning(
            "%s: the shadow's version %d has no answer (%s: %s); callers do not notice, and it is not logged again",
            name,
            version,
            code.name,
            error,
            exc_info=None if isinstance(error, RequestError) else error,
        )


@dataclasses.dataclass(frozen=True)
class _Comparison:
    """An answered request, as what the candidate is asked.

    Attributes:
      request: as it came.
      response: as it was served.
      served: its outputs that are a detector's, each [B, ...].
      call: the whole request for the candidate.
    """

    request: predict_pb2.PredictRequest
    response: predict_pb2.PredictResponse
    served: _Arrays
    call: Call

    def is_unreadable(self, image: int) -> bool:
        """Whether it was answered with an error of its own."""
        return IMAGE_ERRORS in self.served and bool(self.served[IMAGE_ERRORS][image])

    def call_of(self, image: int) -> Call:
        """One image for the candidate, alone."""
        return dataclasses.replace(self.call, inputs=_sliced(self.call.inputs, image), joins_batches=False)

    def records(
        self, image: int, outputs: _Arrays, version: int, asked: model_pb2.ModelSpec
    ) -> list[tuple[predict_pb2.PredictRequest, predict_pb2.PredictResponse]]:
        """One image as two requests with their responses: what was served, and what the candidate says.

        Args:
          image: index in the batch.
          outputs: the candidate's of this image, each [1, ...].
          version: the candidate's.
          asked: how it was named.
        """
        inputs = _sliced(self.call.inputs, image)
        pairs = []
        for spec, answered_by, found in (
            (self.request.model_spec, self.response.model_spec.version.value, _sliced(self.served, image)),
            (asked, version, {alias: outputs[alias] for alias in self.served}),
        ):
            request = predict_pb2.PredictRequest(model_spec=spec, output_filter=self.request.output_filter)
            request.model_spec.signature_name = self.request.model_spec.signature_name
            response = predict_pb2.PredictResponse(model_spec=self.response.model_spec)
            response.model_spec.version.value = answered_by
            for messages, arrays in ((request.inputs, inputs), (response.outputs, found)):
                for alias, array in arrays.items():
                    messages[alias].CopyFrom(tensors.to_message(array))
            pairs.append((request, response))
        return pairs


def _sliced(arrays: _Arrays, image: int) -> dict[str, npt.NDArray[Any]]:
    """One image of a batch: each [1, ...]."""
    return {alias: array[image : image + 1] for alias, array in arrays.items()}


def _images_asked(request: predict_pb2.PredictRequest) -> int:
    """Length of the batch dimension; an answered request has one."""
    shapes = [message.tensor_shape.dim for message in request.inputs.values()]
    return max((shape[0].size for shape in shapes if shape), default=0)
