"""Which version a request means: the newest, a number or a label."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import grpc
from tensorflow_serving.apis import model_pb2

from serving.protocol.errors import RequestError


def resolve(spec: model_pb2.ModelSpec, available: Collection[int], labels: Mapping[str, int]) -> int:
    """The version to answer with.

    A version of 0 is the newest, as one that is not set: there are clients that always send one.

    Args:
      spec: of a request; its model is there.
      available: versions in memory.
      labels: version by label.

    Raises:
      RequestError: as TF Serving answers a version or a label it does not have.
    """
    choice = spec.WhichOneof("version_choice")
    if choice == "version_label":
        if spec.version_label not in labels:
            known = ", ".join(sorted(labels)) or "none"
            message = f"Unrecognized servable version label: {spec.version_label} (known here: {known})"
            raise RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)
        wanted = labels[spec.version_label]
    else:
        wanted = spec.version.value
    if not wanted and available:
        return max(available)
    if wanted in available:
        return wanted
    asked = f"Specific({spec.name}, {wanted})" if wanted else f"Latest({spec.name})"
    served = f"{spec.name} version {', '.join(map(str, sorted(available)))}" if available else "nothing yet"
    raise RequestError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {asked} (served here: {served})")
