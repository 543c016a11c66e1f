"""The summary and the page of a finished and of a failed run."""

from __future__ import annotations

import dataclasses
import html.parser
import pathlib
import re
import time

import pytest

from components.evaluator.check import Check as GateCheck
from components.evaluator.evaluation import Evaluation, SliceResult
from components.evaluator.matches_file import MATCHES_FOLDER
from components.evaluator.verdict import Verdict
from components.report import section
from components.report.run_record import read_run
from components.report.run_report import RunReport, read_report, report_run
from schema.contract_report import CONTRACT_FILE, Check, ContractReport, Latency
from tests.components.report.fake_run import FakeRun, write_examples, write_matches
from tests.components.report.sections.judged_images import many_classes

FOG = (("weather", "<script>fog</script>"),)
SLICES = (
    SliceResult(
        (),
        {"AP": 0.6, "AP50": 0.9, "AP/stop": 0.7, "AP50/stop": 0.95, "AP/<script>yield": 0.5, "image_count": 40.0},
    ),
    SliceResult(FOG, {"AP": 0.4, "AP50": 0.7, "image_count": 12.0}),
)
COMPARED = (dataclasses.replace(SLICES[0], baseline_metrics={"AP": 0.5}), SLICES[1])
MISSED = GateCheck("AP50", FOG, "minimum", 0.8, "not met", 0.7, 0.65, 0.75, 0.95, images=12)
FEW = GateCheck("AP50", (("weather", "fog"),), "minimum", 0.8, "not judged", images=3, reason="3 images, needs 10")
REFUSED = Evaluation(Verdict(False, (MISSED,), is_compared=True), COMPARED)
BLESSED = Evaluation(Verdict(True, (FEW,), is_compared=False, notes=("2 images are left out",)), SLICES)


