"""Classes of protocol messages made from a list of their fields.

For messages whose generated modules are not to be had without something heavy: those that the package
`tensorflow-serving-api` does not carry, and those it carries but whose import is TensorFlow's. They live in a pool of
their own, so that whoever has the generated ones loaded in the same process is not disturbed; the bytes are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_FIELD: Final = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "bool": _FIELD.TYPE_BOOL,
    "bytes": _FIELD.TYPE_BYTES,
    "double": _FIELD.TYPE_DOUBLE,
    "float": _FIELD.TYPE_FLOAT,
    "int32": _FIELD.TYPE_INT32,
    "int64": _FIELD.TYPE_INT64,
    "string": _FIELD.TYPE_STRING,
}
_WRAPPERS: Final = ("BoolValue", "Int64Value", "StringValue")

Fields = Sequence[tuple[str, int, str]]
"""Name, number and kind of each: a scalar, a message of the list, one of google.protobuf's wrappers (which tell unset
from zero), `repeated` before one of these, or `map KIND` with strings as keys."""


def message_classes(messages: Mapping[str, Fields]) -> dict[str, Any]:
    """Classes by message name, in the package tensorflow.serving and proto3's syntax.

    Args:
      messages: fields by message name; messages may refer to each other.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name="messages.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind in fields:
            _add(message, name, field_name, number, kind)
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    pool.Add(wrappers)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tensorflow.serving.{name}"))
        for name in messages
    }


def _add(message: descriptor_pb2.DescriptorProto, owner: str, name: str, number: int, kind: str) -> None:
    modifier, _, kind = kind.rpartition(" ")
    field = message.field.add(
        name=name, number=number, label=_FIELD.LABEL_REPEATED if modifier else _FIELD.LABEL_OPTIONAL
    )
    if modifier == "map":
        # What a map is on the wire: a repeated message of keys and values, named so by the compiler.
        entry = message.nested_type.add(name="".join(part.capitalize() for part in name.split("_")) + "Entry")
        entry.options.map_entry = True
        _add(entry, owner, "key", 1, "string")
        _add(entry, owner, "value", 2, kind)
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".tensorflow.serving.{owner}.{entry.name}"
    elif kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        package = "google.protobuf" if kind in _WRAPPERS else "tensorflow.serving"
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{package}.{kind}"
