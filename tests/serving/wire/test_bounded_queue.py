"""The queue that nobody waits to put something in: how much it holds, and for how long."""

from __future__ import annotations

from serving.wire.bounded_queue import BoundedQueue


def test_items_and_their_bytes_are_bounded_until_the_work_on_them_has_ended() -> None:
    waiting: BoundedQueue[str] = BoundedQueue(2, 100)
    assert not waiting.offer("too large", 101)
    assert waiting.offer("first", 60) and not waiting.offer("second", 41)
    with waiting.take(0) as item:
        assert item == "first" and waiting.is_empty()
        assert not waiting.offer("second", 41)
    assert waiting.offer("second", 41) and waiting.offer("third", 1)
    # A third item, however small; its bytes are not kept.
    assert not waiting.offer("fourth", 50)
    for expected in ("second", "third"):
        with waiting.take(0) as item:
            assert item == expected
    with waiting.take(0) as item:
        assert item is None
    assert waiting.offer("all of it", 100)


def test_work_that_fails_gives_its_room_back() -> None:
    waiting: BoundedQueue[str] = BoundedQueue(1, 10)
    for _ in range(3):
        assert waiting.offer("item", 10)
        try:
            with waiting.take(0):
                raise OSError("disk full")
        except OSError:
            assert waiting.is_empty()
