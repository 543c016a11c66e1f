"""The part of TensorFlow's C library (tensorflow/c/c_api.h) that loads and runs a SavedModel, through ctypes.

The wheel carries it in the very libraries that Python's TensorFlow runs on, so nothing is loaded twice.
"""

from __future__ import annotations

import ctypes
import functools
import pathlib
from collections.abc import Callable
from typing import Any, Final

import tensorflow as tf

TSTRING_BYTES: Final = 24
"""Size of a `TF_TString` (tensorflow/core/platform/ctstring_internal.h); a string tensor is an array of them."""
TSTRING_KIND_BITS: Final = 3
"""In its first byte; the values are those of `TF_TString_Type`."""
TSTRING_SMALL: Final = 0
"""The string lies in the element itself, behind the first byte, and its length in the bits above the kind's."""
TSTRING_LENGTH_SHIFT: Final = 2


class Output(ctypes.Structure):
    """`TF_Output`: what an operation of a graph puts out at an index."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class Buffer(ctypes.Structure):
    """`TF_Buffer`: a serialised message."""

    _fields_ = (("data", ctypes.c_void_p), ("length_bytes", ctypes.c_size_t), ("deallocator", ctypes.c_void_p))


_POINTER: Final = ctypes.c_void_p
_POINTERS: Final = ctypes.POINTER(ctypes.c_void_p)
_OUTPUTS: Final = ctypes.POINTER(Output)
_BUFFER: Final = ctypes.POINTER(Buffer)
_SIZES: Final = ctypes.POINTER(ctypes.c_int64)
_TEXT: Final = ctypes.c_char_p
_INT: Final = ctypes.c_int
_SIZE: Final = ctypes.c_size_t

_LONG: Final = frozenset(
    {
        "TF_LoadSessionFromSavedModel",
        "TF_SessionRun",
        "TF_CloseSession",
        "TF_DeleteSession",
        "TF_DeleteGraph",
    }
)
"""What lets other threads run meanwhile. For the others, to give Python's lock away takes longer than the call."""
_LIBRARIES: Final = ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2")
_FUNCTIONS: Final[dict[str, tuple[Any, list[Any]]]] = {
    # Name: result, arguments.
    "TF_NewStatus": (_POINTER, []),
    "TF_GetCode": (_INT, [_POINTER]),
    "TF_Message": (_TEXT, [_POINTER]),
    "TF_DeleteStatus": (None, [_POINTER]),
    "TF_NewBuffer": (_BUFFER, []),
    "TF_DeleteBuffer": (None, [_BUFFER]),
    "TF_NewGraph": (_POINTER, []),
    "TF_DeleteGraph": (None, [_POINTER]),
    "TF_GraphOperationByName": (_POINTER, [_POINTER, _TEXT]),
    "TF_NewSessionOptions": (_POINTER, []),
    "TF_DeleteSessionOptions": (None, [_POINTER]),
    "TF_LoadSessionFromSavedModel": (
        _POINTER,
        # Session options, run options, folder, tags and their number, graph, meta graph, status.
        [_POINTER, _BUFFER, _TEXT, ctypes.POINTER(_TEXT), _INT, _POINTER, _BUFFER, _POINTER],
    ),
    "TF_SessionRun": (
        None,
        # Session, run options, inputs, their values and number, outputs, their values and number, targets and their
        # number, run metadata, status.
        [_POINTER, _BUFFER, _OUTPUTS, _POINTERS, _INT, _OUTPUTS, _POINTERS, _INT, _POINTERS, _INT, _BUFFER, _POINTER],
    ),
    "TF_CloseSession": (None, [_POINTER, _POINTER]),
    "TF_DeleteSession": (None, [_POINTER, _POINTER]),
    "TF_AllocateTensor": (_POINTER, [_INT, _SIZES, _INT, _SIZE]),
    "TF_DeleteTensor": (None, [_POINTER]),
    "TF_TensorType": (_INT, [_POINTER]),
    "TF_NumDims": (_INT, [_POINTER]),
    "TF_Dim": (ctypes.c_int64, [_POINTER, _INT]),
    "TF_TensorData": (_POINTER, [_POINTER]),
    "TF_StringInit": (None, [_POINTER]),
    "TF_StringAssignView": (None, [_POINTER, _TEXT, _SIZE]),
    "TF_StringDealloc": (None, [_POINTER]),
    "TF_StringGetDataPointer": (_POINTER, [_POINTER]),
    "TF_StringGetSize": (_SIZE, [_POINTER]),
}


@functools.cache
def _function(name: str) -> Callable[..., Any]:
    folder = pathlib.Path(tf.sysconfig.get_lib())
    kind = ctypes.CDLL if name in _LONG else ctypes.PyDLL
    for library in (kind(str(folder / file)) for file in _LIBRARIES):
        if hasattr(library, name):
            function: Any = library[name]
            function.restype, function.argtypes = _FUNCTIONS[name]
            return function
    raise AttributeError(f"{folder}: neither of {', '.join(_LIBRARIES)} has the function {name}")


def call(name: str, *arguments: object) -> Any:
    """Calls a function of the library.

    Raises:
      AttributeError: this release of TensorFlow has no such function.
    """
    return _function(name)(*arguments)


def call_checked(name: str, *arguments: object) -> Any:
    """Calls a function of the library whose last argument is a `TF_Status`, which is left out here.

    Raises:
      tf.errors.OpError: what the status says.
    """
    status = call("TF_NewStatus")
    try:
        result = call(name, *arguments, status)
        if code := call("TF_GetCode", status):
            message = call("TF_Message", status).decode("utf-8", "replace")
            raise tf.compat.v1.errors.exception_type_from_error_code(code)(None, None, message)
        return result
    finally:
        call("TF_DeleteStatus", status)
