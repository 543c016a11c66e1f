"""What the model card says, and what it says is missing."""

from __future__ import annotations

import json
import pathlib

from components.evaluator.evaluation import read_evaluation
from components.report.run_record import read_run
from components.report.run_report import read_report
from components.report.section import Run
from components.report.sections.model_card import ModelCard
from components.report.settings import CardSettings
from schema.exported_model import DESCRIPTION_FILE
from tests.components.report.fake_run import PIPELINE, FakeRun
from tests.components.report.whole_run import CARD


def _entries(section: ModelCard) -> dict[str, str]:
    return {entry.name: entry.text for group in section.groups for entry in group.entries}


def test_words_of_the_config_stand_beside_what_the_run_knows(whole: FakeRun) -> None:
    record = read_run(whole.connection, PIPELINE)
    section = ModelCard.read(Run(record, card=CARD))
    assert section is not None
    entries = _entries(section)
    assert entries["intended use"] == CARD.intended_use
    assert entries["detector"] == "ssd_mobilenet_v2_fpnlite"
    assert entries["test"] == "150 images with 434 objects of 30 classes, which the model was judged on"
    overall = read_evaluation(record.uri("evaluation") or "").overall
    assert overall is not None
    low, high = overall.intervals["AP"]
    assert entries["AP"] == f"{overall.metrics['AP']:.3f} (95 % sure: {low:.3f} to {high:.3f}) on the split test"
    assert entries["lowest AP of a slice"].count("\n") == 4
    assert "weather=fog" in entries["lowest AP of a slice"].splitlines()[0]
    missing = ("weights_licence", "licence", "contact", "out_of_scope", "ethics")
    assert section.missing == [f"card.{field}" for field in missing]
    page = read_report(record, card=CARD).page()
    assert "Missing in the config: <code>card.weights_licence</code>" in page
    assert "annotated in house" in page


def test_without_the_config_nothing_is_called_missing(whole: FakeRun) -> None:
    page = read_report(read_run(whole.connection, PIPELINE)).page()
    assert "Made without the config" in page
    assert "Missing in the config" not in page


def test_everything_is_given(whole: FakeRun) -> None:
    words = CardSettings.model_validate(dict.fromkeys(CardSettings.model_fields, "<b>given</b>"))
    section = ModelCard.read(Run(read_run(whole.connection, PIPELINE), card=words))
    assert section is not None
    assert section.missing == []
    assert list(_entries(section).values()).count("<b>given</b>") == len(CardSettings.model_fields)


def test_what_the_export_says_of_itself_is_taken(fake_run: FakeRun, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "model" / "Format-Serving" / DESCRIPTION_FILE
    file.parent.mkdir(parents=True)
    description = {"detector": "dfine_s", "image_size": [320, 640], "label_map": [[1, "stop"], [2, "<b>"]]}
    file.write_text(json.dumps(description))
    fake_run.node("new", "Trainer", outputs={"model": tmp_path / "model"})
    section = ModelCard.read(Run(read_run(fake_run.connection, PIPELINE)))
    assert section is not None
    entries = _entries(section)
    assert entries["detector"] == "dfine_s"
    assert entries["input"] == "images of any size, seen as 320 x 640 pixels (height x width)"
    assert entries["classes"] == "2: stop, <b>"
    assert entries["metrics"] == entries["start weights"] == ""


def test_a_run_without_a_model_has_no_card(fake_run: FakeRun) -> None:
    fake_run.node("new", "ObjectDetectionExampleGen")
    assert ModelCard.read(Run(read_run(fake_run.connection, PIPELINE))) is None
