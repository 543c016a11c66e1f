from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluator.check import Check, Status
from components.evaluator.coco import ImageResult, coco_metrics
from components.evaluator.judge import judge
from components.evaluator.matched_images import MatchedImages
from components.evaluator.settings import EvalSettings
from components.evaluator.verdict import Verdict
from tests.components.evaluator.made_images import CLASS_NAMES, joined, made_result, perfect, without_classes


def made_results(count: int = 60, seed: int = 1, **quality: float) -> list[ImageResult]:
    random = np.random.default_rng(seed)
    return [made_result(random, **quality) for _ in range(count)]


RESULTS = made_results()
PERFECT = [perfect(result) for result in RESULTS]
HERE = joined(RESULTS)
AP50 = HERE.metrics(HERE.candidate)["AP50"]


def decide(images: MatchedImages, model: int = 7, problem: str = "", **gates: Any) -> Verdict:
    gates = {"minimum": {}, "max_drop": {}, "resamples": 400, **gates}
    return judge(images, EvalSettings.model_validate({"slices": [], "gates": gates}), model, problem)


def only(verdict: Verdict) -> Check:
    (check,) = verdict.checks
    return check


@pytest.mark.parametrize(("bound", "status"), [(0.1, "met"), (round(AP50, 2), "cannot tell"), (0.95, "not met")])
def test_a_floor_has_three_answers(bound: float, status: Status) -> None:
    check = only(decide(HERE, minimum={"AP50": bound}))
    assert check.status == status
    assert check.value == pytest.approx(coco_metrics(RESULTS, CLASS_NAMES)["AP50"])
    assert check.low < check.value < check.high
    assert check.images == 60


def test_where_the_images_cannot_tell_the_config_says_what_follows() -> None:
    near = round(AP50, 2)
    assert not decide(HERE, minimum={"AP50": near}).blessed
    assert decide(HERE, minimum={"AP50": {"min": near, "undecided": "bless"}}).blessed
    lost = decide(joined(RESULTS, PERFECT), max_drop={"AP50": {"absolute": round(1 - AP50, 2)}})
    assert only(lost).status == "cannot tell"
    assert lost.blessed
    drop = {"absolute": round(1 - AP50, 2), "undecided": "refuse"}
    assert not decide(joined(RESULTS, PERFECT), max_drop={"AP50": drop}).blessed


def test_more_images_of_the_kind_could_tell() -> None:
    check = only(decide(HERE, minimum={"AP50": AP50 - 0.03}))
    assert check.status == "cannot tell"
    assert check.images_to_tell is not None
    more = joined(made_results(round(1.5 * check.images_to_tell), seed=2))
    value = more.metrics(more.candidate)["AP50"]
    assert only(decide(more, minimum={"AP50": value - 0.03})).status == "met"


def test_without_confidence_bare_numbers_are_compared() -> None:
    assert only(decide(HERE, confidence=0.0, minimum={"AP50": AP50 - 1e-6})).status == "met"
    assert only(decide(HERE, confidence=0.0, minimum={"AP50": AP50 + 1e-6})).status == "not met"
    sure_alone = {"AP50": {"min": AP50 - 1e-6, "confidence": 0.0}}
    assert only(decide(HERE, minimum=sure_alone)).status == "met"


def test_the_same_model_has_lost_nothing_for_certain() -> None:
    check = only(decide(joined(RESULTS, RESULTS), max_drop={"AP": {"absolute": 0.0}}))
    assert (check.status, check.value, check.low, check.high) == ("met", 0, 0, 0)


@pytest.mark.parametrize(("kind", "allowed"), [("absolute", 0.02), ("relative", 0.05)])
def test_a_drop_is_named_with_both_values(kind: str, allowed: float) -> None:
    check = only(decide(joined(RESULTS, PERFECT), max_drop={"AP": {kind: allowed}}))
    assert check.status == "not met"
    ours, theirs = (coco_metrics(results, CLASS_NAMES)["AP"] for results in (RESULTS, PERFECT))
    assert check.baseline == pytest.approx(theirs)
    assert check.value == pytest.approx((theirs - ours) / (theirs if kind == "relative" else 1))
    assert check.missed_by == pytest.approx(check.value - allowed)


def test_of_nothing_nothing_can_be_lost() -> None:
    nothing = [without_classes(result, (0, 1, 2)) for result in RESULTS]
    assert only(decide(joined(RESULTS, nothing), max_drop={"AP": {"relative": 0.1}})).status == "met"


