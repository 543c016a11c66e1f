"""Every way of running the model, behind one interface: the Python loader, the C++ loader, a server."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Protocol

import grpc
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

from schema.exported_model import SAVED_MODEL_FILE
from serving.clients.connection import Connection
from serving.clients.grpc_channel import call_metadata, make_channel
from serving.models.cpp_session import CppSession
from serving.protocol import errors, tensors
from serving.protocol.errors import RequestError

Array = npt.NDArray[np.generic]
Arrays = dict[str, Array]

_SIGNATURE_DEF = "signature_def"


class Loader(Protocol):
    """Runs the signatures of one model.

    Attributes:
      name: for a line of the report.
      signature_defs: signature name -> definition.
    """

    name: str
    signature_defs: Mapping[str, meta_graph_pb2.SignatureDef]

    def run(self, signature_name: str, inputs: Mapping[str, Array]) -> Arrays:
        """Outputs by alias; strings are arrays of `bytes` objects.

        Raises:
          RequestError: it cannot be answered.
        """


class LoadError(Exception):
    """The model cannot be loaded; the message is why."""


class PythonLoader:
    """`tf.saved_model.load`, as the Evaluator loads models."""

    name = "Python loader"

    def __init__(self, model: pathlib.Path) -> None:
        """Raises `LoadError`."""
        try:
            saved = saved_model_pb2.SavedModel.FromString((model / SAVED_MODEL_FILE).read_bytes())
            tagged = [graph for graph in saved.meta_graphs if tf.saved_model.SERVING in graph.meta_info_def.tags]
            if not tagged:
                raise LoadError(f"{SAVED_MODEL_FILE} holds no graph with the tag {tf.saved_model.SERVING!r}")
            # The functions are what runs; the object must be kept with them, because it owns the variables.
            self._object = tf.saved_model.load(str(model), tags=[tf.saved_model.SERVING])
        except (OSError, ValueError, IndexError, DecodeError, tf.errors.OpError) as error:
            raise LoadError(_first_line(error)) from error
        self._functions = dict(self._object.signatures)
        self.signature_defs: Mapping[str, meta_graph_pb2.SignatureDef] = {
            name: definition for name, definition in tagged[0].signature_def.items() if name in self._functions
        }

    def run(self, signature_name: str, inputs: Mapping[str, Array]) -> Arrays:
        """See `Loader.run`."""
        function = self._functions.get(signature_name)
        if function is None:
            raise RequestError(grpc.StatusCode.FAILED_PRECONDITION, f"there is no {signature_name!r}")
        try:
            outputs = function(**{alias: tf.constant(array) for alias, array in inputs.items()})
            return {alias: np.asarray(tensor.numpy()) for alias, tensor in outputs.items()}
        except tf.errors.OpError as error:
            raise errors.of_tensorflow(error.error_code, error.message) from error
        except (TypeError, ValueError) as error:
            raise RequestError(grpc.StatusCode.INVALID_ARGUMENT, _first_line(error)) from error


class CppLoader:
    """The loader of TF Serving."""

    name = "C++ loader"

    def __init__(self, model: pathlib.Path) -> None:
        """Raises `LoadError`."""
        try:
            self._session = CppSession(model)
        except tf.errors.OpError as error:
            raise LoadError(_first_line(error)) from error
        self.signature_defs: Mapping[str, meta_graph_pb2.SignatureDef] = self._session.signature_defs

    def run(self, signature_name: str, inputs: Mapping[str, Array]) -> Arrays:
        """See `Loader.run`."""
        try:
            return self._session.run(signature_name, inputs)
        except KeyError as error:
            raise RequestError(grpc.StatusCode.FAILED_PRECONDITION, f"there is no signature {error}") from error
        except tf.errors.OpError as error:
            raise errors.of_tensorflow(error.error_code, error.message) from error


class ServerLoader:
    """A server that has loaded the model, over TF Serving's gRPC."""

    def __init__(self, connection: Connection, model_name: str) -> None:
        """Raises `LoadError` when the server does not tell the signatures of the model."""
        self.name = f"server {connection.server}"
        self._model_name = model_name
        self._timeout_seconds, self._metadata = connection.timeout_seconds, call_metadata(connection)
        try:
            self._stub = prediction_service_pb2_grpc.PredictionServiceStub(make_channel(connection))
        except OSError as error:
            raise LoadError(_first_line(error)) from error
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=[_SIGNATURE_DEF])
        request.model_spec.name = model_name
        try:
            answer = self._stub.GetModelMetadata(request, timeout=self._timeout_seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise LoadError(f"{error.code().name}: {error.details()}") from error
        signatures = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata[_SIGNATURE_DEF].Unpack(signatures)
        # TF Serving tells of the graph's own initialisation, too.
        self.signature_defs: Mapping[str, meta_graph_pb2.SignatureDef] = {
            name: definition
            for name, definition in signatures.signature_def.items()
            if not name.startswith("__saved_model")
        }

    def run(self, signature_name: str, inputs: Mapping[str, Array]) -> Arrays:
        """See `Loader.run`."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model_name
        request.model_spec.signature_name = signature_name
        for alias, array in inputs.items():
            request.inputs[alias].CopyFrom(tensors.to_message(array))
        try:
            answer = self._stub.Predict(request, timeout=self._timeout_seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise RequestError(error.code(), error.details()) from error
        return {alias: tensors.to_array(alias, message) for alias, message in answer.outputs.items()}


def _first_line(error: Exception) -> str:
    text = error.message if isinstance(error, tf.errors.OpError) else str(error)
    return f"{type(error).__name__}: {(text.strip().splitlines() or ['no reason given'])[0]}"
