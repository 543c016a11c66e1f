"""The embedded model server: models, what answers, and the doors to it."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import pathlib
import time
from collections.abc import Sequence

import grpc
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from schema.exported_model import SAVED_MODEL_FILE
from serving.devices.runtime import MODEL_FILES
from serving.models.batching import BatchScheduler
from serving.models.batching_parameters import BatchingParameters
from serving.models.loader import Loader
from serving.models.models_config import ModelConfig
from serving.models.servables import Servables
from serving.protocol.limits import Limits
from serving.wire.answering import Answering
from serving.wire.health_service import Health
from serving.wire.metrics import Metrics
from serving.wire.model_service import ModelService
from serving.wire.prediction_service import PredictionService
from serving.wire.request_messages import RequestMessageInterceptor, hard_limit_bytes
from serving.wire.request_sampling import RequestLogSettings, RequestSampling
from serving.wire.rest import RestDoor, RestSettings
from serving.wire.shadow import Shadow, ShadowSettings
from serving.wire.shadow_metrics import ShadowMetrics
from serving.wire.tls import Tls
from serving.wire.token import TokenInterceptor, Tokens

_SPARE_THREADS = 16
"""For requests that are being read, metadata and statuses, beside those that wait for a batch."""
_UNBATCHED_THREADS = 4


class PortError(Exception):
    """The address cannot be listened on."""


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """How a server runs.

    Attributes:
      host: address to listen on.
      port: of gRPC; 0: a free one.
      poll_seconds: pause between looks into the models' folders.
      batching: how requests are merged; None: each runs alone.
      limits: of requests.
      config_file: where the models come from, if from a file.
      config_poll_seconds: pause between looks at that file; 0: it is read once.
      allow_unavailable_labels: labels may name versions that are not in memory.
      reload_roots: folders that a reload may serve from; empty: those above the folders of the models.
      threads: requests at once; None: as many as may wait for a batch or be in one, and some.
      rest: how HTTP is listened for; None: not at all.
      tls: of both doors; None: none.
      tokens: that let callers in; None: everybody is.
      request_log: what is kept of the answers, beside what the models' configs say.
      shadow: which version is asked too, and its answers compared; None: none.
      runtime: what runs the models, which are device models then: ``litert``, ``onnx`` or ``openvino``. None: they are
        SavedModels, and TensorFlow does.
    """

    host: str = "127.0.0.1"
    port: int = 8500
    poll_seconds: float = 2.0
    batching: BatchingParameters | None = dataclasses.field(default_factory=BatchingParameters)
    limits: Limits = dataclasses.field(default_factory=Limits)
    config_file: pathlib.Path | None = None
    config_poll_seconds: float = 0.0
    allow_unavailable_labels: bool = False
    reload_roots: Sequence[pathlib.Path] = ()
    threads: int | None = None
    rest: RestSettings | None = None
    tls: Tls | None = None
    tokens: Tokens | None = None
    request_log: RequestLogSettings = dataclasses.field(default_factory=RequestLogSettings)
    shadow: ShadowSettings | None = None
    runtime: str | None = None


class ModelServer:
    """A server; `start` returns when what is there was loaded.

    Attributes:
      port: the port that gRPC is listened for on, also when 0 was asked for.
      rest_port: that of HTTP; None: it is not listened for.
      metrics: what is counted.
      servables: what is served.
      answering: what answers, whichever door a request comes through.
    """

    def __init__(self, models: Sequence[ModelConfig], settings: ServerSettings) -> None:
        """Binds the port; nothing is loaded yet.

        Raises:
          PortError: the port is taken or may not be used.
          ModelsConfigError: the folder of a logging_config cannot be written to.
          OSError: the folder of the request log, or of the shadow's, cannot be written to.
        """
        self.metrics = Metrics(lambda name: any(model.name == name for model in self.servables.models()))
        self._scheduler = BatchScheduler(settings.batching, [self.metrics.batch]) if settings.batching else None
        if self._scheduler:
            scheduler = self._scheduler
            self.metrics.watch_queue(lambda: scheduler.waiting_images)
        self._request_log = RequestSampling(
            settings.request_log, lambda reason: self.metrics.log_dropped.labels(reason).inc()
        )
        self._request_log.follow(models)
        self.servables = Servables(
            models,
            Loader(self._scheduler, are_device_models=settings.runtime is not None).load,
            settings.poll_seconds,
            config_file=settings.config_file,
            config_poll_seconds=settings.config_poll_seconds,
            allow_unavailable_labels=settings.allow_unavailable_labels,
            on_available=self._version_is_available,
            prepare=self._request_log.follow,
            model_file=MODEL_FILES[settings.runtime] if settings.runtime else SAVED_MODEL_FILE,
        )
        self.metrics.watch_versions(self._available)
        observers = [self.metrics.answered, self._request_log.answered]
        self._shadow = self._make_shadow(settings, settings.shadow) if settings.shadow else None
        if self._shadow:
            observers.append(self._shadow.answered)
        self.answering = Answering(self.servables, settings.limits, observers)
        # Whoever waits for a batch, or is in one that runs, has a thread; the queue is what bounds them. With fewer
        # threads it would never be full: requests would pile up before it, where nothing refuses them.
        most = settings.batching.max_images_inside if settings.batching else _UNBATCHED_THREADS
        threads = settings.threads or most + _SPARE_THREADS
        max_message_bytes = settings.limits.max_message_mib << 20
        self._server = grpc.server(
            concurrent.futures.ThreadPoolExecutor(threads, "grpc"),
            # Who may not come in is not told how large a request may be.
            interceptors=[
                *([TokenInterceptor(settings.tokens)] if settings.tokens else []),
                RequestMessageInterceptor(max_message_bytes),
            ],
            options=[
                ("grpc.max_receive_message_length", hard_limit_bytes(max_message_bytes)),
                ("grpc.max_send_message_length", -1),
                # Two servers on one port would share its requests unnoticed.
                ("grpc.so_reuseport", 0),
            ],
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(self.answering), self._server
        )
        roots = settings.reload_roots or [model.base_path.resolve().parent for model in models]
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            ModelService(self.servables, self.answering, roots, [model.logging for model in models if model.logging]),
            self._server,
        )
        self._health = Health(self._server)
        reflection.enable_server_reflection(
            [
                "tensorflow.serving.PredictionService",
                "tensorflow.serving.ModelService",
                health.SERVICE_NAME,
                reflection.SERVICE_NAME,
            ],
            self._server,
        )
        address = f"{settings.host}:{settings.port}"
        taken = f"cannot listen on {address}: is another server using the port? (--port 0 picks one)"
        try:
            if settings.tls:
                self.port = self._server.add_secure_port(address, settings.tls.credentials)
            else:
                self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise PortError(taken) from error
        if self.port == 0:
            raise PortError(taken)
        self._rest = self._rest_door(settings, settings.rest, threads) if settings.rest else None
        self.rest_port = self._rest.port if self._rest else None

    def start(self, wait: bool = True) -> None:
        """Begins to load and to answer; without a version, requests are NOT_FOUND until one comes.

        Args:
          wait: until what is there was loaded.
        """
        self._server.start()
        if self._rest:
            self._rest.start()
        self.servables.start()
        if wait:
            self.servables.wait_until_looked()

    def stop(self, grace_seconds: float) -> bool:
        """Refuses new requests at once, and gives what is in progress `grace_seconds` to end.

        Returns:
          Whether everything has ended: a version that is being loaded, a batch or a candidate's answer cannot be
          stopped.
        """
        until = time.monotonic() + grace_seconds
        self._health.end()
        if self._shadow:
            self._shadow.end()
        grpc_ended = self._server.stop(grace_seconds)
        if self._rest:
            self._rest.stop(grace_seconds)
        grpc_ended.wait(max(0.0, until - time.monotonic()))
        if self._scheduler:
            self._scheduler.stop(max(0.0, until - time.monotonic()))
        self._request_log.stop(max(0.0, until - time.monotonic()))
        shadow_ended = not self._shadow or self._shadow.wait(max(0.0, until - time.monotonic()))
        return self.servables.stop(max(0.0, until - time.monotonic())) and shadow_ended

    def _make_shadow(self, settings: ServerSettings, shadow: ShadowSettings) -> Shadow:
        scheduler = self._scheduler
        return Shadow(
            shadow,
            self.servables,
            settings.limits,
            ShadowMetrics(self.metrics.registry),
            (lambda: scheduler.waiting_images > 0) if scheduler else (lambda: False),
        )

    def _rest_door(self, settings: ServerSettings, rest: RestSettings, threads: int) -> RestDoor:
        try:
            return RestDoor(
                self.answering,
                rest,
                host=settings.host,
                threads=threads,
                max_message_mib=settings.limits.max_message_mib,
                metrics_page=self.metrics.page,
                tokens=settings.tokens,
                tls=settings.tls.context if settings.tls else None,
            )
        except OSError as error:
            raise PortError(
                f"cannot listen on {settings.host}:{rest.port}: is another server using the port? "
                "(--rest_api_port 0 picks one)"
            ) from error

    def _version_is_available(self) -> None:
        self.metrics.swaps.inc()
        self._health.set_serving(True)

    def _available(self) -> list[tuple[str, int]]:
        return [
            (model.name, version)
            for model in self.servables.models()
            for version in self.servables.versions(model.name)
        ]
