"""A Predict request as a call of a signature, with everything looked at that can be before work starts."""

from __future__ import annotations

from collections.abc import Callable

from tensorflow_serving.apis import predict_pb2

from schema.exported_model import TOLERANT_SIGNATURE
from serving.models.runnable import Call, Runnable, never
from serving.models.signature_check import check_inputs, check_output_filter, find_signature
from serving.protocol import tensors
from serving.protocol.limits import Limits


def to_call(
    model: Runnable,
    request: predict_pb2.PredictRequest,
    limits: Limits,
    deadline_monotonic: float | None = None,
    is_cancelled: Callable[[], bool] = never,
) -> Call:
    """The call that a request asks a model for.

    Raises:
      RequestError: the signature, an alias, a type, a shape or a value does not fit, or is more than the limits allow.
    """
    name, definition = find_signature(model.signature_defs, request.model_spec.signature_name)
    check_inputs(definition, request.inputs)
    check_output_filter(definition, request.output_filter)
    inputs = {}
    for alias, message in request.inputs.items():
        # What is declared is looked at before memory is taken for it.
        limits.check_shape(alias, (dimension.size for dimension in message.tensor_shape.dim))
        array = tensors.to_array(alias, message)
        inputs[alias] = limits.check_images(alias, array, tolerant=name == TOLERANT_SIGNATURE)
    return Call(name, inputs, tuple(request.output_filter), deadline_monotonic, is_cancelled)
