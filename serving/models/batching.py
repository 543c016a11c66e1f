"""Requests that wait at the same time are answered as one batch.

A request that finds an idle thread runs at once, in its caller's own: to hand it over takes a share of the time of a
small model. A thread that becomes idle takes the largest batch that can be answered in time, so that batches grow as
the server gets busier. What cannot be answered in time is not begun.

That is said when its time is over, and not when it comes: callers that are refused at once may ask again at once, a
thousand times a second, which takes more of the processor than their images would.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import grpc
import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from schema import exported_model
from serving.models.batch_timing import BatchTiming
from serving.models.batching_parameters import BatchingParameters
from serving.models.runnable import Array, Call, Runnable
from serving.protocol.errors import RequestError

BatchObserver = Callable[[int, float], None]
"""Is told the images of every batch and its seconds."""


@dataclasses.dataclass(eq=False)
class _Task:
    """A call, or a part of one, that waits."""

    model: Runnable
    call: Call
    size: int
    key: tuple[object, ...] | None
    """What tasks have in common that can be run as one; None: it runs alone, and is not padded."""
    future: concurrent.futures.Future[dict[str, Array]] = dataclasses.field(
        default_factory=concurrent.futures.Future, init=False
    )
    queued_monotonic: float = dataclasses.field(default_factory=time.monotonic, init=False)

    def seconds_left(self, now: float) -> float:
        """Until its deadline; infinite without one."""
        deadline = self.call.deadline_monotonic
        return math.inf if deadline is None else deadline - now


class BatchScheduler:
    """Threads that run batches, and a queue of bounded length before them."""

    def __init__(self, parameters: BatchingParameters, observers: Sequence[BatchObserver] = ()) -> None:
        self.parameters = parameters
        self._observers = observers
        self._waiting: collections.deque[_Task] = collections.deque()
        self._waiting_images = 0
        self._condition = threading.Condition()
        self._running_batches = 0
        self._timing = BatchTiming()
        self._is_stopped = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{number}", daemon=True)
            for number in range(parameters.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting_images(self) -> int:
        """Images in the queue."""
        with self._condition:
            return self._waiting_images

    def stop(self, timeout_seconds: float) -> None:
        """Refuses what waits and lets what runs end, if it does in time."""
        with self._condition:
            self._is_stopped = True
            waiting = list(self._waiting)
            self._waiting.clear()
            self._waiting_images = 0
            self._condition.notify_all()
        for task in waiting:
            _fail(task, grpc.StatusCode.UNAVAILABLE, "the server is stopping")
        until = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        with self._condition:
            # Others run in threads of their callers.
            self._condition.wait_for(lambda: not self._running_batches, max(0.0, until - time.monotonic()))

    def run(self, model: Runnable, call: Call, *, merges: bool = True) -> dict[str, Array]:
        """Runs a call in batches with others, or in its turn alone; waits for its outputs.

        Raises:
          RequestError: RESOURCE_EXHAUSTED, too many wait; DEADLINE_EXCEEDED or CANCELLED, nobody waits any more;
            INVALID_ARGUMENT, it has more images than a batch may have, and cutting is not allowed; or what the model
            refuses it with.
        """
        size = _images(call.inputs)
        largest = self.parameters.max_batch_size
        if size > largest and not self.parameters.splits_large_requests:
            raise RequestError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"Task size {size} is larger than maximum input batch size {largest} (max_batch_size)",
            )
        parts = [call] if size <= largest else [*_cut(call, size, largest)]
        tasks = [_Task(model, part, _images(part.inputs), _key(model, part) if merges else None) for part in parts]
        if self._enqueue(tasks):
            self._run(tasks)
        outputs = []
        for number, task in enumerate(tasks):
            try:
                outputs.append(self._result(task))
            except RequestError as error:
                # It counts the images of the part, and those that filled it up.
                message = exported_model.renumbered(error.message, number * largest, task.size, size)
                raise RequestError(error.code, message) from error
        return outputs[0] if len(outputs) == 1 else _joined(outputs)

    def _enqueue(self, tasks: Sequence[_Task]) -> bool:
        """Puts tasks into the queue; True: a lone one has nothing to wait for, and has the place of a batch instead."""
        images = sum(task.size for task in tasks)
        with self._condition:
            if self._is_stopped:
                raise RequestError(grpc.StatusCode.UNAVAILABLE, "the server is stopping")
            waits_for_more = tasks[0].key is not None and self.parameters.batch_timeout_micros > 0
            if len(tasks) == 1 and not self._waiting and self._has_free_thread() and not waits_for_more:
                if self._is_late(tasks[0]):
                    return False
                self._running_batches += 1
                return True
            limit = self.parameters.max_waiting_images
            if self._waiting_images + images > limit:
                self._drop_late()
            # An empty queue takes any request that the limits of requests allow.
            if self._waiting_images and self._waiting_images + images > limit:
                raise RequestError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    f"The batch scheduling queue is full: {self._waiting_images} images wait, the limit is {limit} "
                    "(max_enqueued_batches x max_batch_size)",
                )
            self._waiting.extend(tasks)
            self._waiting_images += images
            self._condition.notify(len(tasks))
            return False

    def _has_free_thread(self) -> bool:
        return self._running_batches < self.parameters.num_batch_threads

    @staticmethod
    def _result(task: _Task) -> dict[str, Array]:
        deadline = task.call.deadline_monotonic
        try:
            return task.future.result(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except concurrent.futures.TimeoutError:
            # Whoever takes it from the queue sees that it is late.
            raise RequestError(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline exceeded") from None

    def _work(self) -> None:
        while True:
            batch = self._take()
            if batch is None:
                return
            if batch:
                self._run(batch)

    def _take(self) -> list[_Task] | None:
        """The next batch, which has its place then; None when the scheduler stops."""
        with self._condition:
            while not self._waiting or not self._has_free_thread():
                if self._is_stopped:
                    return None
                self._condition.wait()
            self._wait_for_more()
            if not self._has_free_thread():
                return []
            self._drop_late()
            batch = self._next_batch()
            self._remove(batch)
            self._running_batches += bool(batch)
            return batch

    def _next_batch(self) -> list[_Task]:
        """Tasks that fit to the oldest one, as many as can all be answered in time. The caller holds the lock."""
        if not self._waiting:
            return []
        first, now = self._waiting[0], time.monotonic()
        if first.key is None:
            return [first]
        seconds_left = {task: task.seconds_left(now) for task in self._waiting if task.key == first.key}
        images = most = 0
        for task, left in sorted(seconds_left.items(), key=lambda pair: -pair[1]):
            if images + task.size > self.parameters.max_batch_size:
                continue
            images += task.size
            if self._timing.safe_seconds(images) >= left:
                break
            most = images
        needed = self._timing.safe_seconds(most)
        # Of those that have time for a batch of that size, the oldest.
        batch, images = [], 0
        for task, left in seconds_left.items():
            if left > needed and images + task.size <= most:
                batch.append(task)
                images += task.size
        return batch or [first]

    def _drop_late(self) -> None:
        """Fails those in the queue that nobody waits for. The caller holds the lock."""
        self._remove([task for task in self._waiting if self._is_late(task)])

    def _remove(self, tasks: Sequence[_Task]) -> None:
        """Takes tasks out of the queue. The caller holds the lock."""
        if tasks:
            removed = set(tasks)
            self._waiting = collections.deque(task for task in self._waiting if task not in removed)
            self._waiting_images -= sum(task.size for task in tasks)

    def _wait_for_more(self) -> None:
        """Waits for a batch to fill, as long as the parameters allow. The caller holds the lock."""
        pause = self.parameters.batch_timeout_micros / 1e6
        while pause and self._waiting and not self._is_stopped:
            first = self._waiting[0]
            if first.key is None:
                return
            remaining = first.queued_monotonic + pause - time.monotonic()
            fitting = sum(task.size for task in self._waiting if task.key == first.key)
            if remaining <= 0 or fitting >= self.parameters.max_batch_size:
                return
            self._condition.wait(remaining)

    def _is_late(self, task: _Task) -> bool:
        """Whether nobody will wait for the answer; such a task is failed here. The caller holds the lock."""
        if task.call.is_cancelled():
            _fail(task, grpc.StatusCode.CANCELLED, "the caller has gone")
            return True
        # Where others could use the time, what would not be finished is not begun.
        has_others = len(self._waiting) > 1
        needed = self._timing.usual_seconds(task.size) if has_others else 0.0
        if task.seconds_left(time.monotonic()) > needed:
            return False
        _fail(task, grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline exceeded before the work could start")
        return True

    def _run(self, batch: Sequence[_Task]) -> None:
        """Runs a batch that has its place, and gives the place back."""
        images, started = sum(task.size for task in batch), time.monotonic()
        is_whole = False
        try:
            is_whole = self._answer(batch)
        finally:
            seconds = time.monotonic() - started
            with self._condition:
                self._running_batches -= 1
                if is_whole:
                    self._timing.add(images, seconds)
                if self._waiting or self._is_stopped:
                    self._condition.notify_all()
        if is_whole:
            for observer in self._observers:
                observer(images, seconds)

    def _answer(self, batch: Sequence[_Task]) -> bool:
        """Answers all tasks of a batch; False: it failed, and each was tried alone, so that it fails alone."""
        try:
            outputs = self._outputs(batch, sum(task.size for task in batch))
        except Exception as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
            else:
                for task in batch:
                    self._answer([task])
            return False
        for task, own in zip(batch, outputs, strict=True):
            task.future.set_result(own)
        return True

    def _outputs(self, batch: Sequence[_Task], size: int) -> list[dict[str, Array]]:
        """Outputs of every task."""
        first = batch[0]
        padded = size if first.key is None else self.parameters.padded_size(size)
        if len(batch) == 1 and padded == size:
            return [first.model.run(first.call)]
        merged = {
            alias: np.concatenate(
                [*(task.call.inputs[alias] for task in batch), *[batch[-1].call.inputs[alias][-1:]] * (padded - size)]
            )
            for alias in first.call.inputs
        }
        outputs = first.model.run(dataclasses.replace(first.call, inputs=merged))
        ends = np.cumsum([task.size for task in batch])
        return [
            {alias: array[end - task.size : end] for alias, array in outputs.items()}
            for task, end in zip(batch, ends.tolist(), strict=True)
        ]


class BatchedModel:
    """A model whose calls are merged with those of others, where its signature has a free batch dimension."""

    def __init__(self, model: Runnable, scheduler: BatchScheduler, *, merges: bool = True) -> None:
        """Without `merges` calls wait in the queue of the others, and run alone."""
        self.version = model.version
        self.signature_defs: Mapping[str, meta_graph_pb2.SignatureDef] = model.signature_defs
        self._model = model
        self._scheduler = scheduler
        self._merges = merges
        self._batched = {name for name, definition in self.signature_defs.items() if _has_batches(definition)}

    def run(self, call: Call) -> dict[str, Array]:
        """See `Runnable.run` and `BatchScheduler.run`."""
        if call.joins_batches and call.signature_name in self._batched and _images(call.inputs) > 0:
            return self._scheduler.run(self._model, call, merges=self._merges)
        return self._model.run(call)

    def close(self) -> None:
        """Frees the model."""
        self._model.close()


def _has_batches(definition: meta_graph_pb2.SignatureDef) -> bool:
    """Is the first dimension of everything that goes in and comes out free?"""
    infos = [*definition.inputs.values(), *definition.outputs.values()]
    return bool(definition.inputs) and all(
        not info.tensor_shape.unknown_rank and info.tensor_shape.dim and info.tensor_shape.dim[0].size == -1
        for info in infos
    )


def _images(inputs: Mapping[str, Array]) -> int:
    """Length of the batch dimension."""
    sizes = {len(array) for array in inputs.values()}
    if len(sizes) != 1:
        raise RequestError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"Batching input tensors must have equal 0th-dimension size, found {sorted(sizes)}",
        )
    return sizes.pop()


def _key(model: Runnable, call: Call) -> tuple[object, ...]:
    """What calls have in common that can be run as one."""
    tails = tuple(sorted((alias, array.dtype.str, array.shape[1:]) for alias, array in call.inputs.items()))
    return (id(model), call.signature_name, tuple(call.output_aliases), tails)


def _cut(call: Call, size: int, largest: int) -> Iterator[Call]:
    for start in range(0, size, largest):
        inputs = {alias: array[start : start + largest] for alias, array in call.inputs.items()}
        yield dataclasses.replace(call, inputs=inputs)


def _joined(parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    return {alias: np.concatenate([part[alias] for part in parts]) for alias in parts[0]}


def _fail(task: _Task, code: grpc.StatusCode, message: str) -> None:
    task.future.set_exception(RequestError(code, message))
