"""Runs to report on."""

from __future__ import annotations

import json
import pathlib

import pytest
import tensorflow as tf

from tests.components.report.fake_run import (
    FakeRun,
    State,
    write_annotation_report,
    write_anomalies,
    write_examples,
    write_findings,
)


class _StopEverywhere(tf.Module):  # type: ignore[misc]
    """An export that finds one sign in every image, and one it is not sure of."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def __call__(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tf.size(image_bytes)
        boxes = tf.constant([[[0.1, 0.2, 0.6, 0.7], [0.0, 0.0, 0.1, 0.1]]])
        return {
            "detection_boxes": tf.tile(boxes, [count, 1, 1]),
            "detection_scores": tf.tile([[0.9, 0.1]], [count, 1]),
            "detection_class_names": tf.tile([["<script>stop</script>", "yield"]], [count, 1]),
            "num_detections": tf.fill([count], tf.constant(2, tf.int64)),
        }


@pytest.fixture(scope="session")
def model_uri(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A ``Model`` artifact."""
    folder = tmp_path_factory.mktemp("model")
    module = _StopEverywhere()
    tf.saved_model.save(module, str(folder / "Format-Serving"), signatures={"serving_default": module.__call__})
    return folder


@pytest.fixture
def fake_run(tmp_path: pathlib.Path) -> FakeRun:
    """An empty store in a pipeline root."""
    return FakeRun(tmp_path)


@pytest.fixture
def finished_run(fake_run: FakeRun) -> FakeRun:
    """Runs ``old`` and ``new`` of the pipeline, one of another pipeline; ``new`` has data and training, no verdict."""
    root = fake_run.root
    history = root / "Trainer" / "model_run" / "9"
    history.mkdir(parents=True)
    lines = [{"step": 10, "losses": {"total": 2.0, "box": 1.0}}, {"step": 20, "losses": {"total": 1.0, "box": 0.4}}]
    lines[1]["measures"] = {"domain_accuracy": 0.75}
    lines.append({"step": 20, "AP": 0.5, "AP50": None})
    (history / "training_history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    fake_run.node("old", "ObjectDetectionExampleGen")
    fake_run.node(
        "new",
        "ObjectDetectionExampleGen",
        State.CACHED,
        {
            "examples": write_examples(root / "ExampleGen" / "examples" / "1"),
            "findings": write_findings(root / "ExampleGen" / "findings" / "1"),
        },
    )
    fake_run.node("new", "ExampleValidator", outputs={"anomalies": write_anomalies(root / "anomalies")})
    fake_run.node("new", "AnnotationValidator", outputs={"report": write_annotation_report(root / "report")})
    fake_run.node("new", "Trainer", outputs={"model_run": history})
    pushed = {"pushed": 1, "pushed_destination": "/served/detector/17"}
    fake_run.node("new", "Pusher", outputs={"pushed_model": root / "pushed"}, properties=pushed)
    fake_run.node("other", "ObjectDetectionExampleGen", pipeline="another")
    return fake_run


@pytest.fixture
def judged_run(finished_run: FakeRun, model_uri: pathlib.Path) -> FakeRun:
    """The finished run with a model and an evaluation, whose folder is empty."""
    finished_run.node("new", "Trainer", outputs={"model": model_uri}, told={"eval_args": '{"splits": ["eval"]}'})
    evaluation = finished_run.root / "evaluation"
    evaluation.mkdir()
    finished_run.node("new", "Evaluator", outputs={"evaluation": evaluation}, properties={"split": "eval"})
    return finished_run