def test_without_a_baseline_drops_do_not_count() -> None:
    verdict = decide(HERE, max_drop={"AP": {"absolute": 0.0}}, forgetting={"AP50": {"relative": 0.1}})
    assert verdict.blessed
    assert verdict.lines() == [
        "blessed: every threshold that was judged is met, no blessed model to compare with",
        "  not judged: AP50 on images of earlier spans: no blessed model to compare with",
    ]
    assert decide(HERE, max_drop={"AP": {"absolute": 0.0}}).lines() == [
        "blessed: every threshold met, no blessed model to compare with"
    ]


def test_a_baseline_that_cannot_be_loaded_leaves_drops_undecided() -> None:
    verdict = decide(HERE, problem="it is gone", max_drop={"AP": {"absolute": 0.0}})
    assert (only(verdict).status, verdict.blessed) == ("cannot tell", True)
    assert verdict.lines()[-1] == "  the last blessed model could not be compared with: it is gone"
    strict = {"AP": {"absolute": 0.0, "undecided": "refuse"}}
    assert not decide(HERE, problem="it is gone", max_drop=strict).blessed


def test_a_grown_label_map_is_compared_over_the_classes_known_before() -> None:
    before = [without_classes(result, (0,)) for result in PERFECT]
    images = joined(RESULTS, before, known_before=("car", "sign"))
    verdict = decide(images, max_drop={"AP": {"absolute": 0.02}}, forgetting={"AP": {"absolute": 0.02}})
    whole, earlier = verdict.checks
    assert (whole.is_on_earlier_spans, earlier.is_on_earlier_spans) == (False, True)
    for check, count in ((whole, 60), (earlier, 30)):
        ours, theirs = (
            np.mean([coco_metrics(results[:count], CLASS_NAMES)[f"AP/{name}"] for name in ("car", "sign")])
            for results in (RESULTS, PERFECT)
        )
        assert (check.status, check.images) == ("not met", count)
        assert check.baseline == pytest.approx(theirs)
        assert check.value == pytest.approx(theirs - ours)
    assert verdict.lines()[-1] == "  compared with the last blessed model over the classes that it knows, without bus"


def test_losses_without_anything_to_compare_are_named() -> None:
    drops = {"max_drop": {"AP": {"absolute": 0.02}}, "forgetting": {"AP": {"absolute": 0.02}}}
    strange = decide(joined(RESULTS, RESULTS, known_before=("tram",)), **drops)
    assert strange.blessed
    shown = "no image shows a class that the last blessed model knows"
    assert strange.lines()[1:3] == [
        f"  not judged: AP on all images: {shown}",
        f"  not judged: AP on images of earlier spans: {shown}",
    ]
    few = decide(joined(RESULTS, RESULTS), **drops, min_images=31)
    assert few.lines()[1:] == [
        "  not judged: AP on images of earlier spans: 30 images, needs 31 (data.span_window: spans to read together)"
    ]
    assert decide(joined(RESULTS, RESULTS, span=None), **drops).checks[1].status == "not judged"


def test_slices_and_classes_count_with_enough_images() -> None:
    floors = {
        "slice_floors": [
            {"slice": {"weather": weather}, "metric": "AP50", "min": 0.99} for weather in ("fog", "snow", "clear")
        ],
        "class_floors": [{"class_name": "*", "metric": "AP50", "min": 0.01}],
        "min_images": 25,
    }
    verdict = decide(HERE, **floors)
    shown = HERE.images_with_class
    assert {check.metric: check.status for check in verdict.checks if "/" in check.metric} == {
        f"AP50/{name}": "met" if shown[name] >= 25 else "not judged" for name in CLASS_NAMES
    }
    fog, snow, clear = verdict.checks[:3]
    assert (fog.status, fog.images, snow.images) == ("not judged", 20, 0)
    assert str(snow) == "not judged: AP50 on weather=snow: 0 images, needs 25"
    assert (clear.status, clear.images) == ("not met", 40)
    ours = coco_metrics([result for n, result in enumerate(RESULTS) if n % 3], CLASS_NAMES)
    assert clear.value == pytest.approx(ours["AP50"])


def test_floors_without_images_refuse_when_they_always_count() -> None:
    floors = {"slice_floors": [{"slice": {"weather": "snow"}, "metric": "AP50", "min": 0.5}], "min_images": 0}
    verdict = decide(HERE, **floors)
    assert not verdict.blessed
    assert (
        "AP50 on weather=snow could not be computed (no such object or class there), its bound is 0.5"
        in (verdict.lines()[1])
    )


