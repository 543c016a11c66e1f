"""What a comparison says: table, CSV, JSON and page."""

from __future__ import annotations

import csv
import io
import math

import pytest

from components.report.comparison_page import comparison_page
from components.trainer.comparison.comparison import Row
from components.trainer.comparison.summary import Summary
from components.trainer.comparison.training import Outcome


def _row(rung: str, images: int, seed: int, ap: float, seconds: float) -> Row:
    return Row(rung, images, seed, Outcome({"AP": ap, "AP50": ap + 0.2}, seconds, seconds + 9, 20.0, 900.0, 0.0, 50))


@pytest.fixture
def summary() -> Summary:
    curves = {"frozen": (0.5, 40.0), "fine_tune": (0.7, 90.0)}
    rows = [
        _row(rung, images, seed, top - images**-0.5 + 0.01 * seed, seconds)
        for images in (25, 50, 100)
        for rung, (top, seconds) in curves.items()
        for seed in range(3)
    ]
    failed = Row("<scratch>", 100, 0, Outcome(error="its process was ended by SIGKILL"))
    return Summary((*rows, failed), {"mean_teacher": "no target"}, "test", "Every training has 50 steps.")


def test_a_line_for_each_rung_and_size(summary: Summary) -> None:
    lines = {(line.rung, line.images): line for line in summary.lines}
    assert len(lines) == 7
    assert lines["frozen", 100].estimates["AP"].mean == pytest.approx(0.41)
    assert lines["<scratch>", 100].errors == ("its process was ended by SIGKILL",)
    assert "| fine_tune | 25     | 0.510 ± 0.025 | 0.710 ± 0.025 | 90      | 50" in summary.table()


def test_the_choice_is_of_the_most_images_and_says_why(summary: Summary) -> None:
    assert summary.choice is not None
    assert summary.choice.name == "fine_tune"
    remarks = "\n".join(summary.remarks())
    assert "mean_teacher was not tried: no target" in remarks
    assert "chosen on" in remarks
    assert remarks.endswith(
        "Choice: fine_tune. fine_tune reaches AP 0.610 ± 0.025 in 90 s, and nothing else reaches it."
    )


def test_figures_of_the_split_that_chose_are_said_to_be_so(summary: Summary) -> None:
    judged_on_eval = Summary(summary.rows, {}, "eval", summary.terms)
    assert "too good for all alike" in " ".join(judged_on_eval.notes)
    assert "too good" not in " ".join(summary.notes)


def test_forecasts_go_on_from_three_sizes(summary: Summary) -> None:
    forecasts = summary.forecasts()
    assert not isinstance(forecasts["fine_tune"], str)
    assert [point.images for point in forecasts["fine_tune"]] == [100, 150, 200, 300, 400]
    assert isinstance(forecasts["<scratch>"], str)


def test_json_comes_back(summary: Summary) -> None:
    with_nan = Summary((*summary.rows, Row("a", 25, 0, Outcome({"AP": math.nan}))), {}, "test", "")
    again = Summary.read(with_nan.json())
    assert again.rows[:-1] == with_nan.rows[:-1]
    assert math.isnan(again.rows[-1].outcome.metrics["AP"])


def test_csv_has_every_training(summary: Summary) -> None:
    rows = list(csv.DictReader(io.StringIO(summary.csv())))
    assert len(rows) == len(summary.rows)
    assert (rows[0]["way"], rows[0]["images"], rows[0]["AP50"]) == ("frozen", "25", "0.5")
    assert rows[-1]["error"] == "its process was ended by SIGKILL"


def test_the_page_has_both_plots_and_escapes_names(summary: Summary) -> None:
    page = comparison_page(summary, "signs")
    assert page.count("<svg") == 2
    assert "fine_tune reaches AP" in page
    assert "&lt;scratch&gt;" in page
    assert "<scratch>" not in page


def test_a_page_of_nothing(summary: Summary) -> None:
    assert "mean_teacher" in comparison_page(Summary((), summary.skipped, "eval", ""), "signs")
