"""TF Serving's protocol as the package tensorflow-serving-api describes it, in the form that other languages read.

The package's modules of the two services do not load under today's protobuf; what they say of them is read from their
text.
"""

from __future__ import annotations

import ast
import importlib
import pathlib

import tensorflow_serving
from google.protobuf import descriptor_pb2, descriptor_pool

_SERVICES = ("prediction_service", "model_service")


def file_descriptor_set() -> bytes:
    """A serialised FileDescriptorSet of PredictionService and ModelService and all they stand on."""
    made = descriptor_pb2.FileDescriptorSet()
    for service in _SERVICES:
        file = _described(service)
        for dependency in file.dependency:
            _add(made, dependency)
        made.file.append(file)
    return made.SerializeToString()


def _described(service: str) -> descriptor_pb2.FileDescriptorProto:
    """The description in the text of a generated module."""
    [folder] = tensorflow_serving.__path__
    source = (pathlib.Path(folder) / "apis" / f"{service}_pb2.py").read_text(encoding="utf-8")
    [serialized] = [
        node.value.args[0].value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.keyword) and node.arg == "serialized_pb"
    ]
    return descriptor_pb2.FileDescriptorProto.FromString(serialized.encode("latin1"))


def _add(made: descriptor_pb2.FileDescriptorSet, name: str) -> None:
    """A file and, before it, those it imports."""
    if any(file.name == name for file in made.file):
        return
    file = descriptor_pb2.FileDescriptorProto()
    try:
        found = descriptor_pool.Default().FindFileByName(name)
    except KeyError:
        # Nobody has imported it yet.
        importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
        found = descriptor_pool.Default().FindFileByName(name)
    found.CopyToProto(file)
    for dependency in file.dependency:
        _add(made, dependency)
    made.file.append(file)
