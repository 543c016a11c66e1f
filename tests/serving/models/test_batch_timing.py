"""What batches are expected to take: within what the last ones took."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serving.models.batch_timing import BatchTiming

_SECONDS = st.floats(1e-3, 1e3)


def test_nothing_is_expected_before_there_was_a_batch() -> None:
    assert BatchTiming().usual_seconds(8) == BatchTiming().safe_seconds(8) == 0


@given(st.lists(st.tuples(st.integers(1, 64), _SECONDS), min_size=1, max_size=40), st.integers(1, 64))
def test_what_is_expected_is_within_what_the_last_ones_took(batches: list[tuple[int, float]], images: int) -> None:
    timing = BatchTiming()
    for size, seconds in batches:
        timing.add(size, seconds)
    last = sorted(seconds / size for size, seconds in batches[-16:])
    usual, safe = timing.usual_seconds(images) / images, timing.safe_seconds(images) / images
    close = 1 + 1e-9
    assert last[0] / close <= usual <= safe * close and safe <= last[-1] * close
    assert sum(one <= usual * close for one in last) >= len(last) / 2
    assert sum(one <= safe * close for one in last) >= 0.9 * len(last)
