"""Names, types and shapes of the signatures that every exported model has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import tensorflow as tf
from tensorflow.core.framework import tensor_shape_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from schema import exported_model as names
from schema.contract_report import Check
from serving.contract.loaders import Loader

_FREE: Final = -1
"""A dimension that each request chooses."""
_ANY: Final = None
"""A dimension that a detector chooses, or leaves free."""


class _Tensor(NamedTuple):
    """What an input or output has to be."""

    dtype: tf.DType
    shape: tuple[int | None, ...]


_Definitions = Mapping[str, meta_graph_pb2.SignatureDef]
_Expected = dict[str, tuple[dict[str, _Tensor], dict[str, _Tensor]]]

_NAMED_OUTPUTS: Final[dict[str, _Tensor]] = {
    names.BOXES: _Tensor(tf.float32, (_FREE, _ANY, 4)),
    names.SCORES: _Tensor(tf.float32, (_FREE, _ANY)),
    names.CLASSES: _Tensor(tf.int64, (_FREE, _ANY)),
    names.CLASS_NAMES: _Tensor(tf.string, (_FREE, _ANY)),
    names.COUNTS: _Tensor(tf.int64, (_FREE,)),
}
_EXPECTED: Final[_Expected] = {
    names.SERVING_SIGNATURE: ({names.IMAGE_BYTES: _Tensor(tf.string, (_FREE,))}, _NAMED_OUTPUTS),
    names.TENSOR_SIGNATURE: ({names.IMAGES: _Tensor(tf.uint8, (_FREE, _FREE, _FREE, 3))}, _NAMED_OUTPUTS),
    names.TOLERANT_SIGNATURE: (
        {names.IMAGE_BYTES: _Tensor(tf.string, (_FREE,))},
        {**_NAMED_OUTPUTS, names.IMAGE_ERRORS: _Tensor(tf.string, (_FREE,))},
    ),
    names.EVALUATE_SIGNATURE: (
        {names.EXAMPLES: _Tensor(tf.string, (_FREE,))},
        {names.DETECTIONS: _Tensor(tf.float32, (_FREE, _ANY, 6))},
    ),
}
"""Inputs and outputs by signature, as `schema.exported_model` describes them."""
_THRESHOLDS: Final = {names.THRESHOLDS: _Tensor(tf.float32, (_FREE, _ANY))}
"""A further output of those that name theirs, in all of them or in none."""

_EXPORT_AGAIN: Final = "export the model again with components.export of this version"


def check_signatures(loaders: Sequence[Loader]) -> list[Check]:
    """Are all names there, are types and shapes right, is every batch dimension free."""
    missing, types, shapes = [], [], []
    for loader in loaders:
        wanted = _expected(loader.signature_defs)
        missing += [f"no {name} in the {loader.name}" for name in _missing_names(loader.signature_defs, wanted)]
        for place, info, expected in _pairs(loader.signature_defs, wanted):
            found = tf.as_dtype(info.dtype)
            if found != expected.dtype:
                types.append(f"{place} {found.name} instead of {expected.dtype.name} in the {loader.name}")
            if not _fits(info.tensor_shape, expected.shape):
                shapes.append(f"{place} {_shown(info.tensor_shape)} in the {loader.name}")
    tensors = sum(len(inputs) + len(outputs) for inputs, outputs in _expected(loaders[0].signature_defs).values())
    return [
        Check(
            "signatures",
            not missing,
            "; ".join(missing) or f"{', '.join(_EXPECTED)}, with all inputs and outputs",
            f"the signatures {', '.join(_EXPECTED)} with the inputs and outputs of schema/exported_model.py",
            _EXPORT_AGAIN,
        ),
        Check(
            "dtypes",
            not types,
            "; ".join(types) or f"those of {tensors} inputs and outputs",
            "the types of schema/exported_model.py",
            _EXPORT_AGAIN,
        ),
        Check(
            "free batch dimension",
            not shapes,
            "; ".join(shapes) or f"all of {tensors} inputs and outputs have one",
            f"any number of images: {_FREE} as first dimension of every input and output, and the ranks of "
            "schema/exported_model.py",
            "give every signature of the export None as its first dimension",
        ),
    ]


def _expected(definitions: _Definitions) -> _Expected:
    """What there should be of a model: thresholds are everywhere, or nowhere as in older versions."""
    if not any(names.THRESHOLDS in definition.outputs for definition in definitions.values()):
        return _EXPECTED
    return {
        signature: (inputs, outputs if signature == names.EVALUATE_SIGNATURE else {**outputs, **_THRESHOLDS})
        for signature, (inputs, outputs) in _EXPECTED.items()
    }


def _missing_names(definitions: _Definitions, wanted: _Expected) -> Iterator[str]:
    for signature, (inputs, outputs) in wanted.items():
        if signature not in definitions:
            yield signature
            continue
        definition = definitions[signature]
        yield from (f"input {alias} of {signature}" for alias in inputs if alias not in definition.inputs)
        yield from (f"output {alias} of {signature}" for alias in outputs if alias not in definition.outputs)


def _pairs(definitions: _Definitions, wanted: _Expected) -> Iterator[tuple[str, meta_graph_pb2.TensorInfo, _Tensor]]:
    """What there is of what should be there: where, what is found, what is expected."""
    for signature, (inputs, outputs) in wanted.items():
        if signature in definitions:
            definition = definitions[signature]
            for found, expected in ((definition.inputs, inputs), (definition.outputs, outputs)):
                for alias in expected.keys() & found.keys():
                    yield f"{signature}.{alias}", found[alias], expected[alias]


def _fits(found: tensor_shape_pb2.TensorShapeProto, expected: tuple[int | None, ...]) -> bool:
    sizes = [dimension.size for dimension in found.dim]
    return (
        not found.unknown_rank
        and len(sizes) == len(expected)
        and all(wanted in (_ANY, size) for size, wanted in zip(sizes, expected, strict=True))
    )


def _shown(found: tensor_shape_pb2.TensorShapeProto) -> str:
    return "of unknown rank" if found.unknown_rank else str([dimension.size for dimension in found.dim])
