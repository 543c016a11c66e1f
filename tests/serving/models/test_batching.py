"""Merging of requests: everybody gets their own answer, and what cannot be answered in time is not begun."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable, Iterator

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from schema.exported_model import UNREADABLE_IMAGE
from serving.models.batch_timing import BatchTiming
from serving.models.batching import BatchedModel, BatchScheduler
from serving.models.batching_parameters import BatchingParameters
from serving.models.runnable import Array, Call
from serving.protocol.errors import RequestError


def _definition() -> meta_graph_pb2.SignatureDef:
    info = meta_graph_pb2.TensorInfo(dtype=tf.float32.as_datatype_enum, tensor_shape={"dim": [{"size": -1}]})
    return meta_graph_pb2.SignatureDef(inputs={"x": info}, outputs={"y": info})


class _Doubling:
    """Doubles; a negative number fails its batch as a damaged image does. It waits at `gate`, and remembers batches."""

    def __init__(self) -> None:
        self.version = 1
        self.signature_defs = {"serving_default": _definition()}
        self.batches: list[list[float]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.is_running = threading.Event()
        self.threads: list[str] = []

    def run(self, call: Call) -> dict[str, Array]:
        self.threads.append(threading.current_thread().name)
        self.is_running.set()
        self.gate.wait(60)
        values = call.inputs["x"]
        self.batches.append(values.tolist())
        if (values < 0).any():
            indices = " ".join(str(index) for index in np.flatnonzero(values < 0))
            message = f"assertion failed: [{UNREADABLE_IMAGE} at index] [{indices}] [of a batch of] [{len(values)}]"
            raise RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)
        return {"y": 2 * values}

    def close(self) -> None:
        pass


Make = Callable[..., tuple[_Doubling, BatchedModel, BatchScheduler]]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[tuple[_Doubling, BatchScheduler]] = []

    def build(**parameters: object) -> tuple[_Doubling, BatchedModel, BatchScheduler]:
        given = {"max_batch_size": 4, "num_batch_threads": 1, "max_enqueued_batches": 4, **parameters}
        model, scheduler = _Doubling(), BatchScheduler(BatchingParameters(**given))
        made.append((model, scheduler))
        return model, BatchedModel(model, scheduler), scheduler

    yield build
    for model, scheduler in made:
        model.gate.set()
        scheduler.stop(10)


class _TenSecondsAnImage(BatchTiming):
    """Whatever was measured."""

    def usual_seconds(self, images: int) -> float:
        return 10.0 * images

    def safe_seconds(self, images: int) -> float:
        return 10.0 * images


def _call(*values: float, **more: object) -> Call:
    return Call("serving_default", {"x": np.array(values, np.float32)}, **more)


def _behind_a_busy_thread(
    model: _Doubling, batched: BatchedModel, scheduler: BatchScheduler, calls: list[Call]
) -> list[concurrent.futures.Future[dict[str, Array]]]:
    """Calls that come, in this order, while a first one is running; it is let go when all of them wait."""
    model.gate.clear()
    pool = concurrent.futures.ThreadPoolExecutor(len(calls) + 1)
    first = pool.submit(batched.run, _call(100.0))
    assert model.is_running.wait(10)
    futures = []
    for call in calls:
        before = scheduler.waiting_images
        futures.append(pool.submit(batched.run, call))
        until = time.monotonic() + 10
        while scheduler.waiting_images == before and not futures[-1].done() and time.monotonic() < until:
            time.sleep(0.001)
    model.gate.set()
    first.result(10)
    return futures


def test_a_lone_request_runs_at_once_and_those_that_wait_together_as_one_batch(make: Make) -> None:
    model, batched, scheduler = make()
    futures = _behind_a_busy_thread(model, batched, scheduler, [_call(1), _call(2, 3), _call(4, 5), _call(6)])
    assert [future.result(10)["y"].tolist() for future in futures] == [[2], [4, 6], [8, 10], [12]]
    # The third does not fit, the fourth does.
    assert model.batches == [[100], [1, 2, 3, 6], [4, 5]]


def test_who_finds_an_idle_thread_needs_none(make: Make) -> None:
    model, batched, scheduler = make()
    batched.run(_call(1))
    assert model.threads == [threading.current_thread().name]
    futures = _behind_a_busy_thread(model, batched, scheduler, [_call(2)])
    assert futures[0].result(10)["y"].tolist() == [4]
    assert model.threads[-1] == "batch-0"
    # Waiting for others is what the threads are for.
    model, batched, _ = make(batch_timeout_micros=1)
    batched.run(_call(1))
    assert model.threads == ["batch-0"]


def test_what_gains_nothing_by_it_is_not_merged_and_not_padded(make: Make) -> None:
    model, _, scheduler = make(allowed_batch_sizes=(4,))
    batched = BatchedModel(model, scheduler, merges=False)
    futures = _behind_a_busy_thread(model, batched, scheduler, [_call(1), _call(2, 3), _call(4)])
    assert [future.result(10)["y"].tolist() for future in futures] == [[2], [4, 6], [8]]
    assert model.batches == [[100], [1], [2, 3], [4]]


def test_what_is_at_fault_fails_alone(make: Make) -> None:
    model, batched, scheduler = make()
    futures = _behind_a_busy_thread(model, batched, scheduler, [_call(1), _call(-2), _call(3)])
    assert futures[0].result(10)["y"].tolist() == [2] and futures[2].result(10)["y"].tolist() == [6]
    with pytest.raises(RequestError, match=r"at index 0 of a batch of 1$"):
        futures[1].result(10)


def test_what_joins_no_batch_runs_at_once_whatever_waits(make: Make) -> None:
    model, batched, _ = make()
    model.gate.clear()
    pool = concurrent.futures.ThreadPoolExecutor(2)
    first = pool.submit(batched.run, _call(1))
    assert model.is_running.wait(10)
    model.is_running.clear()
    beside = pool.submit(batched.run, _call(2, 3, joins_batches=False))
    # The one thread of batches is busy.
    assert model.is_running.wait(10)
    model.gate.set()
    assert first.result(10)["y"].tolist() == [2] and beside.result(10)["y"].tolist() == [4, 6]
    assert sorted(model.batches) == [[1], [2, 3]]


def test_a_full_queue_refuses(make: Make) -> None:
    model, batched, scheduler = make(max_enqueued_batches=1)
    futures = _behind_a_busy_thread(model, batched, scheduler, [_call(1, 2), _call(3, 4), _call(5)])
    with pytest.raises(RequestError, match="4 images wait, the limit is 4") as caught:
        futures[2].result(10)
    assert caught.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert futures[1].result(10)["y"].tolist() == [6, 8]
    assert scheduler.waiting_images == 0


def test_nobody_works_for_those_who_have_gone_or_are_late(make: Make) -> None:
    model, batched, scheduler = make()
    gone = threading.Event()
    futures = _behind_a_busy_thread(
        model,
        batched,
        scheduler,
        [_call(1, is_cancelled=gone.is_set), _call(2), _call(3, deadline_monotonic=time.monotonic() + 0.05)],
    )
    assert futures[0].result(10)["y"].tolist() == [2]
    gone.set()
    model.batches.clear()
    model.gate.clear()
    model.is_running.clear()
    futures = _behind_a_busy_thread(
        model,
        batched,
        scheduler,
        [_call(1, is_cancelled=gone.is_set), _call(2, deadline_monotonic=time.monotonic()), _call(3)],
    )
    codes = []
    for future in futures[:2]:
        with pytest.raises(RequestError) as caught:
            future.result(10)
        codes.append(caught.value.code)
    assert codes == [grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED]
    assert futures[2].result(10)["y"].tolist() == [6]
    assert model.batches == [[100], [3]]


def test_a_batch_is_no_larger_than_its_members_have_time_for(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batched, scheduler = make()
    monkeypatch.setattr(scheduler, "_timing", _TenSecondsAnImage())
    soon = time.monotonic() + 25
    calls = [_call(value, deadline_monotonic=soon) for value in (1, 2, 3)]
    futures = _behind_a_busy_thread(model, batched, scheduler, [*calls, _call(4)])
    assert [future.result(10)["y"].tolist() for future in futures] == [[2], [4], [6], [8]]
    assert model.batches == [[100], [1, 2], [3, 4]]


def test_the_largest_batch_that_is_in_time_runs_first(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batched, scheduler = make()
    monkeypatch.setattr(scheduler, "_timing", _TenSecondsAnImage())
    now = time.monotonic()
    calls = [_call(value, deadline_monotonic=now + seconds) for value, seconds in ((1, 15), (2, 35), (3, 25), (4, 35))]
    futures = _behind_a_busy_thread(model, batched, scheduler, calls)
    assert [future.result(10)["y"].tolist() for future in futures] == [[2], [4], [6], [8]]
    # Three would take 30 s, for which the third has no time; the first has none for two, and is not begun before them.
    assert model.batches == [[100], [2, 3], [1], [4]]


def test_a_full_queue_has_room_where_somebody_is_late(make: Make) -> None:
    model, batched, scheduler = make(max_enqueued_batches=1)
    soon = time.monotonic() + 0.2
    model.gate.clear()
    pool = concurrent.futures.ThreadPoolExecutor(4)
    first = pool.submit(batched.run, _call(100))
    assert model.is_running.wait(10)
    late = pool.submit(batched.run, _call(1, 2, 3, 4, deadline_monotonic=soon))
    with pytest.raises(RequestError) as caught:
        late.result(10)
    assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert scheduler.waiting_images == 4
    last = pool.submit(batched.run, _call(5))
    while scheduler.waiting_images != 1:
        time.sleep(0.001)
    model.gate.set()
    assert first.result(10)["y"].tolist() == [200] and last.result(10)["y"].tolist() == [10]
    assert model.batches == [[100], [5]]


def test_large_requests_are_cut_or_refused(make: Make) -> None:
    model, batched, _ = make()
    assert batched.run(_call(*range(10)))["y"].tolist() == [2 * value for value in range(10)]
    assert {len(batch) for batch in model.batches} == {4, 2}
    _, batched, _ = make(splits_large_requests=False)
    with pytest.raises(RequestError, match="Task size 10 is larger than maximum input batch size 4"):
        batched.run(_call(*range(10)))


def test_what_is_at_fault_is_named_by_its_place_in_the_request(make: Make) -> None:
    _, batched, _ = make(allowed_batch_sizes=(4,))
    # Cut into four and two, which are filled up to four by the last one.
    with pytest.raises(RequestError, match=r"at index 5 of a batch of 6$"):
        batched.run(_call(0, 1, 2, 3, 4, -5))
    with pytest.raises(RequestError, match=r"at index 1 3 of a batch of 6$"):
        batched.run(_call(0, -1, 2, -3, 4, 5))


def test_batches_are_padded_to_the_sizes_that_are_allowed(make: Make) -> None:
    model, batched, _ = make(allowed_batch_sizes=(2, 4))
    assert batched.run(_call(1))["y"].tolist() == [2]
    assert batched.run(_call(1, 2, 3))["y"].tolist() == [2, 4, 6]
    assert model.batches == [[1, 1], [1, 2, 3, 3]]


def test_a_batch_waits_for_more_as_long_as_it_may(make: Make) -> None:
    model, batched, _ = make(batch_timeout_micros=60_000_000, max_batch_size=3)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(batched.run, _call(value)) for value in (1, 2, 3)]
        assert sorted(future.result(30)["y"][0] for future in futures) == [2, 4, 6]
    assert [sorted(batch) for batch in model.batches] == [[1, 2, 3]]


def test_an_empty_request_and_one_without_a_batch_are_the_model_s_own(make: Make) -> None:
    model, batched, _ = make()
    assert batched.run(_call())["y"].tolist() == []
    assert model.batches == [[]]


def test_what_waits_when_the_server_stops_is_told(make: Make) -> None:
    model, batched, scheduler = make()
    model.gate.clear()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        running = pool.submit(batched.run, _call(1))
        assert model.is_running.wait(10)
        waiting = pool.submit(batched.run, _call(2))
        while not scheduler.waiting_images:
            time.sleep(0.001)
        scheduler.stop(0)
        with pytest.raises(RequestError, match="stopping"):
            waiting.result(10)
        model.gate.set()
        assert running.result(10)["y"].tolist() == [2]
    with pytest.raises(RequestError, match="stopping"):
        batched.run(_call(3))
