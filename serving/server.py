"""An embedded model server that speaks TF Serving's gRPC.

    python -m serving.server --model_base_path DIR --model_name detector --port 8500
    python -m serving.server --model_config_file models.config
    python -m serving.server --model_base_path DIR --runtime openvino

It serves the newest complete version in DIR, or what the file says, and follows new ones. Flags have TF Serving's names
where it has the same; a client of one is a client of the other.
"""

from __future__ import annotations

import argparse
import logging
import os
import pathlib
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from schema.exported_model import MODEL_NAME, SAVED_MODEL_FILE
from schema.installation import everything_for
from serving.devices.runtime import MODEL_FILES
from serving.models import version_folder

if TYPE_CHECKING:
    from serving.wire.shadow import ShadowSettings

_LOG = logging.getLogger(__name__)
_TENSORFLOW = "tensorflow"


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.server",
        description="Serves pushed models over TF Serving's gRPC, and follows new versions.",
    )
    models = parser.add_argument_group("what is served")
    models.add_argument("--model_base_path", type=pathlib.Path, help="folder of numbered versions")
    models.add_argument("--model_name", default=MODEL_NAME, help="name that requests give (default: %(default)s)")
    models.add_argument(
        "--model_config_file",
        type=pathlib.Path,
        help="several models, versions and labels: a ModelServerConfig in text format, in place of --model_base_path",
    )
    models.add_argument(
        "--model_config_file_poll_wait_seconds",
        type=float,
        default=0.0,
        help="pause between looks at that file; 0 reads it once (default: %(default)s)",
    )
    models.add_argument(
        "--file_system_poll_wait_seconds",
        type=float,
        default=2.0,
        help="pause between looks into the models' folders (default: %(default)s)",
    )
    models.add_argument(
        "--allow_version_labels_for_unavailable_models",
        action="store_true",
        help="labels may name versions that are not loaded yet",
    )
    models.add_argument(
        "--reload_root",
        type=pathlib.Path,
        action="append",
        help="a folder that HandleReloadConfigRequest may serve from (default: those above the models' folders)",
    )
    models.add_argument(
        "--runtime",
        choices=(_TENSORFLOW, *MODEL_FILES),
        default=_TENSORFLOW,
        help="what runs the models: tensorflow for SavedModels, the others for device models (default: %(default)s)",
    )
    models.add_argument("--wait_for_model", action="store_true", help="start before the first version is there")
    door = parser.add_argument_group("where it listens")
    door.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for other machines (default: %(default)s)"
    )
    door.add_argument("--port", type=int, default=8500, help="0 picks a free one (default: %(default)s)")
    door.add_argument(
        "--rest_api_port",
        type=int,
        help="port of TF Serving's REST API and /metrics; 0 is a free one (default: none)",
    )
    door.add_argument(
        "--rest_api_timeout_in_ms",
        type=int,
        default=30_000,
        help="time that a request over REST may take (default: %(default)s)",
    )
    door.add_argument(
        "--enable_cors_support", action="store_true", help="pages of other origins may ask over REST (default: not)"
    )
    door.add_argument(
        "--monitoring_config_file",
        type=pathlib.Path,
        help="MonitoringConfig in text format: metrics are at its path too, on the port of REST",
    )
    door.add_argument(
        "--ssl_config_file",
        type=pathlib.Path,
        help="SSLConfig in text format: TLS, or mutual TLS with client_verify, on both ports (default: neither)",
    )
    door.add_argument(
        "--token_file",
        type=pathlib.Path,
        help="tokens, one a line, read again when it changes: callers send one as 'authorization: Bearer TOKEN'",
    )
    log = parser.add_argument_group("request log")
    log.add_argument(
        "--request_log",
        type=pathlib.Path,
        help="folder for TFRecords of PredictionLog, for models without a logging_config (default: nothing is logged)",
    )
    log.add_argument(
        "--request_log_sampling", type=float, default=0.01, help="share of the answers, 0 to 1 (default: %(default)s)"
    )
    log.add_argument(
        "--request_log_max_mib",
        type=float,
        default=1024,
        help="all files of a log; the oldest go first (default: %(default)s)",
    )
    shadow = parser.add_argument_group("shadow", "another version, the candidate, is asked too, and compared")
    candidate = shadow.add_mutually_exclusive_group()
    candidate.add_argument("--shadow_label", help="label of the candidate, such as canary (default: none is asked)")
    candidate.add_argument("--shadow_version", type=int, help="number of the candidate")
    shadow.add_argument(
        "--shadow_share", type=float, default=0.1, help="share of the answers, 0 to 1 (default: %(default)s)"
    )
    shadow.add_argument(
        "--shadow_score", type=float, default=0.5, help="what scores below is no detection (default: %(default)s)"
    )
    shadow.add_argument(
        "--shadow_log",
        type=pathlib.Path,
        help="folder for images that differ, with both answers, of --request_log_max_mib (default: none is kept)",
    )
    load = parser.add_argument_group("load")
    load.add_argument(
        "--enable_batching",
        choices=("true", "false"),
        default="true",
        help="answer requests that wait at the same time together (default: %(default)s)",
    )
    load.add_argument(
        "--batching_parameters_file", type=pathlib.Path, help="BatchingParameters in text format, as TF Serving's"
    )
    load.add_argument(
        "--threads", type=int, help="requests at once (default: as many as may wait for a batch or be in one)"
    )
    load.add_argument("--max_images", type=int, default=64, help="images in a request (default: %(default)s)")
    load.add_argument(
        "--max_image_pixels", type=int, default=64_000_000, help="width x height of an image (default: %(default)s)"
    )
    load.add_argument("--max_message_mib", type=int, default=64, help="largest request, in MiB (default: %(default)s)")
    load.add_argument(
        "--grace_seconds", type=float, default=10.0, help="time for requests to end on SIGTERM (default: %(default)s)"
    )
    return parser


