"""The client of Kubeflow Pipelines: how to sign in, and what KFP's own client lacks for doing things twice."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import yaml

from kubeflow.server_version import problem_with, server_version
from pipeline.config_document import parse_yaml, plain_value
from pipeline.config_errors import ConfigError

if TYPE_CHECKING:
    import kfp

TOKEN_VARIABLE: Final = "KFP_TOKEN"  # noqa: S105 - the name of a variable
_PAGE_SIZE: Final = 100
_VERSION_DIGITS: Final = 12


class ClusterError(RuntimeError):
    """Kubeflow Pipelines cannot be reached or said no; the message is complete."""


def add_client_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``kfp.Client`` that say where the server is and who is asking."""
    group = parser.add_argument_group(
        "Kubeflow Pipelines (KF_PIPELINES_ENDPOINT and others are read by the client itself)"
    )
    group.add_argument("--host", help="address of the API; default: in-cluster service or the current kube context")
    group.add_argument("--namespace", help="Kubeflow profile; default: cluster.namespace where a config is given")
    group.add_argument("--token-file", type=pathlib.Path, help=f"file with a bearer token; or set {TOKEN_VARIABLE}")
    group.add_argument("--cookies", help="cookie of an authenticated session (Dex, oauth2-proxy)")
    group.add_argument("--client-id", help="OAuth client of an Identity-Aware Proxy")
    group.add_argument("--other-client-id", help="OAuth client of the desktop app behind --client-id")
    group.add_argument("--other-client-secret", help="its secret")
    group.add_argument("--ssl-ca-cert", help="file with the certificate authority of the server")
    group.add_argument("--no-verify-ssl", action="store_true", help="do not check the server's certificate")
    group.add_argument("--proxy", help="HTTP proxy")
    group.add_argument("--kube-context", help="kubectl context, when no --host is given")


