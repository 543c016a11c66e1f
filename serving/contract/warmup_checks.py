"""The requests that a model carries for its warm-up: replayed, and how large their answers are."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import predict_pb2

from schema import exported_model as names
from schema.contract_report import Check
from serving.contract.loaders import Arrays, Loader
from serving.contract.problems import Problems
from serving.models.warmup import read_requests
from serving.protocol import tensors

_KIB = 1024


def check_warmup(loaders: Sequence[Loader], model: pathlib.Path, max_reply_bytes: int) -> list[Check]:
    """Does every loader answer the requests of the warm-up, with answers that clients take."""
    problems, sizes, largest_bytes, largest_batch = Problems(), [], 0, 0
    try:
        requests = list(read_requests(model))
    except (tf.errors.OpError, DecodeError) as error:
        requests = []
        problems.note(f"{names.WARMUP_FILE} cannot be read: {type(error).__name__}: {error}")
    for request in requests:
        inputs = {alias: tensors.to_array(alias, message) for alias, message in request.inputs.items()}
        batch = max((len(array) for array in inputs.values()), default=0)
        sizes.append(batch)
        for loader in loaders:
            with problems.of(loader, request.model_spec.signature_name or names.SERVING_SIGNATURE):
                answer = loader.run(request.model_spec.signature_name or names.SERVING_SIGNATURE, inputs)
                size = _reply_bytes(answer)
                if size > largest_bytes:
                    largest_bytes, largest_batch = size, batch
    if not requests and not problems:
        problems.note(f"no request in {names.WARMUP_FILE}")
    shown = f"{largest_bytes / _KIB:.1f} KiB for a batch of {largest_batch}"
    return [
        Check(
            "warm-up",
            not problems,
            str(problems) or f"{len(sizes)} requests answered, batches of {', '.join(map(str, sizes))}",
            f"an answer to every request in {names.WARMUP_FILE}: without one no server takes the version over",
            "export the model again; model.serving_batch_size says how large its batches are",
        ),
        Check(
            "reply size",
            0 < largest_bytes <= max_reply_bytes,
            shown if largest_bytes else "no answer whose size could be seen",
            f"an answer of at most {max_reply_bytes / _KIB:.0f} KiB to the largest batch of the warm-up",
            "lower model.options.max_detections or model.serving_batch_size; or let clients take more "
            "(grpc.max_receive_message_length) and raise push.contract.max_reply_bytes",
        ),
    ]


def _reply_bytes(outputs: Arrays) -> int:
    """Size of the message that a server would send."""
    response = predict_pb2.PredictResponse()
    for alias, array in outputs.items():
        response.outputs[alias].CopyFrom(tensors.to_message(array))
    return response.ByteSize()
