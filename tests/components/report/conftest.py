"""Runs to report on."""

from __future__ import annotations

import json
import pathlib
import shutil

import apache_beam as beam
import pytest
from apache_beam.testing import test_pipeline

from components.evaluator.coco_matching import ImageResult
from components.evaluator.matched_images import ImageFacts, MatchedImage, match_image
from components.evaluator.matches_file import WriteMatches
from tests.components.report.fake_run import (
    STOP,
    FakeRun,
    State,
    write_annotation_report,
    write_anomalies,
    write_examples,
    write_findings,
)
from tests.components.report.whole_run import whole_run


@pytest.fixture(scope="session")
def matches_folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Matches of the images of ``write_examples``: a sign is found in all but the first, and something else nowhere."""
    folder = tmp_path_factory.mktemp("matches")
    images = [stop_image(number, is_found=number > 0) for number in range(3)]
    with test_pipeline.TestPipeline() as pipeline:
        _ = pipeline | beam.Create(images) | WriteMatches(str(folder), ("candidate", "baseline"), [STOP])
    return folder


def stop_image(number: int, *, is_found: bool) -> MatchedImage:
    """An image with one sign, which the baseline finds always; and a detection that nobody should be shown."""
    found, there = ([(0.1, 0.2, 0.6, 0.7)] if is_found else []), [(0.1, 0.2, 0.6, 0.7)]
    results = {
        model: ImageResult.from_normalized(
            height_pixels=40,
            width_pixels=60,
            detection_boxes_yxyx_normalized=[*boxes, (0.0, 0.0, 0.1, 0.1)],
            detection_scores=[0.9] * len(boxes) + [0.1],
            detection_classes=[0] * len(boxes) + [1],
            truth_boxes_yxyx_normalized=there,
            truth_classes=[0],
        )
        for model, boxes in (("candidate", found), ("baseline", there))
    }
    name = f"eval {number}"
    return match_image(ImageFacts(name, f"{name} <&>.jpg", 40, 60, {}, name), (STOP, "yield"), results)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> FakeRun:
    """A run with everything a page can show. Look, do not change."""
    return whole_run(tmp_path_factory.mktemp("whole"))


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
def judged_run(finished_run: FakeRun, matches_folder: pathlib.Path) -> FakeRun:
    """The finished run with a model, of which nothing is left, and an evaluation, which has matches alone."""
    model, told = finished_run.root / "model", {"eval_args": '{"splits": ["eval"]}'}
    finished_run.node("new", "Trainer", outputs={"model": model}, told=told)
    evaluation = finished_run.root / "evaluation"
    shutil.copytree(matches_folder, evaluation / "matches")
    finished_run.node("new", "Evaluator", outputs={"evaluation": evaluation}, properties={"split": "eval"})
    return finished_run
