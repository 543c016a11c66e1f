"""Starts one run: ``python -m kubeflow.submit --package pipeline.yaml --host http://...``."""

from __future__ import annotations

import argparse
import datetime
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from kubeflow import client as kfp_client
from kubeflow.backend_check import check_package
from kubeflow.client import ClusterError
from pipeline.cluster_settings import ClusterSettings
from pipeline.config import load_config
from pipeline.config_errors import ConfigError

if TYPE_CHECKING:
    import kfp

SUCCEEDED: Final = "SUCCEEDED"
_FINAL_STATES: Final = (SUCCEEDED, "FAILED", "CANCELED", "SKIPPED")
EXIT_RUN_FAILED: Final = 1
EXIT_REFUSED: Final = 2
EXIT_TIMEOUT: Final = 4
EXIT_LOST: Final = 5
_UNANSWERED_SECONDS: Final = 600.0
"""A port-forward that broke or an API server that restarts is back before."""


def submit(
    client: kfp.Client,
    package: pathlib.Path,
    *,
    experiment: str,
    parameters: dict[str, object],
    service_account: str | None,
    namespace: str | None,
    run_name: str | None = None,
) -> str:
    """Uploads the package as a version and starts a run of it.

    Returns:
      The run's id.
    """
    version = kfp_client.upload(client, package, namespace)
    experiment_id = client.create_experiment(experiment, namespace=namespace).experiment_id
    run = client.run_pipeline(
        experiment_id=experiment_id,
        job_name=run_name or f"{version.name} {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC",
        pipeline_id=version.pipeline_id,
        version_id=version.version_id,
        params=parameters,
        service_account=service_account,
    )
    return str(run.run_id)


def wait(
    client: kfp.Client,
    run_id: str,
    limit_seconds: float,
    poll_seconds: float = 10.0,
    unanswered_seconds: float = _UNANSWERED_SECONDS,
) -> int:
    """Waits for a run and says how it ended, as an exit status.

    KFP's own waiting does not know that a cancelled run is over, and ends with the first request that fails.
    """
    until = time.monotonic() + limit_seconds
    answered = time.monotonic()
    while True:
        try:
            with kfp_client.api_errors():
                run = client.get_run(run_id)
            answered = time.monotonic()
            if run.state in _FINAL_STATES:
                break
        except ClusterError as error:
            if time.monotonic() - answered > unanswered_seconds:
                print(f"run {run_id} goes on, but cannot be watched any more: {error}", file=sys.stderr)
                return EXIT_LOST
        if time.monotonic() > until:
            print(f"run {run_id} is still running after {limit_seconds:.0f} s; it goes on", file=sys.stderr)
            return EXIT_TIMEOUT
        time.sleep(poll_seconds)
    print(f"run {run_id}: {run.state}")
    if run.state != SUCCEEDED:
        said = getattr(run.error, "message", None) or "see the failed step in Kubeflow"
        print(f"run {run_id}: {said}", file=sys.stderr)
        return EXIT_RUN_FAILED
    return 0


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what a run needs beside the client's options."""
    parser.add_argument("--package", type=pathlib.Path, required=True, help="what `kubeflow.compile` wrote")
    parser.add_argument("--config", type=pathlib.Path, help="config file whose section `cluster` holds the defaults")
    parser.add_argument("--experiment", help="default: cluster.experiment, or the pipeline's name")
    parser.add_argument("--service-account", help="of the steps' pods; default: cluster.service_account")
    parser.add_argument("--parameter", dest="parameters", metavar="NAME=VALUE", action="append", default=[])


def cluster_settings(arguments: argparse.Namespace) -> ClusterSettings:
    """Section `cluster` of the config file, when one was given, with the command line's values over it.

    Raises:
      ConfigError: the file is wrong.
    """
    cluster = load_config(arguments.config).cluster if arguments.config is not None else ClusterSettings()
    given = {name: getattr(arguments, name) for name in ("experiment", "service_account", "namespace")}
    cluster = cluster.model_copy(update={name: value for name, value in given.items() if value is not None})
    if cluster.experiment is None:
        cluster = cluster.model_copy(update={"experiment": kfp_client.package_name(arguments.package)})
    return cluster


def checked_parameters(arguments: argparse.Namespace) -> dict[str, object]:
    """Checks package and parameters before anything is sent.

    Raises:
      ClusterError: the package would not run, or a parameter does not fit it.
    """
    try:
        check_package(arguments.package)
    except ValueError as error:
        raise ClusterError(str(error)) from error
    return kfp_client.typed_parameters(arguments.package, arguments.parameters)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point.

    Exit status: 0 started (with --wait: succeeded), 1 run failed, 2 refused, 4 still running, 5 started, but the server
    does not answer any more.
    """
    parser = argparse.ArgumentParser(prog="python -m kubeflow.submit", description=__doc__.splitlines()[0])
    add_run_arguments(parser)
    parser.add_argument("--run-name", help="shown in Kubeflow; default: version and time")
    parser.add_argument("--wait", action="store_true", help="wait for the run and exit with its status")
    parser.add_argument("--wait-seconds", type=float, default=12 * 3600, help="how long --wait waits")
    kfp_client.add_client_arguments(parser)
    arguments = parser.parse_args(argv)
    try:
        parameters = checked_parameters(arguments)
        cluster = cluster_settings(arguments)
        client = kfp_client.connect(arguments)
        with kfp_client.api_errors():
            run_id = submit(
                client,
                arguments.package,
                experiment=str(cluster.experiment),
                parameters=parameters,
                service_account=cluster.service_account,
                namespace=cluster.namespace,
                run_name=arguments.run_name,
            )
            print(f"run {run_id} started")
            return wait(client, run_id, arguments.wait_seconds) if arguments.wait else 0
    except (ClusterError, ConfigError) as error:
        print(error, file=sys.stderr)
        return EXIT_REFUSED


if __name__ == "__main__":
    raise SystemExit(main())