def test_a_floor_whose_name_nobody_knows_refuses() -> None:
    settings = EvalSettings.model_validate(
        {
            "slices": [["weather"], ["tiem_of_day"]],
            "gates": {
                "minimum": {},
                "slice_floors": [
                    {"slice": {"wether": "fog"}, "metric": "AP50", "min": 0.01},
                    {"slice": {"class": "carr"}, "metric": "AP", "min": 0.01},
                ],
                "class_floors": [{"class_name": "singn", "metric": "AP50", "min": 0.01}],
            },
        }
    )
    nobody = "which neither the model nor the ground truth knows"
    assert judge(HERE, settings).lines() == [
        "not blessed (no blessed model to compare with):",
        "  AP50 on wether=fog could not be computed (eval.gates.slice_floors names the column 'wether', which no image "
        "has; did you mean 'weather'?), its bound is 0.01",
        f"  AP on class=carr could not be computed (eval.gates.slice_floors names the class 'carr', {nobody}; did you "
        "mean 'car'?), its bound is 0.01",
        f"  AP50/singn on all images could not be computed (eval.gates.class_floors names the class 'singn', {nobody}; "
        "did you mean 'sign'?), its bound is 0.01",
        "  eval.slices names the column 'tiem_of_day', which no image has",
    ]


def test_images_without_objects_bless_nobody() -> None:
    empty = [dataclasses.replace(perfect(result), **_no_truth()) for result in RESULTS[:5]]
    verdict = decide(joined(empty))
    assert not verdict.blessed
    assert "AP on all images could not be computed" in verdict.lines()[1]
    assert not decide(joined([])).blessed


def _no_truth() -> dict[str, Any]:
    return {
        "truth_boxes_yxyx_pixels": np.zeros((0, 4)),
        "truth_classes": np.zeros(0, np.int64),
        "truth_areas_pixels": np.zeros(0),
        "truth_is_crowd": np.zeros(0, np.bool_),
        "truth_is_ignored": np.zeros(0, np.bool_),
    }


def test_one_image_cannot_tell() -> None:
    one = next(result for result in PERFECT if len(result.truth_classes) > 2)
    check = only(decide(joined([one]), minimum={"AP50": 0.5}))
    assert (check.status, check.value, check.images_to_tell) == ("cannot tell", pytest.approx(1.0), None)


def test_images_that_all_came_out_alike_do_not_make_it_certain() -> None:
    check = only(decide(joined(PERFECT[:12]), minimum={"AP50": 0.9}))
    assert (check.value, check.high, check.status) == (1.0, 1.0, "cannot tell")
    assert check.low == pytest.approx(0.025 ** (1 / 12))


def test_a_person_may_bless_by_hand() -> None:
    refused = decide(HERE, minimum={"AP50": 0.99})
    assert refused.lines()[-1] == "  to bless it by hand: eval.gates.accept: {by: NAME, reason: WHY, model: 7}"
    accept = {"by": "Ada", "reason": "sees more at night"}
    for model in ({}, {"model": 7}):
        verdict = decide(HERE, minimum={"AP50": 0.99}, accept={**accept, **model})
        assert (verdict.blessed, verdict.accepted_by, verdict.accepted_because) == (True, "Ada", "sees more at night")
        assert verdict.lines()[0].startswith("blessed by hand by Ada (sees more at night), ")
        assert "below its minimum 0.99" in verdict.lines()[1]
    other = decide(HERE, minimum={"AP50": 0.99}, accept={**accept, "model": 6})
    assert (other.blessed, other.accepted_by) == (False, "")
    assert other.notes == ("eval.gates.accept is of the model 6, this one is 7: take it out of the config",)
    assert decide(HERE, accept=accept).accepted_by == "", "the gate itself has nothing against it"


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), bound=st.floats(0, 1), noise=st.floats(0, 20))
def test_the_answer_follows_from_the_interval(seed: int, bound: float, noise: float) -> None:
    results = made_results(15, seed, noise_pixels=noise)
    images = joined(results, made_results(15, seed, noise_pixels=4.0))
    verdict = decide(images, minimum={"AP50": bound}, max_drop={"AP50": {"absolute": bound}}, resamples=200)
    for check in verdict.checks:
        if np.isnan(check.low):
            continue
        good, bad = (check.low, check.high) if check.kind == "minimum" else (-check.high, -check.low)
        limit = check.bound if check.kind == "minimum" else -check.bound
        assert check.status == ("met" if good >= limit else "not met" if bad < limit else "cannot tell")
    assert verdict.blessed == (not any(check.refuses for check in verdict.checks))
    assert Verdict.from_data(verdict.to_data()) == verdict or any(np.isnan(c.value) for c in verdict.checks)
