"""Which precision is taken, by a clock that says what the steps took."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import keras
import pytest

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.trainer.precision_choice import choose_precision
from components.trainer.preparation import measured_precision
from components.trainer.replicas import Replicas
from components.trainer.settings import TrainConfig
from components.trainer.training_plan import ChosenPrecision, TrainingPlan
from components.user_error import UserError
from tests.tiny_detectors import TINY_DETECTORS

DETECTOR = "ssd_mobilenet_v2"


@pytest.fixture
def build() -> tuple[Callable[[], Detector], list[str]]:
    """Makes a detector, and keeps the dtype policies it was made in."""
    policies: list[str] = []

    def build() -> Detector:
        policies.append(keras.mixed_precision.dtype_policy().name)
        return build_detector(DETECTOR, num_classes=2, image_size=(64, 64), **TINY_DETECTORS[DETECTOR])

    return build, policies


@pytest.mark.parametrize(
    ("bfloat16_seconds", "expected"),
    [(0.5, "mixed_bfloat16"), (0.97, "float32"), (2.0, "float32")],
    ids=["faster", "hardly faster", "slower"],
)
def test_the_faster_one_is_taken(build, bfloat16_seconds: float, expected: str) -> None:
    make, policies = build
    taken = itertools.cycle([1.0, bfloat16_seconds])
    now, is_start = 0.0, True

    def clock() -> float:
        nonlocal now, is_start
        now, is_start = now if is_start else now + next(taken), not is_start
        return now

    chosen = choose_precision(make, batch_size=2, clock=clock)
    assert chosen.name == expected
    assert chosen.step_seconds == pytest.approx({"float32": 1.0, "mixed_bfloat16": bfloat16_seconds})
    assert policies == ["float32", "mixed_bfloat16"]
    assert keras.mixed_precision.dtype_policy().name == "float32"


def test_nothing_is_measured_where_the_config_names_one() -> None:
    def build(batch_norm_momentum: float) -> Detector:
        raise AssertionError("nothing to measure")

    named = measured_precision(TrainConfig(precision="mixed_float16"), build, Replicas())
    assert named == ChosenPrecision("mixed_float16")
    assert named.lines() == ("computed in mixed_float16",)
    with pytest.raises(UserError, match="2 workers could each choose another"):
        measured_precision(TrainConfig(precision="auto"), build, Replicas(workers=2))


def test_a_plan_tells_what_the_steps_took() -> None:
    chosen = ChosenPrecision("mixed_bfloat16", {"float32": 0.5123, "mixed_bfloat16": 0.25})
    plan = TrainingPlan(600, 8, 30.0, "adam", 1e-3, 0.966, None, chosen)
    assert TrainingPlan.from_json(plan.to_json()) == plan
    assert (
        "computed in mixed_bfloat16: a gradient step took 0.512 s in float32, 0.25 s in mixed_bfloat16" in plan.lines()
    )
