from __future__ import annotations

from typing import Any

import pytest

from components.report.run_record import RunNotFoundError, read_run, write_failure
from tests.components.report.fake_run import FakeRun, State


def test_the_newest_run_of_the_pipeline_with_its_nodes(finished_run: FakeRun) -> None:
    record = read_run(finished_run.connection, "signs")
    assert record.run_id == "new"
    assert [(node.node, node.state) for node in record.nodes] == [
        ("ObjectDetectionExampleGen", "cached"),
        ("ExampleValidator", "ran"),
        ("AnnotationValidator", "ran"),
        ("Trainer", "ran"),
        ("Pusher", "ran"),
    ]
    assert record.uri("examples") == str(finished_run.root / "ExampleGen" / "examples" / "1")
    assert record.uri("model") is None
    pushed = record.output("pushed_model")
    assert pushed is not None
    assert pushed.properties == {"pushed": "1", "pushed_destination": "/served/detector/17"}


def test_a_run_by_its_id(finished_run: FakeRun) -> None:
    assert len(read_run(finished_run.connection, "signs", run_id="old").nodes) == 1


@pytest.mark.parametrize(
    ("pipeline", "wanted"),
    [("nobody", {}), ("signs", {"run_id": "other"}), ("signs", {"started_after_seconds": 4e9})],
)
def test_no_such_run(finished_run: FakeRun, pipeline: str, wanted: dict[str, Any]) -> None:
    with pytest.raises(RunNotFoundError, match=pipeline):
        read_run(finished_run.connection, pipeline, **wanted)


@pytest.mark.parametrize(("split", "is_chosen"), [("eval", True), ("test", False)])
def test_the_judged_split_is_what_the_evaluation_says(fake_run: FakeRun, split: str, is_chosen: bool) -> None:
    fake_run.node("new", "Trainer", told={"eval_args": '{"splits": ["eval"]}'})
    assert read_run(fake_run.connection, "signs").judged_split is None
    assert not read_run(fake_run.connection, "signs").judged_on_chosen_split
    outputs = {"evaluation": fake_run.root / "evaluation"}
    fake_run.node("new", "Evaluator", outputs=outputs, properties={"split": split})
    record = read_run(fake_run.connection, "signs")
    assert record.judged_split == split
    assert record.judged_on_chosen_split == is_chosen


@pytest.mark.parametrize(
    ("properties", "pushed_to"),
    [({"pushed": 1, "pushed_destination": "/served/17"}, "/served/17"), ({"pushed": 0}, None)],
)
def test_where_the_model_was_pushed(fake_run: FakeRun, properties: dict[str, Any], pushed_to: str | None) -> None:
    fake_run.node("new", "Pusher", outputs={"pushed_model": fake_run.root / "pushed"}, properties=properties)
    assert read_run(fake_run.connection, "signs").pushed_to == pushed_to


def test_why_a_node_failed_is_written_down_where_tfx_said_nothing(fake_run: FakeRun) -> None:
    silent = fake_run.node("new", "Trainer", State.FAILED)
    driver = fake_run.node("new", "ObjectDetectionExampleGen", State.RUNNING)
    told = fake_run.node("new", "Pusher", State.FAILED, error="Traceback (most recent call last):\n  x\nOSError: full")
    write_failure(fake_run.store, [silent, driver, told], "two\nlines")
    nodes = read_run(fake_run.connection, "signs").nodes
    assert [(node.state, node.error) for node in nodes] == [
        ("failed", "two\nlines"),
        ("failed", "two\nlines"),
        ("failed", "OSError: full"),
    ]


def test_nothing_has_failed(fake_run: FakeRun) -> None:
    write_failure(fake_run.store, [], "nothing")


def test_what_a_resolver_found_is_no_output_of_the_run(fake_run: FakeRun) -> None:
    """The last blessed model is resolved after the Trainer ran: the page must not show it as this run's."""
    fake_run.node("old", "Trainer", outputs={"model": fake_run.root / "old"})
    old = read_run(fake_run.connection, "signs").output("model")
    assert old is not None
    fake_run.node("new", "Trainer", outputs={"model": fake_run.root / "new"})
    fake_run.node("new", "BlessedBaseline", State.COMPLETE, found={"model": old.artifact_id})
    record = read_run(fake_run.connection, "signs")
    assert record.uri("model") == str(fake_run.root / "new")
    baseline = record.node("BlessedBaseline")
    assert baseline is not None
    assert baseline.outputs == {}
    assert baseline.resolved["model"] == old
    assert record.node("Pusher") is None


def test_of_a_cached_node_the_record_says_who_made_its_outputs(fake_run: FakeRun) -> None:
    told = {"settings": "{}", "span_folders": "[]"}
    maker = fake_run.node("old", "ExampleGen", outputs={"examples": fake_run.root / "1"}, told=told)
    made = read_run(fake_run.connection, "signs").output("examples")
    assert made is not None
    for run_id in ("middle", "new"):
        again = {"examples": made.artifact_id}
        fake_run.node(run_id, "ExampleGen", State.CACHED, told={"settings": "{}"}, again=again)
    [node] = read_run(fake_run.connection, "signs", run_id="new").nodes
    assert node.origin is not None
    assert node.origin.execution_id == maker
    assert node.started_seconds >= node.origin.started_seconds
    assert node.properties == told
    assert node.outputs["examples"] == made
    assert read_run(fake_run.connection, "signs", run_id="old").nodes[0].origin is None
