"""Tells a webhook how a run ended: the exit handler of the compiled pipeline, ``python -m kubeflow.notify``.

The report is one JSON object, posted once (with retries on 5xx and on a network that fails)::

    {"pipeline": "signs", "run_id": "...", "outcome": "pushed" | "unchanged" | "refused" | "failed",
     "text": "the summary a local run prints", "failed": [{"step": "Trainer", "error": "..."}],
     "pushed_to": "/mnt/...", "page": "/mnt/.../reports/....html"}

``text`` alone makes it readable where chat services expect that key.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from kubeflow.metadata_store import StoreAddress, UnreachableError, wait_for_store
from kubeflow.step_config import add_config_arguments, config_from_arguments
from pipeline.config import PipelineConfig
from pipeline.config_errors import ConfigError

if TYPE_CHECKING:
    from components.report.run_record import NodeRun, RunRecord

WEBHOOK_VARIABLE: Final = "NOTIFY_WEBHOOK_URL"

_ATTEMPTS: Final = 4
_TIMEOUT_SECONDS: Final = 15
_FIRST_WAIT_SECONDS: Final = 2.0
_PUSHER: Final = "Pusher"
_SERVER_ERROR: Final = 500


def last_attempts(record: RunRecord) -> list[NodeRun]:
    """Every node once: what its last attempt became. A node that failed and then succeeded has succeeded."""
    last = {node.node: node for node in sorted(record.nodes, key=lambda node: node.execution_id)}
    return list(last.values())


def failed_nodes(record: RunRecord) -> list[NodeRun]:
    """Nodes whose last attempt did not come to a good end."""
    return [node for node in last_attempts(record) if node.state in ("failed", "unfinished")]


def outcome(record: RunRecord, pushed_to: str | None) -> str:
    """``pushed``, ``unchanged`` (nothing is new, what an earlier run pushed stays), ``refused`` or ``failed``."""
    if failed_nodes(record) or all(node.node != _PUSHER for node in record.nodes):
        return "failed"
    if pushed_to is None:
        return "refused"
    # From the cache, the Pusher hands out what an earlier run pushed.
    pusher = next(node for node in last_attempts(record) if node.node == _PUSHER)
    return "unchanged" if pusher.state == "cached" else "pushed"


def make_report(config: PipelineConfig, run_id: str, address: StoreAddress) -> dict[str, Any]:
    """Reads the run, writes its page beside the artifacts and returns what is posted."""
    from components.report.run_record import RunNotFoundError, read_run
    from components.report.run_report import read_report, write_page

    base = {"pipeline": config.name, "run_id": run_id}
    try:
        record = read_run(address.connection_config(), config.name, run_id=run_id)
    except RunNotFoundError:
        text = (
            f"{config.name} {run_id}: no step got as far as ML Metadata; see the pods' events (image, volume, secret)"
        )
        return {**base, "outcome": "failed", "text": text, "failed": [], "pushed_to": None, "page": None}
    report = read_report(
        record,
        pipeline_root=str(config.pipeline_root),
        push_directory=str(config.push_directory),
        card=config.card,
    )
    page = write_page(report, config.pipeline_root / "reports")
    return {
        **base,
        "outcome": outcome(record, record.pushed_to),
        "text": "\n".join(report.lines()),
        "failed": [{"step": node.node, "error": node.error} for node in failed_nodes(record)],
        "pushed_to": record.pushed_to,
        "page": str(page),
    }


def post(url: str, report: dict[str, Any], *, first_wait_seconds: float = _FIRST_WAIT_SECONDS) -> None:
    """Posts the report as JSON.

    Raises:
      UnreachableError: the address is no http(s) address, or no attempt was answered with 2xx. The address is not in
        the message: it is a secret.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise UnreachableError("webhook: the secret holds no http(s) address")
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        url, json.dumps(report).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    wait, problem = first_wait_seconds, ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(wait)
            wait *= 2
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310 - the scheme was checked
                return
        except urllib.error.HTTPError as error:
            problem = f"answered {error.code} {error.reason}"
            if error.code < _SERVER_ERROR:
                break
        except OSError as error:
            problem = str(getattr(error, "reason", error))
    raise UnreachableError(f"webhook: {problem}; check cluster.notify and the address in its secret")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0 told (or nothing to tell), 2 config, 3 store or webhook out of reach."""
    parser = argparse.ArgumentParser(prog="python -m kubeflow.notify", description=__doc__.splitlines()[0])
    add_config_arguments(parser)
    arguments = parser.parse_args(argv)
    try:
        config = config_from_arguments(arguments)
        url = os.environ.get(WEBHOOK_VARIABLE, "")
        if not url:
            raise UnreachableError(f"environment: {WEBHOOK_VARIABLE} is not set; expected from cluster.notify's secret")
        address = StoreAddress.from_environment()
        wait_for_store(address, config.cluster.metadata_store.wait_seconds)
        report = make_report(config, arguments.run_id, address)
        print(report["text"], flush=True)
        if config.cluster.notify.when == "always" or report["outcome"] in ("refused", "failed"):
            post(url, report)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except UnreachableError as error:
        print(error, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
