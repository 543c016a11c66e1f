"""TF Serving's ModelService over gRPC: which versions are loaded, and what is to be served from now on."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, model_service_pb2_grpc

from serving.models.models_config import ModelConfig, ModelLogging, ModelsConfigError, models_of
from serving.models.servables import Servables
from serving.protocol.errors import RequestError, abort
from serving.wire.answering import Answering


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Reports on the models, and takes another list of them."""

    def __init__(
        self,
        servables: Servables,
        answering: Answering,
        roots: Sequence[pathlib.Path],
        logs: Sequence[ModelLogging] = (),
    ) -> None:
        """A reload may name folders at or below `roots` only: whoever reaches the port must not read other files.

        Nor write them: a log lies there too, or where one of `logs` or of the models served by then does.
        """
        self._servables = servables
        self._answering = answering
        self._roots = [root.resolve() for root in roots]
        self._logs = list(logs)

    def GetModelStatus(  # noqa: N802 - the name is the protocol's
        self, request: get_model_status_pb2.GetModelStatusRequest, context: grpc.ServicerContext
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """State of one version, or of every version seen so far."""
        try:
            return self._answering.status_response(request)
        except RequestError as error:
            abort(context, error)

    def HandleReloadConfigRequest(  # noqa: N802
        self, request: model_management_pb2.ReloadConfigRequest, context: grpc.ServicerContext
    ) -> model_management_pb2.ReloadConfigResponse:
        """Serves the models of the request from now on, and no others; answers when the new ones were tried.

        The whole is done, or refused and nothing changed.
        """
        try:
            models = models_of(request.config, "the config of the reload")
            for model in models:
                self._check_base_path(model)
                self._check_log(model)
            failed = self._servables.reload(models)
        except ModelsConfigError as error:
            abort(context, RequestError(grpc.StatusCode.INVALID_ARGUMENT, str(error)))
        except RequestError as error:
            abort(context, error)
        response = model_management_pb2.ReloadConfigResponse()
        if failed:
            found = ", ".join(f"{model.name} in {model.base_path}" for model in failed)
            is_answered = any(self._servables.versions(model.name) for model in failed)
            response.status.error_code = grpc.StatusCode.NOT_FOUND.value[0]
            response.status.error_message = f"no version can be loaded yet of: {found}" + (
                "; what was served before goes on answering" if is_answered else ""
            )
        return response

    def _check_base_path(self, model: ModelConfig) -> None:
        if not self._is_below_roots(model.base_path):
            raise RequestError(
                grpc.StatusCode.PERMISSION_DENIED,
                f"model {model.name!r}: base_path {model.base_path} is outside of what a reload may serve from "
                f"({self._allowed()}); start the server with --reload_root",
            )

    def _check_log(self, model: ModelConfig) -> None:
        if model.logging is None:
            return
        served = [served.logging for served in self._servables.models() if served.logging]
        folders = {log.filename_prefix.parent.resolve() for log in (*self._logs, *served)}
        folder = model.logging.filename_prefix.parent
        if folder.resolve() not in folders and not self._is_below_roots(folder):
            raise RequestError(
                grpc.StatusCode.PERMISSION_DENIED,
                f"model {model.name!r}: filename_prefix {model.logging.filename_prefix} of its logging_config is "
                f"outside of what a reload may write to ({self._allowed()}); set it in the file that the server reads, "
                "or start the server with --reload_root",
            )

    def _is_below_roots(self, path: pathlib.Path) -> bool:
        return any(path.resolve().is_relative_to(root) for root in self._roots)

    def _allowed(self) -> str:
        return ", ".join(map(str, self._roots))
