"""One version in memory: a SavedModel under TensorFlow's C++ loader, the one that TF Serving runs it with."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from serving.models.cpp_session import CppSession
from serving.models.runnable import Array, Call
from serving.models.version_folder import check_variables
from serving.protocol import errors


class LoadedModel:
    """A SavedModel that answers.

    Loading and running hold no lock of Python's, so that a version can be loaded while another answers.

    Attributes:
      version: number of the version.
      signature_defs: signature name -> definition, as the file declares them.
    """

    def __init__(self, version: int, path: pathlib.Path) -> None:
        """Loads the SavedModel in `path`.

        Raises:
          OSError, ValueError, tf.errors.OpError: it is broken or incomplete.
        """
        self.version = version
        check_variables(path)
        self._session = CppSession(path)
        self.signature_defs: Mapping[str, meta_graph_pb2.SignatureDef] = self._session.signature_defs

    def run(self, call: Call) -> dict[str, Array]:
        """Runs a signature whatever the deadline; see `Runnable.run`."""
        try:
            return self._session.run(call.signature_name, call.inputs, call.output_aliases)
        except tf.errors.OpError as error:
            raise errors.of_tensorflow(error.error_code, error.message) from error

    def close(self) -> None:
        """Frees the session with its variables."""
        self._session.close()
