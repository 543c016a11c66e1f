"""The exponential moving average of one detector's variables in another: a mean teacher and its student."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

_REMEMBERED_SHARE = 1.0 / 20.0
_LEAST_MOMENTUM, _MOST_MOMENTUM = 0.9, 0.9996


def automatic_momentum(steps: int) -> float:
    """A momentum with which an average remembers about a twentieth of so many steps.

    At most 0.9996, with which Unbiased Teacher (Liu et al. 2021, section 4) trains for 180 000 steps.
    """
    return min(max(1.0 - 1.0 / (_REMEMBERED_SHARE * max(steps, 1)), _LEAST_MOMENTUM), _MOST_MOMENTUM)


def move_towards(teacher: Sequence[keras.Variable], student: Sequence[keras.Variable], momentum: float) -> None:
    """One step of the average (Tarvainen and Valpola 2017, equation 1), as graph ops.

    The moving statistics of batch normalisation are averaged like weights, so that the teacher normalises with those
    that its weights go with. What is not a number with a fraction (states of random generators) stays as it is.

    Args:
      teacher: changed: ``momentum * teacher + (1 - momentum) * student``.
      student: as many, of the same shapes, in the same order.
      momentum: in 0..1; 1 changes nothing.
    """
    for average, latest in zip(teacher, student, strict=True):
        if tf.as_dtype(average.dtype).is_floating:
            average.assign(momentum * average + (1.0 - momentum) * latest)
