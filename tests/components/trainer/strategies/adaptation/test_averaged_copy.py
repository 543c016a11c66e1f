"""The teacher's arithmetic."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.trainer.strategies.adaptation.averaged_copy import automatic_momentum, move_towards


def test_an_average_in_closed_form() -> None:
    """After n steps it is m^n of the start and, of the student at step k, (1 - m) m^(n - k)."""
    teacher, student = keras.Variable([1.0, -4.0]), keras.Variable([0.0, 0.0])
    values = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
    for value in values:
        student.assign(value)
        move_towards([teacher], [student], 0.8)
    shares = 0.2 * 0.8 ** np.arange(11, -1, -1)
    expected = 0.8**12 * np.array([1.0, -4.0]) + shares @ values
    np.testing.assert_allclose(teacher.numpy(), expected, rtol=1e-5)


def test_states_of_random_generators_stay() -> None:
    teacher, student = keras.random.SeedGenerator(1).state, keras.random.SeedGenerator(2).state
    before = teacher.numpy()
    move_towards([teacher], [student], 0.5)
    np.testing.assert_array_equal(teacher.numpy(), before)


def test_moving_statistics_are_averaged_like_weights() -> None:
    teacher, student = (keras.layers.BatchNormalization() for _ in range(2))
    for layer, mean in ((teacher, 0.0), (student, 8.0)):
        layer.build((None, 3))
        layer.moving_mean.assign(np.full(3, mean))
    move_towards(teacher.variables, student.variables, 0.75)
    np.testing.assert_allclose(teacher.moving_mean.numpy(), np.full(3, 2.0))


@given(st.integers(0, 10**7))
def test_the_automatic_momentum_remembers_a_twentieth(steps: int) -> None:
    momentum = automatic_momentum(steps)
    assert 0.9 <= momentum <= 0.9996
    if 200 <= steps <= 50_000:
        assert 1.0 / (1.0 - momentum) == pytest.approx(steps / 20.0)
