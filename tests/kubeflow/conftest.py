"""A stand-in for the API of Kubeflow Pipelines (v2beta1), spoken to over HTTP by the real client.

It keeps pipelines, versions, experiments, runs and recurring runs in memory, checks every body against the model types
of ``kfp_server_api``, and refuses what the real server refuses (sources in kubeflow/pipelines, backend/src/apiserver:
``validateCreateRecurringRunRequest``, ``validateRun``, ``template.New``).
"""

from __future__ import annotations

import dataclasses
import email.parser
import email.policy
import http.server
import json
import re
import threading
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import kfp_server_api
import pytest
import yaml

from kubeflow.cron import CronError, parse_cron

_NOW = "2026-01-01T00:00:{:02d}Z"


class RefusalError(Exception):
    """Answered as an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def checked_body(data: Any, model_name: str) -> Any:
    """The body as the model type, or a refusal: unknown keys and wrong types, at any depth."""
    model = getattr(kfp_server_api, model_name)
    if issubclass(model, str) or not getattr(model, "openapi_types", None):
        allowed = [value for key, value in vars(model).items() if key.isupper()]
        if data not in allowed:
            raise RefusalError(400, f"{model_name}: {data!r}, expected one of {allowed}")
        return data
    if not isinstance(data, dict):
        raise RefusalError(400, f"{model_name}: expected an object, found {data!r}")
    names = {json_name: name for name, json_name in model.attribute_map.items()}
    for key, value in data.items():
        if key not in names:
            raise RefusalError(400, f"{model_name}: unknown field {key!r}")
        kind = model.openapi_types[names[key]]
        plain = {"bool": bool, "str": (str, int), "object": dict, "datetime": str}
        if kind in plain:
            if not isinstance(value, plain[kind]):
                raise RefusalError(400, f"{model_name}.{key}: expected {kind}, found {value!r}")
        elif hasattr(kfp_server_api, kind):
            checked_body(value, kind)
    return data


@dataclasses.dataclass
class KfpServer:
    """What the server holds."""

    url: str = ""
    pipelines: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    versions: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    experiments: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    recurring: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    requests: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    headers: list[dict[str, str]] = dataclasses.field(default_factory=list)
    tag_name: str = "2.16.0"
    run_states: list[str] = dataclasses.field(default_factory=lambda: ["RUNNING", "SUCCEEDED"])

    def _new(self, table: dict[str, dict[str, Any]], key: str, **content: Any) -> dict[str, Any]:
        identity = str(uuid.uuid4())
        table[identity] = {key: identity, "created_at": _NOW.format(len(table)), **content}
        return table[identity]

    def upload(self, query: dict[str, str], file: bytes) -> dict[str, Any]:
        namespace = query.get("namespace", "")
        if any(
            (row["display_name"], row["namespace"]) == (query["name"], namespace) for row in self.pipelines.values()
        ):
            raise RefusalError(409, f"Already exist error: pipeline {query['name']} exists")
        pipeline = self._new(self.pipelines, "pipeline_id", display_name=query["name"], namespace=namespace)
        self.upload_version({"name": query["name"], "pipelineid": pipeline["pipeline_id"]}, file)
        return pipeline

    def upload_version(self, query: dict[str, str], file: bytes) -> dict[str, Any]:
        if query["pipelineid"] not in self.pipelines:
            raise RefusalError(404, f"pipeline {query['pipelineid']} not found")
        spec = next(yaml.safe_load_all(file))
        executors = spec.get("deploymentSpec", {}).get("executors", {})
        if not spec.get("pipelineInfo", {}).get("name"):
            raise RefusalError(400, "invalid v2 pipeline spec: name is empty")
        if any("resolver" in executor for executor in executors.values()):
            raise RefusalError(400, "resolver executors not implemented")
        return self._new(
            self.versions,
            "pipeline_version_id",
            pipeline_id=query["pipelineid"],
            display_name=query["name"],
            pipeline_spec=spec,
        )

    def _check_reference(self, body: dict[str, Any]) -> None:
        reference = body.get("pipeline_version_reference")
        if (reference is None) == (body.get("pipeline_spec") is None):
            raise RefusalError(400, "either a pipeline spec or a pipeline version reference is needed")
        if reference is not None:
            if not reference.get("pipeline_id") or not reference.get("pipeline_version_id"):
                raise RefusalError(400, "both pipeline id and pipeline version id are needed")
            version = self.versions.get(reference["pipeline_version_id"])
            if version is None or version["pipeline_id"] != reference["pipeline_id"]:
                raise RefusalError(404, f"pipeline version {reference['pipeline_version_id']} not found")
            inputs = version["pipeline_spec"]["root"].get("inputDefinitions", {}).get("parameters", {})
            for name in body.get("runtime_config", {}).get("parameters", {}):
                if name not in inputs:
                    raise RefusalError(400, f"parameter {name} is not an input of the pipeline")
        if body.get("experiment_id") not in self.experiments:
            raise RefusalError(404, f"experiment {body.get('experiment_id')} not found")

    def create_run(self, body: dict[str, Any]) -> dict[str, Any]:
        checked_body(body, "V2beta1Run")
        self._check_reference(body)
        return self._new(self.runs, "run_id", **body)

    def get_run(self, identity: str) -> dict[str, Any]:
        state = self.run_states.pop(0) if len(self.run_states) > 1 else self.run_states[0]
        if state == "UNAVAILABLE":
            raise RefusalError(503, "upstream connect error")
        return {**self.runs[identity], "state": state}

    def create_recurring(self, body: dict[str, Any]) -> dict[str, Any]:
        checked_body(body, "V2beta1RecurringRun")
        self._check_reference(body)
        if not 1 <= int(body.get("max_concurrency", 0)) <= 10:
            raise RefusalError(400, f"max concurrency {body.get('max_concurrency')}: expected a number in [1, 10]")
        trigger = body.get("trigger", {})
        if ("cron_schedule" in trigger) == ("periodic_schedule" in trigger):
            raise RefusalError(400, "exactly one of cron schedule and periodic schedule")
        if "cron_schedule" in trigger:
            cron = trigger["cron_schedule"]["cron"]
            try:
                parse_cron(cron)
            except CronError as error:
                raise RefusalError(400, f"schedule cron is not supported: {error}") from error
            if len(cron.split()) != 6:
                raise RefusalError(400, f"schedule cron {cron!r}: the fields are read from the wrong end")
        elif int(trigger["periodic_schedule"]["interval_second"]) < 1:
            raise RefusalError(400, "interval must be positive")
        status = "ENABLED" if body.get("mode") == "ENABLE" else "DISABLED"
        return self._new(self.recurring, "recurring_run_id", status=status, **body)


_Route = Callable[[KfpServer, dict[str, str], Any, re.Match[str]], Any]


def _listing(table: str, key: str) -> _Route:
    """A listing in pages of one, so that a client that reads only the first page is found out."""

    def answer(server: KfpServer, query: dict[str, str], body: Any, match: re.Match[str]) -> Any:
        del body
        rows = list(getattr(server, table).values())
        if "pipeline" in match.groupdict():
            rows = [row for row in rows if row["pipeline_id"] == match["pipeline"]]
        if table == "pipelines":
            rows = [row for row in rows if row["namespace"] == query.get("namespace", "")]
        if query.get("experiment_id"):
            rows = [row for row in rows if row["experiment_id"] == query["experiment_id"]]
        for predicate in json.loads(query.get("filter", "") or "{}").get("predicates", []):
            rows = [
                row
                for row in rows
                if row[predicate["key"]] == predicate.get("stringValue", predicate.get("string_value"))
            ]
        start = int(query.get("page_token") or 0)
        paged = table in ("versions", "recurring")
        shown = rows[start : start + 1] if paged else rows
        token = str(start + 1) if paged and start + 1 < len(rows) else ""
        return {key: shown, "next_page_token": token}

    return answer


def _set_status(status: str) -> _Route:
    def answer(server: KfpServer, query: dict[str, str], body: Any, match: re.Match[str]) -> Any:
        del query, body
        server.recurring[match["id"]]["status"] = status
        return {}

    return answer


def _create_experiment(server: KfpServer, query: dict[str, str], body: Any, match: re.Match[str]) -> Any:
    del query, match
    checked_body(body, "V2beta1Experiment")
    return server._new(server.experiments, "experiment_id", **body)


_ROUTES: list[tuple[str, str, _Route]] = [
    ("GET", r"/healthz", lambda server, query, body, match: {"multi_user": False, "tag_name": server.tag_name}),
    ("POST", r"/pipelines/upload", lambda server, query, body, match: server.upload(query, body)),
    ("POST", r"/pipelines/upload_version", lambda server, query, body, match: server.upload_version(query, body)),
    ("GET", r"/pipelines", _listing("pipelines", "pipelines")),
    ("GET", r"/pipelines/(?P<pipeline>[^/]+)/versions", _listing("versions", "pipeline_versions")),
    ("GET", r"/experiments", _listing("experiments", "experiments")),
    ("POST", r"/experiments", _create_experiment),
    ("POST", r"/runs", lambda server, query, body, match: server.create_run(body)),
    ("GET", r"/runs/(?P<id>[^/:]+)", lambda server, query, body, match: server.get_run(match["id"])),
    ("GET", r"/recurringruns", _listing("recurring", "recurringRuns")),
    ("POST", r"/recurringruns", lambda server, query, body, match: server.create_recurring(body)),
    (
        "DELETE",
        r"/recurringruns/(?P<id>[^/:]+)",
        lambda server, query, body, match: server.recurring.pop(match["id"]) and {},
    ),
    ("POST", r"/recurringruns/(?P<id>[^/:]+):disable", _set_status("DISABLED")),
    ("POST", r"/recurringruns/(?P<id>[^/:]+):enable", _set_status("ENABLED")),
]


def _uploaded_file(content_type: str, data: bytes) -> bytes:
    """The one file of a multipart form."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + data)
    [part] = [part for part in message.iter_parts() if part.get_filename()]
    return part.get_payload(decode=True)


