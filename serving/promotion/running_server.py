"""A running server, TF Serving or the embedded one: given another models.config, and asked what it has loaded."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, model_service_pb2_grpc
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.clients.connection import Connection
from serving.clients.grpc_channel import call_metadata, make_channel
from serving.promotion.errors import PromotionError

_POLL_SECONDS = 0.5
_STATE = get_model_status_pb2.ModelVersionStatus.State


class RunningServer:
    """A server's ModelService; every call ends within the connection's time."""

    def __init__(self, connection: Connection) -> None:
        """Nothing is sent yet.

        Raises:
          PromotionError: a file of the connection's TLS cannot be read.
        """
        self.address = connection.server
        self._timeout_seconds, self._metadata = connection.timeout_seconds, call_metadata(connection)
        try:
            self._channel = make_channel(connection)
        except OSError as error:
            raise PromotionError(f"{error.filename}: cannot be read ({error.strerror})") from error
        self._stub = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._channel.close()

    def reload(self, config: ModelServerConfig) -> None:
        """Makes it serve a config.

        Raises:
          PromotionError: it refuses, or does not answer.
        """
        try:
            response = self._stub.HandleReloadConfigRequest(
                model_management_pb2.ReloadConfigRequest(config=config),
                timeout=self._timeout_seconds,
                metadata=self._metadata,
            )
        except grpc.RpcError as error:
            raise self._failed("does not take the config", error) from error
        if response.status.error_code:
            raise PromotionError(f"{self.address}: does not take the config: {response.status.error_message}")

    def wait_until_available(self, model_name: str, version: int) -> None:
        """Waits for a version to be loaded and warmed up.

        Raises:
          PromotionError: it cannot be loaded, or is not in time.
        """
        until = time.monotonic() + self._timeout_seconds
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model_name
        request.model_spec.version.value = version
        while True:
            state, message = self._state(request)
            if state == _STATE.AVAILABLE:
                return
            if state == _STATE.END or time.monotonic() >= until:
                found = "not known there" if state is None else _STATE.Name(state)
                raise PromotionError(
                    f"{self.address}: version {version} of {model_name} is {found} and not AVAILABLE"
                    f"{f' ({message})' if message else ''}; its log says why it is not loaded"
                )
            time.sleep(_POLL_SECONDS)

    def _state(self, request: get_model_status_pb2.GetModelStatusRequest) -> tuple[int | None, str]:
        try:
            answer = self._stub.GetModelStatus(request, timeout=self._timeout_seconds, metadata=self._metadata)
            [status] = answer.model_version_status
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                # It has not looked into the folder yet.
                return None, ""
            raise self._failed("does not say what is loaded", error) from error
        return status.state, status.status.error_message

    def _failed(self, what: str, error: grpc.RpcError) -> PromotionError:
        return PromotionError(f"{self.address}: {what}: {error.code().name}: {error.details()}")
