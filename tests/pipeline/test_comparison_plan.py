"""What ``compare`` is asked for."""

from __future__ import annotations

import pytest

from pipeline.comparison_plan import Size, parse_sizes, sizes_of


def test_sizes_with_their_seeds() -> None:
    assert parse_sizes("25, 50:5,all:1", 3) == (Size(25, 3), Size(50, 5), Size(None, 1))


@pytest.mark.parametrize("text", ["", "0", "-5", "many", "25:0", "25:", "25,25", "all,all:1"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="--sizes: found"):
        parse_sizes(text, 3)


def test_all_is_a_number_and_what_is_more_is_left_out() -> None:
    assert sizes_of(parse_sizes("25,500,all:1", 3), 40) == [(25, 3), (40, 1)]
    assert sizes_of(parse_sizes("40:2,all:1", 3), 40) == [(40, 2)]
    with pytest.raises(ValueError, match="there are 40 training images"):
        sizes_of(parse_sizes("50", 3), 40)
