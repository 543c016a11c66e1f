"""The median stopping rule."""

from __future__ import annotations

from components.trainer.tuning.median_rule import is_below_median

FINISHED = [((10, 0.1), (20, 0.5)), ((10, 0.2), (20, 0.1)), ((10, 0.3), (20, 0.4))]


def test_the_median_is_of_the_best_up_to_the_same_step() -> None:
    assert is_below_median(((10, 0.19),), FINISHED, 3)
    assert not is_below_median(((10, 0.2),), FINISHED, 3)
    # At step 20 the others had reached 0.5, 0.2 and 0.4.
    assert is_below_median(((10, 0.2), (20, 0.39)), FINISHED, 3)
    assert not is_below_median(((10, 0.4), (20, 0.0)), FINISHED, 3)


def test_a_few_finished_trials_are_no_measure() -> None:
    assert not is_below_median(((10, 0.0),), FINISHED, 4)
    assert not is_below_median((), FINISHED, 3)
