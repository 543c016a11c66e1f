"""A SavedModel under TensorFlow's C++ loader, the one TF Serving is built on.

`tf.saved_model.load` rebuilds a model from its object graph. The C++ loader does not look at that: it imports the
MetaGraphDef, restores the checkpoint into it and runs the signatures in a session. A model can answer under the one
and not under the other (a variable that is tracked twice has a second handle, which nothing restores), so a model that
is to be served is asked here.
"""

from __future__ import annotations

import ctypes
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from serving.models.tensorflow_c_api import TSTRING_BYTES, Output, call, call_checked

Array = npt.NDArray[np.generic]


class CppSession:
    """A loaded SavedModel that runs its signatures; a context manager, safe to use from several threads.

    Attributes:
      signature_defs: signature name -> definition, as the file declares them.
    """

    def __init__(self, path: pathlib.Path, tags: Sequence[str] = (tf.saved_model.SERVING,)) -> None:
        """Loads the SavedModel in the folder `path`.

        Raises:
          tf.errors.OpError: it is broken or incomplete, or holds no graph with exactly these tags.
        """
        self._graph: int | None = call("TF_NewGraph")
        self._session: int | None = None
        options, meta_graph = call("TF_NewSessionOptions"), call("TF_NewBuffer")
        try:
            self._session = call_checked(
                "TF_LoadSessionFromSavedModel",
                options,
                None,
                str(path).encode(),
                (ctypes.c_char_p * len(tags))(*(tag.encode() for tag in tags)),
                len(tags),
                self._graph,
                meta_graph,
            )
            serialized = ctypes.string_at(meta_graph.contents.data, meta_graph.contents.length_bytes)
        except BaseException:
            self.close()
            raise
        finally:
            call("TF_DeleteBuffer", meta_graph)
            call("TF_DeleteSessionOptions", options)
        self.signature_defs: dict[str, meta_graph_pb2.SignatureDef] = {
            name: definition
            for name, definition in meta_graph_pb2.MetaGraphDef.FromString(serialized).signature_def.items()
            # The graph's own initialisation stands among them.
            if not name.startswith("__saved_model")
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees the session with its variables; a second call does nothing."""
        session, self._session = self._session, None
        graph, self._graph = self._graph, None
        if session is not None:
            call_checked("TF_CloseSession", session)
            call_checked("TF_DeleteSession", session)
        if graph is not None:
            call("TF_DeleteGraph", graph)

    def run(
        self, signature_name: str, inputs: Mapping[str, Array], output_aliases: Sequence[str] = ()
    ) -> dict[str, Array]:
        """Runs a signature.

        Args:
          signature_name: a key of `signature_defs`.
          inputs: arrays by input alias; strings are arrays of `bytes` objects.
          output_aliases: which outputs to compute, all when empty.

        Returns:
          Arrays by output alias.

        Raises:
          KeyError: there is no such signature or output.
          tf.errors.OpError: the graph refused the values, or cannot run at all.
        """
        definition = self.signature_defs[signature_name]
        feeds = [self._output(definition.inputs[alias].name) for alias in inputs]
        aliases = list(output_aliases or definition.outputs)
        fetches = [self._output(definition.outputs[alias].name) for alias in aliases]
        fetched = (ctypes.c_void_p * len(fetches))()
        fed = [_to_tensor(array) for array in inputs.values()]
        try:
            call_checked(
                "TF_SessionRun",
                self._session,
                None,
                (Output * len(feeds))(*feeds),
                (ctypes.c_void_p * len(fed))(*fed),
                len(fed),
                (Output * len(fetches))(*fetches),
                fetched,
                len(fetches),
                None,
                0,
                None,
            )
            return {alias: _to_array(tensor) for alias, tensor in zip(aliases, fetched, strict=True)}
        finally:
            for tensor in fed:
                for string in _strings(tensor):
                    # The library frees the strings of its own tensors only.
                    call("TF_StringDealloc", string)
            for tensor in (*fed, *fetched):
                call("TF_DeleteTensor", tensor)

    def _output(self, tensor_name: str) -> Output:
        """The handle of a tensor with a name such as `StatefulPartitionedCall:2`."""
        operation, _, index = tensor_name.partition(":")
        return Output(call("TF_GraphOperationByName", self._graph, operation.encode()), int(index))


def _to_tensor(array: Array) -> int:
    """A `TF_Tensor` with a copy of an array; the caller frees it."""
    dtype = tf.as_dtype(array.dtype)
    size_bytes = array.size * TSTRING_BYTES if dtype == tf.string else array.nbytes
    shape = (ctypes.c_int64 * array.ndim)(*array.shape)
    tensor: int = call("TF_AllocateTensor", dtype.as_datatype_enum, shape, array.ndim, size_bytes)
    if dtype == tf.string:
        for string, value in zip(_strings(tensor), array.ravel().tolist(), strict=True):
            call("TF_StringInit", string)
            call("TF_StringCopy", string, value, len(value))
    elif size_bytes:
        contiguous = np.ascontiguousarray(array)
        ctypes.memmove(call("TF_TensorData", tensor), contiguous.ctypes.data, size_bytes)
    return tensor


def _to_array(tensor: int) -> Array:
    """An array with a copy of a `TF_Tensor`."""
    dtype = tf.as_dtype(call("TF_TensorType", tensor))
    array = np.empty([call("TF_Dim", tensor, axis) for axis in range(call("TF_NumDims", tensor))], dtype.as_numpy_dtype)
    if dtype == tf.string:
        array.ravel()[:] = [
            ctypes.string_at(call("TF_StringGetDataPointer", string), call("TF_StringGetSize", string))
            for string in _strings(tensor)
        ]
    elif array.nbytes:
        ctypes.memmove(array.ctypes.data, call("TF_TensorData", tensor), array.nbytes)
    return array


def _strings(tensor: int) -> Iterator[int]:
    """Addresses of the `TF_TString` elements of a string tensor; none of a tensor of another type."""
    if call("TF_TensorType", tensor) == tf.string.as_datatype_enum:
        start = call("TF_TensorData", tensor)
        for number in range(call("TF_TensorElementCount", tensor)):
            yield start + number * TSTRING_BYTES