def connect(arguments: argparse.Namespace) -> kfp.Client:
    """The client that ``add_client_arguments`` describe.

    It is not told the profile's namespace, which it would look for the server in; calls that need it are.

    Raises:
      ClusterError: the server cannot be reached or does not let us in.
    """
    import kfp
    import kfp_server_api
    import urllib3

    token = arguments.token_file.read_text().strip() if arguments.token_file else os.environ.get(TOKEN_VARIABLE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            client = kfp.Client(
                host=arguments.host,
                existing_token=token,
                cookies=arguments.cookies,
                client_id=arguments.client_id,
                other_client_id=arguments.other_client_id,
                other_client_secret=arguments.other_client_secret,
                ssl_ca_cert=arguments.ssl_ca_cert,
                verify_ssl=False if arguments.no_verify_ssl else None,
                proxy=arguments.proxy,
                kube_context=arguments.kube_context,
            )
        client._healthz_api.healthz_service_get_healthz()
    except (kfp_server_api.ApiException, urllib3.exceptions.HTTPError, OSError) as error:
        raise ClusterError(
            f"{arguments.host or 'Kubeflow Pipelines'}: {describe(error)}; check --host, the port-forward and the token"
        ) from error
    return client


@contextlib.contextmanager
def api_errors() -> Iterator[None]:
    """Turns what the API raises into ``ClusterError``."""
    import kfp_server_api
    import urllib3

    try:
        yield
    except (kfp_server_api.ApiException, urllib3.exceptions.HTTPError) as error:
        raise ClusterError(f"Kubeflow Pipelines: {describe(error)}") from error


def describe(error: Exception) -> str:
    """An API error in a line: status, reason, and the server's own words."""
    status, reason = getattr(error, "status", None), getattr(error, "reason", None)
    if status is None:
        return f"{type(error).__name__}: {error}"
    body = getattr(error, "body", None)
    try:
        parsed = yaml.safe_load(body or "")
    except yaml.YAMLError:
        parsed = None
    said = parsed.get("message") or parsed.get("error_message") if isinstance(parsed, dict) else None
    return f"{status} {reason}{': ' + str(said) if said else ''}"


@dataclasses.dataclass(frozen=True)
class UploadedVersion:
    """A compiled package on the server.

    Attributes:
      pipeline_id, version_id: as the server names them.
      name: of the version.
      is_new: it was not there before.
    """

    pipeline_id: str
    version_id: str
    name: str
    is_new: bool


def package_name(package: pathlib.Path) -> str:
    """The pipeline's name in a compiled package."""
    spec = next(yaml.safe_load_all(package.read_text(encoding="utf-8")))
    return str(spec["pipelineInfo"]["name"])


def upload(client: kfp.Client, package: pathlib.Path, namespace: str | None = None) -> UploadedVersion:
    """Uploads a package as a version of its pipeline, unless that very package is there already.

    The version is named after a digest of the file, so that the same package uploaded twice is one version.

    Raises:
      ClusterError: the server is too old for the package; nothing was uploaded.
    """
    problem = problem_with(server_version(client), package)
    if problem:
        raise ClusterError(f"{package}: {problem}")
    name = package_name(package)
    digest = hashlib.sha256(package.read_bytes()).hexdigest()[:_VERSION_DIGITS]
    version_name = f"{name}-{digest}"
    pipeline_id = _pipeline_id(client, name, namespace)
    if pipeline_id is None:
        pipeline_id = str(client.upload_pipeline(str(package), pipeline_name=name, namespace=namespace).pipeline_id)
    for version in _all_pages(client.list_pipeline_versions, "pipeline_versions", pipeline_id=pipeline_id):
        if version.display_name == version_name:
            return UploadedVersion(pipeline_id, str(version.pipeline_version_id), version_name, is_new=False)
    version = client.upload_pipeline_version(str(package), version_name, pipeline_id=pipeline_id)
    return UploadedVersion(pipeline_id, str(version.pipeline_version_id), version_name, is_new=True)


def _pipeline_id(client: kfp.Client, name: str, namespace: str | None) -> str | None:
    """Id of the pipeline of that name. (``kfp.Client.get_pipeline_id`` does not look into a profile's namespace.)"""
    predicates = [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]
    named = json.dumps({"predicates": predicates})
    found = _all_pages(client.list_pipelines, "pipelines", namespace=namespace, filter=named)
    return str(found[0].pipeline_id) if found else None


def all_recurring_runs(client: kfp.Client, experiment_id: str) -> list[Any]:
    """The schedules of an experiment, newest first."""
    found = _all_pages(client.list_recurring_runs, "recurring_runs", experiment_id=experiment_id)
    return sorted(found, key=lambda run: str(run.created_at), reverse=True)


def recurring_runs(client: kfp.Client, name: str, experiment_id: str) -> list[Any]:
    """The schedules of that name, newest first. There may be several; the server allows it."""
    return [run for run in all_recurring_runs(client, experiment_id) if run.display_name == name]


def _all_pages(method: Any, attribute: str, **arguments: Any) -> list[Any]:
    """All results of a listing that comes in pages."""
    results: list[Any] = []
    token = ""
    while True:
        page = method(page_token=token, page_size=_PAGE_SIZE, **arguments)
        results += getattr(page, attribute) or []
        token = page.next_page_token or ""
        if not token:
            return results


def typed_parameters(package: pathlib.Path, assignments: Sequence[str]) -> dict[str, object]:
    """``name=value`` as the run's parameters; refuses what the server would take and the run would fail on.

    Args:
      package: the compiled pipeline; text stays as it was typed where its input is text, any other value is YAML.
      assignments: from the command line.

    Raises:
      ClusterError: one is of another shape, the pipeline has no such parameter, or the value is of another type.
    """
    spec = next(yaml.safe_load_all(package.read_text(encoding="utf-8")))
    known = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    types: dict[str, tuple[type, ...]] = {
        "NUMBER_INTEGER": (int,),
        "NUMBER_DOUBLE": (int, float),
        "BOOLEAN": (bool,),
    }
    parameters: dict[str, object] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        option = f"--parameter {assignment}"
        if not equals or not name:
            raise ClusterError(f"{option}: expected NAME=VALUE, for example --parameter train_steps=200")
        if name not in known:
            raise ClusterError(f"--parameter {name}: the pipeline has {', '.join(known) or 'no parameters'}")
        kind = known[name]["parameterType"]
        if kind == "STRING":
            parameters[name] = text
            continue
        try:
            value = plain_value(parse_yaml(text, option))
        except ConfigError as error:
            raise ClusterError(str(error)) from error
        if not isinstance(value, types.get(kind, (object,))) or (isinstance(value, bool) and kind != "BOOLEAN"):
            raise ClusterError(f"--parameter {name}: found {value!r}, expected {kind}")
        parameters[name] = value
    return parameters
