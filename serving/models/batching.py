"""Requests that wait at the same time are answered as one batch.

A thread that becomes idle takes the oldest request and whatever else fits to it: a request that finds an idle thread
does not wait, and the busier the server, the larger its batches. What cannot be answered in time is not begun.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import grpc
import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from schema import exported_model
from serving.models.batching_parameters import BatchingParameters
from serving.models.runnable import Array, Call, Runnable
from serving.protocol.errors import RequestError

_REMEMBERED_BATCHES: Final = 16

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


class BatchScheduler:
    """Threads that run batches, and a queue of bounded length before them."""

    def __init__(self, parameters: BatchingParameters, observers: Sequence[BatchObserver] = ()) -> None:
        self.parameters = parameters
        self._observers = observers
        self._waiting: collections.deque[_Task] = collections.deque()
        self._waiting_images = 0
        self._condition = threading.Condition()
        self._seconds_per_image: collections.deque[float] = collections.deque(maxlen=_REMEMBERED_BATCHES)
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
        self._enqueue(tasks)
        outputs = []
        for number, task in enumerate(tasks):
            try:
                outputs.append(self._result(task))
            except RequestError as error:
                # It counts the images of the part, and those that filled it up.
                message = exported_model.renumbered(error.message, number * largest, task.size, size)
                raise RequestError(error.code, message) from error
        return outputs[0] if len(outputs) == 1 else _joined(outputs)

    def _enqueue(self, tasks: Sequence[_Task]) -> None:
        images = sum(task.size for task in tasks)
        with self._condition:
            if self._is_stopped:
                raise RequestError(grpc.StatusCode.UNAVAILABLE, "the server is stopping")
            limit = self.parameters.max_waiting_images
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
        """The oldest task that can be answered in time, and others that fit to it; None when the scheduler stops."""
        with self._condition:
            while not self._waiting:
                if self._is_stopped:
                    return None
                self._condition.wait()
            self._wait_for_more()
            batch: list[_Task] = []
            images = 0
            left: collections.deque[_Task] = collections.deque()
            for task in self._waiting:
                if self._is_late(task):
                    self._waiting_images -= task.size
                elif not batch or self._fits(batch, images, task):
                    batch.append(task)
                    images += task.size
                else:
                    left.append(task)
            self._waiting = left
            self._waiting_images -= images
            return batch

    def _fits(self, batch: Sequence[_Task], images: int, task: _Task) -> bool:
        """Whether a task can join a batch, and none of them is then answered too late. The caller holds the lock."""
        size = images + task.size
        if task.key is None or task.key != batch[0].key or size > self.parameters.max_batch_size:
            return False
        deadlines = [one.call.deadline_monotonic for one in (*batch, task) if one.call.deadline_monotonic is not None]
        return not deadlines or time.monotonic() + size * self._usual_seconds_per_image() < min(deadlines)

    def _usual_seconds_per_image(self) -> float:
        """What the median of the last batches took, 0 before there was one."""
        return statistics.median(self._seconds_per_image or [0.0])

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
        deadline = task.call.deadline_monotonic
        if deadline is None:
            return False
        # Where others could use the time, what the fastest of the last batches would not have finished is not begun.
        has_others = len(self._waiting) > 1
        needed = min(self._seconds_per_image, default=0.0) * task.size if has_others else 0.0
        if time.monotonic() + needed < deadline:
            return False
        _fail(task, grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline exceeded before the work could start")
        return True

    def _run(self, batch: Sequence[_Task]) -> None:
        size = sum(task.size for task in batch)
        started = time.monotonic()
        try:
            outputs = self._outputs(batch, size)
        except Exception as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            # One of them may be at fault: each is tried alone, so that it fails alone.
            for task in batch:
                self._run([task])
            return
        for task, own in zip(batch, outputs, strict=True):
            task.future.set_result(own)
        seconds = time.monotonic() - started
        self._seconds_per_image.append(seconds / max(1, size))
        for observer in self._observers:
            observer(size, seconds)

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
