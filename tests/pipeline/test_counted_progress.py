"""Progress, against a clock of its own."""

from __future__ import annotations

import io

import pytest

from pipeline.counted_progress import CountedProgress, duration


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (io.StringIO(), "images 2/4, 0:06 left\nimages 4/4, 0:12\n"),
        (
            _Terminal(),
            "\rimages 1/4, 0:09 left\033[K\rimages 2/4, 0:06 left\033[K\rimages 3/4, 0:03 left\033[K"
            "\rimages 4/4, 0:12\033[K\n",
        ),
    ],
)
def test_what_is_left_is_said_now_and_then(stream: io.StringIO, said: str) -> None:
    seconds = iter((0.0, 3.0, 6.0, 9.0, 12.0))
    progress = CountedProgress("images", 4, stream, lambda: next(seconds))
    assert list(progress.of("abcd")) == list("abcd")
    assert stream.getvalue() == said


def test_hours() -> None:
    assert [duration(value) for value in (0.4, 59.6, 3599.0, 3661.0)] == ["0:00", "1:00", "59:59", "1:01:01"]
