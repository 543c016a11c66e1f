"""TF Serving's ModelService over gRPC: which versions are loaded, and a look into the folder on demand."""

from __future__ import annotations

import pathlib

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, model_service_pb2_grpc

from serving.models.model_versions import ModelVersions
from serving.protocol.errors import RequestError, abort
from serving.wire.answering import Answering


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Reports on, and refreshes, the one model that is served."""

    def __init__(self, versions: ModelVersions, answering: Answering) -> None:
        self._versions = versions
        self._answering = answering

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
        """Looks for a new version now.

        The configuration must be the one that is served (same name, same folder): a server for one model does not
        take another over the network.
        """
        config = request.config
        if config.WhichOneof("config") != "model_config_list":
            message = (
                "ServerModelConfig type not supported by HandleReloadConfigRequest."
                " Only ModelConfigList is currently supported"
            )
            abort(context, RequestError(grpc.StatusCode.INVALID_ARGUMENT, message))
        asked = [(entry.name, pathlib.Path(entry.base_path).resolve()) for entry in config.model_config_list.config]
        served = (self._versions.model_name, self._versions.base_path.resolve())
        if asked != [served]:
            message = (
                f"this server serves {served[0]} from {served[1]} and nothing else; start another for another model"
            )
            abort(context, RequestError(grpc.StatusCode.INVALID_ARGUMENT, message))
        self._versions.poll(trust_files=True)
        return model_management_pb2.ReloadConfigResponse()
