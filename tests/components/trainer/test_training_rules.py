"""What a config leaves open gets a number by rules that hold for every size of data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.trainer.settings import OptimizerSettings, TrainConfig, TrainSettings
from components.trainer.training_rules import (
    automatic_batch_norm_momentum,
    automatic_learning_rate,
    automatic_steps,
    planned_settings,
)


@pytest.mark.parametrize(
    ("images", "batch_size", "from_scratch", "steps"),
    [
        (25, 8, False, 600),
        (205, 8, False, 769),
        (205, 8, True, 2307),
        # Twelve epochs of COCO: Detectron's 1x schedule.
        (118_287, 16, False, 90_000),
        (118_287, 16, True, 90_000),
    ],
)
def test_steps(images: int, batch_size: int, from_scratch: bool, steps: int) -> None:
    assert automatic_steps(images, batch_size, from_scratch) == steps


@given(st.integers(0, 10**7), st.integers(1, 10**6), st.integers(1, 512))
def test_more_images_take_no_fewer_steps(images: int, more: int, batch_size: int) -> None:
    steps = automatic_steps(images, batch_size, False)
    assert 1 <= steps <= automatic_steps(images + more, batch_size, False)
    assert (steps - 1) * batch_size < 1_440_000


@given(st.integers(1, 10**6))
def test_moving_statistics_forget_the_start_and_average_many_batches(steps: int) -> None:
    momentum = automatic_batch_norm_momentum(steps)
    assert 0.0 <= momentum <= 0.99
    assert momentum**steps <= 1.001e-3
    assert steps < 70 or momentum >= min(max(1 - 20 / steps, 0.9), 0.99) - 1e-3


@pytest.mark.parametrize(
    ("optimizer", "batch_size", "warm_start", "rate"),
    [
        ("adam", 8, False, 1e-3),
        ("adam", 32, False, 2e-3),
        ("adam", 512, False, 4e-3),
        ("adam", 8, True, 5e-4),
        ("sgd", 16, False, 1e-2),
        ("sgd", 2, False, 1.25e-3),
    ],
)
def test_learning_rate(optimizer: str, batch_size: int, warm_start: bool, rate: float) -> None:
    assert automatic_learning_rate(optimizer, batch_size, warm_start) == pytest.approx(rate)


def test_what_the_config_says_stays() -> None:
    said = TrainConfig(steps=7, seed=3, optimizer=OptimizerSettings(name="adam", learning_rate=0.5))
    planned = planned_settings(said, images=100, from_scratch=True, warm_start=True, default_optimizer="sgd")
    assert type(planned) is TrainSettings
    assert planned.model_dump() == said.model_dump()


def test_what_is_left_open_is_decided() -> None:
    planned = planned_settings(TrainConfig(), images=640, from_scratch=False, warm_start=False, default_optimizer="sgd")
    assert (planned.steps, planned.optimizer.name, planned.optimizer.learning_rate) == (1200, "sgd", 0.01)
    assert planned.evaluation_interval == 120
    slow = planned_settings(
        TrainConfig(),
        images=640,
        from_scratch=False,
        warm_start=False,
        default_optimizer="adam",
        learning_rate_share=0.2,
    )
    usual = automatic_learning_rate("adam", TrainConfig().batch_size, warm_start=False)
    assert slow.optimizer.learning_rate == pytest.approx(0.2 * usual)