@everything_for("python -m serving.server")
def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = _arguments()
    options = parser.parse_args(arguments)
    _check(parser, options)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        if options.model_base_path and not options.wait_for_model:
            version_folder.check_base_path(options.model_base_path, MODEL_FILES.get(options.runtime, SAVED_MODEL_FILE))
    except version_folder.ModelFolderError as error:
        sys.exit(f"error: {error}")
    _serve(options)


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if (options.model_base_path is None) == (options.model_config_file is None):
        parser.error("give either --model_base_path or --model_config_file")
    for name in ("port", "rest_api_port"):
        port = getattr(options, name)
        if port is not None and not 0 <= port <= 65535:
            parser.error(f"argument --{name}: must be 0 to 65535, found {port}")
    if options.monitoring_config_file and options.rest_api_port is None:
        parser.error("argument --monitoring_config_file: metrics are on the port of REST; give --rest_api_port")
    for name in ("request_log_sampling", "shadow_share", "shadow_score"):
        if not 0 <= getattr(options, name) <= 1:
            parser.error(f"argument --{name}: must be 0 to 1, found {getattr(options, name)}")
    _check_shadow(parser, options)
    if options.enable_cors_support and options.rest_api_port is None:
        parser.error("argument --enable_cors_support: means nothing without --rest_api_port")
    for name in (
        "file_system_poll_wait_seconds",
        "max_message_mib",
        "max_images",
        "max_image_pixels",
        "threads",
        "rest_api_timeout_in_ms",
        "request_log_max_mib",
        "shadow_version",
    ):
        value = getattr(options, name)
        if value is not None and value <= 0:
            parser.error(f"argument --{name}: must be positive, found {value}")
    for name in ("model_config_file_poll_wait_seconds", "grace_seconds"):
        if getattr(options, name) < 0:
            parser.error(f"argument --{name}: must not be negative, found {getattr(options, name)}")
    files = ("model_config_file", "batching_parameters_file", "monitoring_config_file", "ssl_config_file", "token_file")
    for name in files:
        path = getattr(options, name)
        if path is not None and not path.is_file():
            parser.error(f"argument --{name}: {path} is no file")
    if options.batching_parameters_file and options.enable_batching == "false":
        parser.error("argument --batching_parameters_file: means nothing with --enable_batching false")


