"""Moving statistics that lag are told from those that do not, early, on a network small enough to follow."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest

from components.trainer.batch_norm_lag import BatchNormLag

STEPS = 80


def network(momentum: float) -> keras.Model:
    return keras.Sequential([keras.Input((8,)), keras.layers.BatchNormalization(momentum=momentum)])


@pytest.fixture
def learn() -> Callable[[keras.Model, int], None]:
    """Shows batches of mean 3 and standard deviation 0.1."""
    random = np.random.default_rng(0)

    def steps(model: keras.Model, count: int) -> None:
        for _ in range(count):
            model(random.normal(3.0, 0.1, (16, 8)).astype(np.float32), training=True)

    return steps


@pytest.mark.parametrize("seen", [1, 10, STEPS])
@pytest.mark.parametrize(("momentum", "warned"), [(0.999, True), (0.97, True), (0.9, False), (0.5, False)])
def test_the_end_is_foreseen(
    learn: Callable[[keras.Model, int], None], momentum: float, warned: bool, seen: int
) -> None:
    model = network(momentum)
    lag = BatchNormLag(model)
    learn(model, seen)
    warning = lag.warning(seen, STEPS - seen)
    assert (warning is not None) == warned
    if warning is not None:
        assert f"A momentum of {momentum:g} is too slow for {STEPS} steps" in warning
        assert "set model.options.batch_norm_momentum to 0.91 or less" in warning


def test_the_advice_helps(learn: Callable[[keras.Model, int], None]) -> None:
    model = network(0.91)
    lag = BatchNormLag(model)
    learn(model, STEPS)
    assert lag.warning(STEPS, 0) is None


def test_statistics_that_fit_already_do_not_lag(learn: Callable[[keras.Model, int], None]) -> None:
    model = network(0.999)
    model.layers[0].moving_mean.assign(np.full(8, 3.0))
    model.layers[0].moving_variance.assign(np.full(8, 0.01))
    lag = BatchNormLag(model)
    learn(model, 5)
    assert lag.warning(5, 20) is None


def test_frozen_layers_are_left_out(learn: Callable[[keras.Model, int], None]) -> None:
    model = network(0.999)
    model.layers[0].trainable = False
    lag = BatchNormLag(model)
    learn(model, 5)
    assert lag.at_end(5, 20) == 0.0
