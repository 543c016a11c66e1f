"""An embedded model server that speaks TF Serving's gRPC.

    python -m serving.server --model_base_path DIR --model_name detector --port 8500

It serves the newest complete version in DIR and follows new ones. Flags have TF Serving's names where it has the
same; a client of one is a client of the other.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import logging
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from schema.exported_model import MODEL_NAME
from serving.models import version_folder

if TYPE_CHECKING:
    from serving.models.model_versions import ModelVersions

_LOG = logging.getLogger(__name__)


class PortError(Exception):
    """The address cannot be listened on."""


class ModelServer:
    """The server of one model; `start` returns when it answers.

    Attributes:
      port: the port that is listened on, also when 0 was asked for.
      versions: what is loaded.
    """

    def __init__(
        self,
        model_base_path: pathlib.Path,
        model_name: str = MODEL_NAME,
        host: str = "127.0.0.1",
        port: int = 8500,
        poll_seconds: float = 2.0,
        threads: int | None = None,
        max_message_mib: int = 64,
    ) -> None:
        """Binds the port; nothing is loaded yet.

        Raises:
          PortError: the port is taken or may not be used.
        """
        # Here and not at the top: TensorFlow takes seconds, which --help and a wrong folder should not.
        import grpc
        from grpc_health.v1 import health, health_pb2_grpc
        from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

        from serving.models.model_versions import ModelVersions
        from serving.wire.answering import Answering
        from serving.wire.model_service import ModelService
        from serving.wire.prediction_service import PredictionService

        self.versions: ModelVersions = ModelVersions(
            model_name, model_base_path, poll_seconds, lambda: self._set_health(serving=True)
        )
        self._health = health.HealthServicer()
        self._server = grpc.server(
            concurrent.futures.ThreadPoolExecutor(threads or 2 * (os.cpu_count() or 1), "grpc"),
            options=[
                ("grpc.max_receive_message_length", max_message_mib << 20),
                ("grpc.max_send_message_length", -1),
                # Two servers on one port would share its requests unnoticed.
                ("grpc.so_reuseport", 0),
            ],
        )
        answering = Answering(self.versions)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(answering), self._server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(self.versions, answering), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._set_health(serving=False)
        address = f"{host}:{port}"
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise PortError(
                f"cannot listen on {address}: is another server using the port? (--port 0 picks one)"
            ) from error
        if self.port == 0:
            raise PortError(f"cannot listen on {address}: is another server using the port? (--port 0 picks one)")

    def start(self) -> None:
        """Loads the newest version and begins to answer; without a version, requests are NOT_FOUND until one comes."""
        self._server.start()
        self.versions.start()

    def stop(self, grace_seconds: float) -> None:
        """Refuses new requests at once, and gives those in progress `grace_seconds` to end."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace_seconds).wait()
        self.versions.stop()

    def _set_health(self, serving: bool) -> None:
        from grpc_health.v1 import health_pb2

        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"):
            self._health.set(service, status)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.server",
        description="Serves the newest version of a pushed model over TF Serving's gRPC, and follows new versions.",
    )
    parser.add_argument("--model_base_path", type=pathlib.Path, required=True, help="folder of numbered versions")
    parser.add_argument("--model_name", default=MODEL_NAME, help="name that requests give (default: %(default)s)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for other machines (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, default=8500, help="0 picks a free one (default: %(default)s)")
    parser.add_argument(
        "--file_system_poll_wait_seconds", type=float, default=2.0, help="pause between looks (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=None, help="requests at once (default: two for each core)")
    parser.add_argument(
        "--max_message_mib", type=int, default=64, help="largest request, in MiB (default: %(default)s)"
    )
    parser.add_argument(
        "--grace_seconds", type=float, default=10.0, help="time for requests to end on SIGTERM (default: %(default)s)"
    )
    parser.add_argument("--wait_for_model", action="store_true", help="start before the first version is there")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    parser = _arguments()
    options = parser.parse_args(arguments)
    if not 0 <= options.port <= 65535:
        parser.error(f"argument --port: must be 0 to 65535, found {options.port}")
    for name in ("file_system_poll_wait_seconds", "max_message_mib"):
        if getattr(options, name) <= 0:
            parser.error(f"argument --{name}: must be positive, found {getattr(options, name)}")
    if options.threads is not None and options.threads < 1:
        parser.error(f"argument --threads: must be at least 1, found {options.threads}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        if not options.wait_for_model:
            version_folder.check_base_path(options.model_base_path)
        _serve(options)
    except (version_folder.ModelFolderError, PortError) as error:
        sys.exit(f"error: {error}")


def _serve(options: argparse.Namespace) -> None:
    # TensorFlow's start-up notices about the processor are not the user's concern.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # A server beside a training run must not take the whole GPU.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    server = ModelServer(
        options.model_base_path,
        options.model_name,
        options.host,
        options.port,
        options.file_system_poll_wait_seconds,
        options.threads,
        options.max_message_mib,
    )
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server.start()
    if server.versions.serving_version is None and not options.wait_for_model:
        server.stop(grace_seconds=0)
        statuses = server.versions.statuses()
        reasons = "; ".join(f"version {number}: {status.error}" for number, status in statuses.items())
        raise version_folder.ModelFolderError(f"{options.model_base_path}: no version can be loaded ({reasons})")
    _LOG.info("listening on %s:%d", options.host, server.port)
    ended.wait()
    _LOG.info("stopping: requests in progress have %g s to end", options.grace_seconds)
    server.stop(options.grace_seconds)


if __name__ == "__main__":
    main()