def _check_shadow(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    candidate = "shadow_label" if options.shadow_label else "shadow_version" if options.shadow_version else None
    if candidate and options.model_config_file is None:
        parser.error(
            f"argument --{candidate}: needs --model_config_file, whose policy has two versions in memory; "
            "--model_base_path has the newest alone"
        )
    if options.shadow_log is None:
        return
    if candidate is None:
        parser.error("argument --shadow_log: means nothing without --shadow_label or --shadow_version")
    if options.request_log and options.shadow_log.resolve() == options.request_log.resolve():
        parser.error(
            "argument --shadow_log: must be another folder than --request_log, which is a fair sample of the requests"
        )


def _serve(options: argparse.Namespace) -> None:
    # TensorFlow's start-up notices about the processor are not the user's concern.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # A server beside a training run must not take the whole GPU.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    # Here and not at the top: TensorFlow takes seconds, which --help and a wrong flag should not.
    from serving.model_server import ModelServer, PortError, ServerSettings
    from serving.models.batching_parameters import (
        BatchingParameters,
        BatchingParametersError,
        read_batching_parameters,
    )
    from serving.models.models_config import ModelConfig, ModelsConfigError, read_models_config
    from serving.protocol.limits import Limits
    from serving.wire.request_sampling import RequestLogSettings
    from serving.wire.rest import RestSettings
    from serving.wire.text_config import TextConfigError, read_metrics_path
    from serving.wire.tls import read_tls
    from serving.wire.token import TokenFileError, Tokens

    try:
        if options.model_config_file:
            models = read_models_config(options.model_config_file)
        else:
            models = [ModelConfig(options.model_name, options.model_base_path)]
        batching = BatchingParameters() if options.enable_batching == "true" else None
        if options.batching_parameters_file:
            batching = read_batching_parameters(options.batching_parameters_file)
        rest = None
        if options.rest_api_port is not None:
            rest = RestSettings(
                options.rest_api_port,
                options.rest_api_timeout_in_ms / 1000,
                options.enable_cors_support,
                read_metrics_path(options.monitoring_config_file) if options.monitoring_config_file else None,
            )
        server = ModelServer(
            models,
            ServerSettings(
                host=options.host,
                port=options.port,
                poll_seconds=options.file_system_poll_wait_seconds,
                batching=batching,
                limits=Limits(options.max_images, options.max_image_pixels, options.max_message_mib),
                config_file=options.model_config_file,
                config_poll_seconds=options.model_config_file_poll_wait_seconds,
                allow_unavailable_labels=options.allow_version_labels_for_unavailable_models,
                reload_roots=options.reload_root or (),
                threads=options.threads,
                rest=rest,
                tls=read_tls(options.ssl_config_file) if options.ssl_config_file else None,
                tokens=Tokens(options.token_file) if options.token_file else None,
                request_log=RequestLogSettings(
                    options.request_log, options.request_log_sampling, options.request_log_max_mib
                ),
                shadow=_shadow_settings(options),
                runtime=None if options.runtime == _TENSORFLOW else options.runtime,
            ),
        )
    except (ModelsConfigError, BatchingParametersError, TextConfigError, TokenFileError, PortError, OSError) as error:
        sys.exit(f"error: {error}")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server.start(wait=False)
    # Loading is another thread's, so that a signal is heard meanwhile.
    while not server.servables.wait_until_looked(0.1) and not ended.is_set():
        pass
    nothing = [model for model in models if not server.servables.versions(model.name)]
    if nothing and not ended.is_set() and not options.wait_for_model:
        reasons = "; ".join(
            f"{model.base_path}: no version can be loaded "
            f"({'; '.join(f'version {number}: {status.error}' for number, status in statuses.items()) or 'none there'})"
            for model in nothing
            for statuses in [server.servables.statuses(model.name)]
        )
        print(f"error: {reasons}", file=sys.stderr)
        is_over = server.stop(0)
        if not is_over:
            _end_at_once(1)
        sys.exit(1)
    if not ended.is_set():
        if server.rest_port is not None:
            _LOG.info("REST on %s:%d", options.host, server.rest_port)
        _LOG.info("listening on %s:%d", options.host, server.port)
        ended.wait()
    _LOG.info("stopping: requests in progress have %g s to end", options.grace_seconds)
    started = time.monotonic()
    is_over = server.stop(options.grace_seconds)
    _LOG.info("stopped after %.1f s%s", time.monotonic() - started, "" if is_over else ", in the middle of work")
    if not is_over:
        _end_at_once(0)


def _shadow_settings(options: argparse.Namespace) -> ShadowSettings | None:
    if not (options.shadow_label or options.shadow_version):
        return None
    from serving.comparison.matching import Tolerance
    from serving.wire.request_log import LogFiles
    from serving.wire.shadow import ShadowSettings

    files = LogFiles(options.shadow_log, "shadow", options.request_log_max_mib) if options.shadow_log else None
    return ShadowSettings(
        label=options.shadow_label or "",
        version=options.shadow_version or 0,
        share=options.shadow_share,
        tolerance=Tolerance(score_threshold=options.shadow_score),
        files=files,
    )


def _end_at_once(status: int) -> NoReturn:
    """Ends the process while a thread of TensorFlow's is at work, for which Python would wait."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
