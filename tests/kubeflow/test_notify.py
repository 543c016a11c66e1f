"""What the webhook is told."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from components.report.run_record import NodeRun, NodeState, RunRecord
from kubeflow.metadata_store import UnreachableError
from kubeflow.notify import failed_nodes, outcome, post


class Webhook:
    """Answers with the statuses it is given, keeps what was posted."""

    def __init__(self) -> None:
        self.answers: list[int] = [200]
        self.bodies: list[Any] = []


@pytest.fixture
def webhook() -> Iterator[tuple[str, Webhook]]:
    state = Webhook()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            state.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(state.answers.pop(0) if len(state.answers) > 1 else state.answers[0])
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            del arguments

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/secret-path", state
    server.shutdown()
    server.server_close()


def _node(name: str, state: NodeState, execution: int) -> NodeRun:
    return NodeRun(name, state, 1.0, execution, "boom" if state == "failed" else "", {})


def _record(*nodes: NodeRun) -> RunRecord:
    return RunRecord("signs", "r1", 0.0, nodes)


def test_a_retried_step_that_succeeded_has_succeeded() -> None:
    record = _record(_node("Trainer", "failed", 1), _node("Pusher", "ran", 3), _node("Trainer", "ran", 2))
    assert failed_nodes(record) == []
    assert outcome(record, "/served/1") == "pushed"
    assert outcome(record, None) == "refused"


def test_what_an_earlier_run_pushed_is_no_news() -> None:
    assert outcome(_record(_node("Pusher", "cached", 1)), "/served/1") == "unchanged"


def test_a_run_that_did_not_get_to_the_end_has_failed() -> None:
    assert outcome(_record(_node("Trainer", "failed", 1)), None) == "failed"
    assert outcome(_record(_node("Trainer", "ran", 1)), None) == "failed"
    assert outcome(_record(_node("Trainer", "unfinished", 1), _node("Pusher", "ran", 2)), None) == "failed"


def test_the_report_arrives(webhook: tuple[str, Webhook]) -> None:
    url, state = webhook
    post(url, {"text": "hello"})
    assert state.bodies == [{"text": "hello"}]


def test_a_busy_webhook_is_asked_again(webhook: tuple[str, Webhook]) -> None:
    url, state = webhook
    state.answers = [503, 502, 200]
    post(url, {}, first_wait_seconds=0.01)
    assert len(state.bodies) == 3


def test_a_refusal_is_final_and_the_address_stays_secret(webhook: tuple[str, Webhook]) -> None:
    url, state = webhook
    state.answers = [403]
    with pytest.raises(UnreachableError, match="403") as caught:
        post(url, {}, first_wait_seconds=0.01)
    assert len(state.bodies) == 1
    assert "secret-path" not in str(caught.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "hooks.example.org/x", ""])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(UnreachableError, match=r"no http\(s\) address"):
        post(url, {})


def test_a_webhook_that_is_not_there() -> None:
    with pytest.raises(UnreachableError, match="webhook"):
        post("http://127.0.0.1:9/x", {}, first_wait_seconds=0.01)