def _handler(server: KfpServer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            address = urllib.parse.urlsplit(self.path)
            query = dict(urllib.parse.parse_qsl(address.query))
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            content_type = self.headers.get("Content-Type", "")
            server.requests.append((self.command, address.path))
            server.headers.append(dict(self.headers))
            try:
                body = (
                    _uploaded_file(content_type, data) if "multipart" in content_type else json.loads(data or b"null")
                )
                status, answer = 200, self._route(address.path, query, body)
            except RefusalError as refusal:
                status, answer = refusal.status, {"code": 3, "message": str(refusal)}
            except KeyError as error:
                status, answer = 404, {"code": 5, "message": f"{error} not found"}
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def _route(self, path: str, query: dict[str, str], body: Any) -> Any:
            for method, pattern, answer in _ROUTES:
                match = re.fullmatch("/apis/v2beta1" + pattern, urllib.parse.unquote(path))
                if method == self.command and match:
                    return answer(server, query, body, match)
            raise RefusalError(501, f"{self.command} {path} is not part of the stand-in")

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - names of the base class

        def log_message(self, *arguments: object) -> None:
            del arguments

    return Handler


@pytest.fixture
def kfp_server(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KfpServer]:
    """The running stand-in."""
    # The client keeps a namespace and cookies in the home directory.
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path_factory.mktemp("kfp") / "context.json"))
    server = KfpServer()
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    server.url = f"http://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    yield server
    listening.shutdown()
    listening.server_close()
    thread.join()
