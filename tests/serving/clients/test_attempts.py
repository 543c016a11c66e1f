from __future__ import annotations

import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.clients import attempts
from serving.clients.attempts import Attempts
from serving.clients.errors import AwayError


@given(st.floats(0.01, 60), st.booleans())
def test_pauses_grow_and_end_before_the_deadline(timeout_seconds: float, retries: bool) -> None:
    error = AwayError("away")
    now = 0.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempts, "time", types.SimpleNamespace(monotonic=lambda: now))
        tries = Attempts(timeout_seconds, retries=retries)
        pauses = []
        with pytest.raises(AwayError) as caught:
            while True:
                assert 0 < tries.seconds_left() <= timeout_seconds
                pauses.append(tries.pause_seconds(error))
                now += pauses[-1]
    assert caught.value is error
    assert now < timeout_seconds or not pauses
    assert len(pauses) <= (3 if retries else 0)
    assert pauses == sorted(pauses)
    if retries and timeout_seconds > 3:
        assert len(pauses) == 3


def test_a_deadline_that_is_over_is_no_endless_wait() -> None:
    tries = Attempts(0.0, retries=True)
    assert 0 < tries.seconds_left() < 0.1
