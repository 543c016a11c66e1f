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
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from serving.models.tensorflow_c_api import (
    TSTRING_BYTES,
    TSTRING_KIND_BITS,
    TSTRING_LENGTH_SHIFT,
    TSTRING_SMALL,
    Output,
    call,
    call_checked,
)

Array = npt.NDArray[np.generic]

_STRING: Final = int(tf.string.as_datatype_enum)
# What detectors take and give. To ask TensorFlow for each tensor costs more than the copy of its values.
_NUMBERS: Final[Mapping[np.dtype[Any], int]] = {
    np.dtype(dtype.as_numpy_dtype): int(dtype.as_datatype_enum)
    for dtype in (tf.float32, tf.float64, tf.int64, tf.int32, tf.uint8, tf.bool)
}
_NUMPY_OF_NUMBERS: Final = {number: dtype for dtype, number in _NUMBERS.items()}


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
        self._handles: dict[str, Output] = {}
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
        fed = [_Fed(array) for array in inputs.values()]
        try:
            call_checked(
                "TF_SessionRun",
                self._session,
                None,
                (Output * len(feeds))(*feeds),
                (ctypes.c_void_p * len(fed))(*(one.tensor for one in fed)),
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
            for one in fed:
                one.close()
            for tensor in fetched:
                call("TF_DeleteTensor", tensor)

    def _output(self, tensor_name: str) -> Output:
        """The handle of a tensor with a name such as `StatefulPartitionedCall:2`."""
        handle = self._handles.get(tensor_name)
        if handle is None:
            operation, _, index = tensor_name.partition(":")
            handle = Output(call("TF_GraphOperationByName", self._graph, operation.encode()), int(index))
            self._handles[tensor_name] = handle
        return handle


class _Fed:
    """A `TF_Tensor` with the values of an array. Strings are not copied: it keeps them, and is to be closed.

    Attributes:
      tensor: its address.
    """

    def __init__(self, array: Array) -> None:
        number = _NUMBERS.get(array.dtype)
        dtype = int(tf.as_dtype(array.dtype).as_datatype_enum) if number is None else number
        self._strings: Sequence[bytes] = array.ravel().tolist() if dtype == _STRING else ()
        size_bytes = array.size * TSTRING_BYTES if dtype == _STRING else array.nbytes
        shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        self.tensor: int = call("TF_AllocateTensor", dtype, shape, array.ndim, size_bytes)
        if dtype == _STRING:
            for address, value in zip(self._addresses(), self._strings, strict=True):
                call("TF_StringInit", address)
                call("TF_StringAssignView", address, value, len(value))
        elif size_bytes:
            contiguous = np.ascontiguousarray(array)
            ctypes.memmove(call("TF_TensorData", self.tensor), contiguous.ctypes.data, size_bytes)

    def close(self) -> None:
        """Frees it."""
        for address in self._addresses():
            # The library frees the strings of its own tensors only.
            call("TF_StringDealloc", address)
        call("TF_DeleteTensor", self.tensor)

    def _addresses(self) -> Iterator[int]:
        """Of the `TF_TString` elements."""
        if self._strings:
            start = call("TF_TensorData", self.tensor)
            yield from range(start, start + len(self._strings) * TSTRING_BYTES, TSTRING_BYTES)


def _to_array(tensor: int) -> Array:
    """An array with a copy of a `TF_Tensor`."""
    number = call("TF_TensorType", tensor)
    shape = [call("TF_Dim", tensor, axis) for axis in range(call("TF_NumDims", tensor))]
    if number == _STRING:
        array = np.empty(shape, object)
        if array.size:
            array.ravel()[:] = _to_strings(call("TF_TensorData", tensor), array.size)
        return array
    dtype = _NUMPY_OF_NUMBERS.get(number)
    array = np.empty(shape, tf.as_dtype(number).as_numpy_dtype if dtype is None else dtype)
    if array.nbytes:
        ctypes.memmove(array.ctypes.data, call("TF_TensorData", tensor), array.nbytes)
    return array


def _to_strings(address: int, count: int) -> list[bytes]:
    """Copies of the `TF_TString` elements that begin at an address."""
    structs = ctypes.string_at(address, count * TSTRING_BYTES)
    strings = []
    for start in range(0, len(structs), TSTRING_BYTES):
        first = structs[start]
        if first & TSTRING_KIND_BITS == TSTRING_SMALL:
            strings.append(structs[start + 1 : start + 1 + (first >> TSTRING_LENGTH_SHIFT)])
        else:
            string = address + start
            strings.append(ctypes.string_at(call("TF_StringGetDataPointer", string), call("TF_StringGetSize", string)))
    return strings
