"""One Beam worker: what ``pipeline.worker_pool`` forks for a runner, with everything imported that executors need.

Beam's own pool starts a bare interpreter for each worker. That one imports TFDV before TFX (which makes up for what
TFDV 1.16 misses in tfx-bsl 1.21), knows none of the pipeline's options, and pays for TensorFlow's import every time.
"""

from __future__ import annotations

import json
from typing import Final

import grpc

# Before whatever imports TFDV.
import tfx.v1  # noqa: F401
from apache_beam.portability.api import beam_fn_api_pb2, beam_provision_api_pb2, beam_provision_api_pb2_grpc
from apache_beam.runners.worker import sdk_worker_main
from apache_beam.runners.worker.worker_id_interceptor import WorkerIdInterceptor
from google.protobuf import json_format, text_format

import components.evaluator.executor
import components.example_gen.executor
import components.validation.executor  # noqa: F401 - what is imported here no worker imports again

_PROVISION_SECONDS: Final = 60


def run_worker(serialized_request: bytes) -> None:
    """Works for a runner until it closes the connection.

    What Beam's boot program does for its containers, but for installing packages: the options of the pipeline come from
    the runner's provision service, and Beam's own start of a worker reads them.

    Args:
      serialized_request: ``StartWorkerRequest``.
    """
    request = beam_fn_api_pb2.StartWorkerRequest.FromString(serialized_request)
    environment = {
        "WORKER_ID": request.worker_id,
        "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(request.control_endpoint),
        **_provided(request),
    }
    if request.HasField("logging_endpoint"):
        environment["LOGGING_API_SERVICE_DESCRIPTOR"] = text_format.MessageToString(request.logging_endpoint)
    log_handler, harness, _ = sdk_worker_main.create_harness(environment)
    try:
        harness.run()
    finally:
        if log_handler is not None:
            log_handler.close()


def _provided(request: beam_fn_api_pb2.StartWorkerRequest) -> dict[str, str]:
    """Options of the pipeline and what the runner can do, as variables of Beam's worker."""
    if not request.HasField("provision_endpoint"):
        return {}
    channel = grpc.intercept_channel(
        grpc.insecure_channel(request.provision_endpoint.url), WorkerIdInterceptor(request.worker_id)
    )
    stub = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
    asked = beam_provision_api_pb2.GetProvisionInfoRequest()
    info = stub.GetProvisionInfo(asked, timeout=_PROVISION_SECONDS, wait_for_ready=True).info
    return {
        "PIPELINE_OPTIONS": json.dumps(json_format.MessageToDict(info.pipeline_options)),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }
