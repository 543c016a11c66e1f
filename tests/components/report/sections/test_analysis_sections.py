"""What all sections that are computed from the matches have in common, and what each says."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from components.evaluator.analysis.calibration import Bin, Calibration
from components.evaluator.analysis.confusion import Confusions, confusions
from components.evaluator.analysis.error_types import ERROR_KINDS, ErrorCosts, error_costs
from components.evaluator.analysis.operating_point import MIN_OBJECTS, operating_points
from components.report.section import Section
from components.report.sections.calibration import CalibrationOfScores
from components.report.sections.confusion import Confusion
from components.report.sections.errors import Errors
from components.report.sections.precision_recall import PrecisionRecallCurves
from components.report.sections.thresholds import RULES, ScoreThresholds
from tests.components.report.sections.judged_images import drawn, many_classes, rows, section_of

SECTIONS: tuple[type[Section], ...] = (
    PrecisionRecallCurves,
    Errors,
    Confusion,
    CalibrationOfScores,
    ScoreThresholds,
)


@pytest.mark.parametrize("kind", SECTIONS)
def test_a_run_without_matches_or_without_objects_has_no_such_section(kind: type[Section]) -> None:
    assert section_of(kind, None) is None
    images = many_classes(3, 20)
    assert section_of(kind, images.select(np.zeros(20, np.bool_))) is None


@pytest.mark.parametrize("kind", SECTIONS)
@pytest.mark.parametrize("with_baseline", [False, True])
def test_names_are_escaped_and_ninety_classes_are_no_longer_than_twenty(
    kind: type[Section], with_baseline: bool
) -> None:
    few, many = (section_of(kind, many_classes(count, 700, with_baseline)) for count in (20, 90))
    assert few is not None
    assert many is not None
    short, long = drawn(few), drawn(many)
    assert "<u>" not in short + long
    assert len(long) < 1.6 * len(short)
    assert ("last blessed" in long) == (with_baseline and kind not in (Confusion, ScoreThresholds))


def test_precision_recall_has_the_worst_classes_and_says_how_many_more() -> None:
    images = many_classes(25, 300, with_baseline=True)
    section = section_of(PrecisionRecallCurves, images)
    assert section is not None
    ap50 = images.metrics(images.candidate)
    by_ap50 = sorted(images.class_names, key=lambda name: ap50[f"AP50/{name}"])
    assert [chart.name for chart in section.class_charts] == by_ap50[:20]
    assert section.not_shown == 5
    assert images.baseline is not None
    worst, before = by_ap50[0], images.metrics(images.baseline)
    texts = [f"{ap50[f'{metric}/{worst}']:.3f} ({before[f'{metric}/{worst}']:.3f})" for metric in ("AP50", "AP75")]
    assert section.class_charts[0].text == " / ".join(texts)
    assert [line.name for line in section.mean_chart.lines] == [
        "IoU 0.50",
        "IoU 0.75",
        "last blessed model, 0.50",
        "last blessed model, 0.75",
    ]


def test_errors_says_the_two_costliest_kinds() -> None:
    counts = np.array([[3, 0, 1, 0, 0, 9]])
    costs = np.array([[0.02, 0.0, 0.004, 0.0, 0.0, 0.31]])
    errors = ErrorCosts(("car",), np.array([0.5]), counts, costs, np.array([0.1]), np.array([0.4]))
    section = Errors(errors, None)
    assert section.lines() == (("Errors", "AP50 is lost most to missed objects 0.310 (9), wrong classes 0.020 (3)"),)
    assert Errors(dataclasses.replace(errors, costs=costs * 0.01), None).lines() == ()
    assert [row.name for row in section.rows] == [*ERROR_KINDS, "all false positives", "all false negatives"]


def test_errors_are_those_of_both_models() -> None:
    images = many_classes(3, 80, with_baseline=True)
    section = section_of(Errors, images)
    assert section is not None
    assert images.baseline is not None
    ours, before = error_costs(images, images.candidate), error_costs(images, images.baseline)
    for row, kind in zip(section.rows, ERROR_KINDS, strict=False):
        assert (row.count, row.cost, row.before) == (ours.count(kind), ours.cost(kind), before.cost(kind))
    assert [row.name for row in section.classes] == [
        images.class_names[place] for place in np.argsort(-ours.costs.sum(axis=1), kind="stable")
    ]


def test_confusion_says_what_happens_again_and_again() -> None:
    names = ("bus", "car", "sign")
    matrix = np.array([[50, 8, 1, 1], [2, 40, 0, 8], [0, 0, 9, 1], [3, 3, 3, 0]])
    section = Confusion(Confusions(matrix, names, 0.5, 0.4))
    assert section.lines() == (("Confusion", "bus taken for car 8 times (13%), car taken for bus 2 times (4%)"),)
    assert Confusion(Confusions(np.diag([5, 5, 5, 0]), names, 0.5, 0.4)).lines() == ()
    assert section.heads == list(names)
    name, cells = section.rows[0]
    assert (name, [cell.count for cell in cells]) == ("bus", [50, 8, 1, 1])
    assert [cell.kind for cell in cells] == ["right", "wrong", "wrong", "lost"]
    assert (section.rows[-1][0], [cell.count for cell in section.rows[-1][1]]) == ("nothing there", [3, 3, 3])


def test_confusion_folds_the_classes_that_are_confused_least() -> None:
    images = many_classes(30, 500)
    section = section_of(Confusion, images)
    assert section is not None
    assert len(section.heads) == 21
    assert section.heads[-1] == "others"
    assert section.others == 10
    whole = confusions(images, images.candidate, score=section.confusions.score)
    # Everything is somewhere in the folded matrix, too.
    assert sum(cell.count for _, cells in section.rows for cell in cells) == whole.matrix.sum()
    assert len(rows(drawn(section), "Rows: what is there")) == 23


def bins(scores: float, precision: float) -> tuple[Bin, ...]:
    return (Bin(0.0, 0.5, 0, math.nan, math.nan), Bin(0.5, 1.0, 10, scores, precision))


@pytest.mark.parametrize(
    ("scores", "precision", "said"),
    [(0.9, 0.5, "too high, off by 0.40"), (0.6, 0.9, "too low, off by 0.30"), (0.7, 0.65, "")],
)
def test_calibration_says_when_scores_are_off(scores: float, precision: float, said: str) -> None:
    lines = CalibrationOfScores(Calibration(bins(scores, precision), {}), None).lines()
    assert [text for _, text in lines] == ([f"scores are {said} on average"] if said else [])


def test_calibration_off_to_both_sides_says_so() -> None:
    both = (Bin(0.0, 0.5, 10, 0.2, 0.5), Bin(0.5, 1.0, 10, 0.9, 0.6))
    section = CalibrationOfScores(Calibration(both, {"car": 0.3, "bus": 0.4}), Calibration(both, {"car": 0.1}))
    ((_, text),) = section.lines()
    assert text == "scores are too high here and too low there, off by 0.30 on average; last blessed model 0.30"
    assert [(bar.name, bar.text) for bar in section.class_bars] == [("bus", "0.400"), ("car", "0.300 (0.100)")]


def test_thresholds_are_the_operating_points() -> None:
    images = many_classes(3, 60)
    section = section_of(ScoreThresholds, images)
    assert section is not None
    for place, (_, rule) in enumerate(RULES):
        assert {row.name: row.points[place] for row in section.classes} == operating_points(images, rule)
    best = section.together.points[0]
    ((_, text),) = section.lines()
    assert f"{best.f1:.2f}, from score {best.threshold:.2f} on" in text
    assert section.rows[0] == section.together
    f1s = [row.points[0].f1 for row in section.rows[1:]]
    assert f1s == sorted(f1s)


def test_a_class_with_few_objects_is_marked() -> None:
    section = section_of(ScoreThresholds, many_classes(40, 60))
    assert section is not None
    page = drawn(section)
    assert all(row.objects < MIN_OBJECTS for row in section.classes)
    assert page.count(" *</th>") == len(section.rows) - 1
    assert f"fewer than {MIN_OBJECTS} objects" in page