class _Checker(html.parser.HTMLParser):
    """Fails on tags that are closed in another order than they were opened."""

    _VOID = frozenset(("meta", "br", "link"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag != "script"
        if tag not in self._VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        return

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check(page: str) -> None:
    """Well-formed, no script (all names in these tests try to be one), and nothing is fetched from anywhere."""
    checker = _Checker()
    checker.feed(page)
    assert checker.open == []
    assert not re.search(r"(?:src|href)=.(?!data:|#)", page)
    assert "<script" not in page


def report_of(run: FakeRun, evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch) -> RunReport:
    """The report of the newest run, with this evaluation."""
    monkeypatch.setattr(section, "read_evaluation", lambda uri: evaluation)
    return read_report(read_run(run.connection, "signs"))


def test_page_of_a_whole_run(judged_run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    page = report_of(judged_run, REFUSED, monkeypatch).page()
    check(page)
    for expected in (
        "Not blessed",
        "weather=&lt;script&gt;fog&lt;/script&gt; (12)",
        '0.7000 <span class="soft">0.6500 to 0.7500</span>',
        "missed by 0.1000",
        "1 of 1 checks refuse it; compared with the last blessed model",
        "+0.100",
        "<th>&lt;script&gt;fog&lt;/script&gt;</th>",
        "By weather",
        "<polyline",
        "domain_accuracy",
        "b.jpg = train/c.jpg",
        "eval: 3 images, 3 objects, 1 images without",
        "<th>shorter side, px</th>",
        "Unexpected value: gif",
        "a &lt;1&gt;.jpg",
        "&lt;script&gt;stop&lt;/script&gt; 0.90",
        "eval 2 &lt;&amp;&gt;.jpg</code><br>1 there, 1 found",
        "missed &lt;script&gt;stop&lt;/script&gt;",
        "1 of 1 missed, 0 false alarms; 0 errors before",
        "Worse than the last blessed model",
        "/served/detector/17",
    ):
        assert expected in page
    # Lowest AP first.
    assert page.index("<th>&lt;script&gt;yield</th>") < page.index("<th>stop</th>")
    # What matters most is at the top.
    assert page.index("Not blessed") < page.index("Whiskers") < page.index('id="images"') < page.index('id="nodes"')


def test_page_of_a_blessed_model_shows_what_was_not_judged(
    judged_run: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = report_of(judged_run, BLESSED, monkeypatch).page()
    check(page)
    assert '<strong class="good">Blessed</strong>' in page
    assert "<p>every threshold that was judged is met; no blessed model to compare with</p>" in page
    assert "<p>2 images are left out</p>" in page
    assert "<b>not judged</b>" in page
    assert "3 images, needs 10" in page


def test_summary_of_a_whole_run(judged_run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = report_of(judged_run, REFUSED, monkeypatch).lines()
    assert lines[0].endswith("nodes 6 ran, 1 cached, 0 s")
    assert lines[1] == "Images      train 10 (25 objects), eval 2 (5 objects)"
    assert lines[2].startswith("Findings    1 box_outside (")
    assert lines[3] == "Anomalies   image/format (eval): Unexpected value: gif"
    assert lines[4:6] == [
        "Annotations 2 checks, 1 warnings, 0 failures",
        "            leakage (eval): 1 of 2 images have a copy",
    ]
    assert lines[-3].endswith(
        "AP50 on weather=<script>fog</script> is 0.7000 (95 % sure: 0.6500 to 0.7500), 0.1000 below its minimum 0.8"
    )
    assert lines[-1] == "Pushed      /served/detector/17"


def test_what_the_matches_say_is_between_the_metrics_and_the_images(
    judged_run: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = many_classes(3, 40, with_baseline=True)
    write_matches(judged_run.root / "evaluation" / MATCHES_FOLDER, images)
    report = report_of(judged_run, BLESSED, monkeypatch)
    page = report.page()
    check(page)
    headings = re.findall('<h2 id="[^"]*">(.*?)</h2>', page)
    assert headings[: headings.index("Score thresholds") + 1] == [
        "Verdict",
        "Served model",
        "Metrics",
        "Precision and recall",
        "Kinds of error",
        "Confusion",
        "Calibration of the scores",
        "Score thresholds",
    ]
    names = [line.split()[0] for line in report.lines() if not line.startswith(" ")]
    assert names.index("Thresholds") < names.index("Errors") < names.index("AP")
    (judged_run.root / "evaluation" / MATCHES_FOLDER / "matches-0.parquet").write_bytes(b"damaged")
    assert "Errors      could not be read" in "\n".join(report_of(judged_run, BLESSED, monkeypatch).lines())


def test_a_model_that_servers_cannot_use_is_not_pushed_and_the_report_says_why(
    judged_run: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = judged_run.root / "infra_blessing"
    folder.mkdir()
    checks = (
        Check("loads", True, "C++ loader", "a model", "copy it again"),
        Check("empty batch", False, "<script>INVALID_ARGUMENT", "no rows", "pad it"),
    )
    contract = ContractReport(checks, (Latency("C++ loader", 1, 20, 10.0, 12.5, 20.0),))
    (folder / CONTRACT_FILE).write_text(contract.to_json())
    judged_run.node("new", "ServingContract", outputs={"infra_blessing": folder}, properties={"blessed": 0})
    judged_run.node("new", "Pusher", outputs={"pushed_model": judged_run.root}, properties={"pushed": 0})
    report = report_of(judged_run, BLESSED, monkeypatch)
    assert report.lines()[-4:] == [
        "Contract    broken, so nothing is pushed: 1 of 2 checks failed",
        "            empty batch: found <script>INVALID_ARGUMENT; expected no rows; pad it",
        "            1 image in the C++ loader: p50 10.0 ms, p95 12.5 ms, p99 20.0 ms of 20 runs",
        "Pushed      nothing",
    ]
    page = report.page()
    check(page)
    assert "Not pushed: servers and clients could not use it" in page
    assert "found &lt;script&gt;INVALID_ARGUMENT" in page
    (folder / CONTRACT_FILE).write_text(ContractReport(checks[:1]).to_json())
    assert "Contract    kept: 1 checks" in report_of(judged_run, BLESSED, monkeypatch).lines()
    (folder / CONTRACT_FILE).write_text("damaged")
    assert "Contract    could not be read" in "\n".join(report_of(judged_run, BLESSED, monkeypatch).lines())


def test_a_figure_of_the_images_that_the_checkpoint_was_chosen_on_says_so(
    judged_run: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = report_of(judged_run, BLESSED, monkeypatch)
    text = "\n".join(report.lines())
    assert "on 40 images of the split eval, which the checkpoint was chosen on" in text
    gate = "the figures are of the images that the checkpoint was chosen on (split eval)"
    assert f"            {gate}" in text
    assert f"<p>{gate}</p>" in report.page()
    assert "40 images of the split eval, which the checkpoint was chosen on" in report.page()


def test_a_split_of_its_own_is_judged_and_shown(fake_run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = fake_run.root / "examples"
    write_examples(examples, "eval")
    write_examples(examples, "test")
    fake_run.node("new", "ObjectDetectionExampleGen", outputs={"examples": examples})
    fake_run.node("new", "Trainer", told={"eval_args": '{"splits": ["eval"]}'})
    outputs = {"evaluation": fake_run.root / "evaluation"}
    fake_run.node("new", "Evaluator", outputs=outputs, properties={"split": "test"})
    report = report_of(fake_run, BLESSED, monkeypatch)
    assert "on 40 images of the split test\n" in "\n".join(report.lines())
    assert "chosen on" not in "\n".join(report.lines()) + report.page()
    assert "test 2 &lt;&amp;&gt;.jpg</code><br>1 there, not evaluated" in report.page()
    assert "eval 2" not in report.page()


def test_report_of_a_run_without_a_model(finished_run: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    root: pathlib.Path = finished_run.root
    report_run(root / "metadata.sqlite", "signs", 0.0, root / "served", root / "reports")
    printed = capsys.readouterr().out
    assert "Images      train 10" in printed
    assert f"Page        {root / 'reports' / 'new.html'}" in printed
    page = (root / "reports" / "new.html").read_text()
    check(page)
    assert "1 there, not evaluated" in page


def test_nothing_is_reported_when_nothing_ran(finished_run: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    root: pathlib.Path = finished_run.root
    report_run(root / "metadata.sqlite", "signs", time.time() + 60, root / "served", root / "reports")
    report_run(root / "absent.sqlite", "signs", 0.0, root / "served", root / "reports")
    assert capsys.readouterr().out == ""
    assert not (root / "reports").exists()
