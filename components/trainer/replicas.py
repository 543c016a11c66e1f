"""Where a step is computed: on one device, on several of this machine, or by several workers as well.

Variables are plain ones, one of each in a process: whatever makes, reads, keeps or exports them needs to know nothing
of devices. A replica computes gradients from a part of the batch; their mean goes over the network where there are
several workers, and every worker makes the same update of its own variables. (``tf.distribute`` has the devices and
workers talk to each other; its mirrored variables and optimizers are not used. Keras 3 has no others for workers.)
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal

import tensorflow as tf

from components.user_error import UserError

_CLUSTER_VARIABLE: Final = "TF_CONFIG"
_NO_ANSWER: Final = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.FailedPreconditionError,
    tf.errors.DeadlineExceededError,
    tf.errors.CancelledError,
    tf.errors.InternalError,
)


class WorkerGoneError(UserError):
    """Another worker of the training does not answer any more, or trains something else."""


class Replicas:
    """The devices of this process, and its place among the workers.

    Args:
      strategy: how they exchange tensors; None: one device, nothing to exchange.
      worker: number of this process, from 0.
      workers: how many processes train together.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None, *, worker: int = 0, workers: int = 1) -> None:
        self._strategy = strategy
        self.worker = worker
        self.workers = workers
        self.devices = strategy.num_replicas_in_sync // workers if strategy is not None else 1

    @property
    def count(self) -> int:
        """Parts into which a batch is divided, of all workers."""
        return self.workers * self.devices

    @property
    def is_chief(self) -> bool:
        """Whether this process writes checkpoints, logs and the export."""
        return self.worker == 0

    def mean(self, compute: Callable[[int | tf.Tensor], Sequence[tf.Tensor]]) -> list[tf.Tensor]:
        """Runs ``compute`` on every device and averages what it returns, for use within a ``tf.function``.

        Args:
          compute: gets the number of the device in this process, from 0. It changes no variable.

        Returns:
          Means over all replicas; of tensors that are not floating-point those of the first device.
        """
        if self._strategy is None:
            return list(compute(0))
        strategy = self._strategy

        def on_device() -> list[tf.Tensor]:
            context = tf.distribute.get_replica_context()
            outputs = list(compute(context.replica_id_in_sync_group - self.worker * self.devices))
            floating = [index for index, output in enumerate(outputs) if output.dtype.is_floating]
            means = context.all_reduce(tf.distribute.ReduceOp.MEAN, [outputs[index] for index in floating])
            for index, mean in zip(floating, means, strict=True):
                outputs[index] = mean
            return outputs

        return [strategy.experimental_local_results(output)[0] for output in strategy.run(on_device)]

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Around what waits for other workers.

        Raises:
          WorkerGoneError: one does not answer any more.
        """
        try:
            yield
        except tf.errors.OpError as error:
            if self.workers == 1 or not isinstance(error, _NO_ANSWER):
                raise
            raise WorkerGoneError(
                f"worker {self.worker} of {self.workers} gets no answer from another one any more: it was ended, or "
                "its machine is gone. End them all and start them together: they go on from the chief's last "
                f"checkpoint ({error.message.splitlines()[0] if error.message else error})"
            ) from error

    def check_same(self, what: str, value: float) -> None:
        """Waits for all workers, each of which has to come with the same value.

        Raises:
          WorkerGoneError: they do not.
        """
        if self.workers == 1:
            return
        exchange = tf.function(lambda: self.mean(lambda _: [tf.constant([value, value**2], tf.float64)])[0])
        with self.watched():
            mean, mean_of_squares = exchange().numpy().tolist()
        # Every worker has to see it: where all are the same there is no variance.
        if mean_of_squares - mean**2 > 1e-9 * max(mean_of_squares, 1.0):
            raise WorkerGoneError(
                f"the {self.workers} workers do not train the same: their {what} differ (this one, number "
                f"{self.worker}, has {value:g}, the mean is {mean:g}). End them all and start them together"
            )


ONE_DEVICE: Final = Replicas()


def make_replicas(devices: Literal["auto"] | Sequence[str]) -> Replicas:
    """Those of the settings and, for several workers, of the environment variable ``TF_CONFIG``.

    Before anything else of TensorFlow in the process when there are workers.

    Args:
      devices: ``train.devices``.

    Raises:
      UserError: a device is not there, or workers cannot be set up.
    """
    worker, workers = cluster_place()
    if workers > 1:
        try:
            return Replicas(_between_workers(), worker=worker, workers=workers)
        except RuntimeError as error:
            raise UserError(
                f"{_CLUSTER_VARIABLE} names {workers} workers, but TensorFlow has been used in this process before the "
                "training began: with several workers the Trainer has to run in a process of its own "
                f"(docs/transfer.md, several workers): {error}"
            ) from error
    if devices == "auto":
        found = [device.name for device in tf.config.list_logical_devices("GPU")]
        return Replicas(_between_devices(tuple(found))) if len(found) > 1 else ONE_DEVICE
    known = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()]
    missing = [device for device in devices if device not in known]
    if missing:
        raise UserError(f"train.devices: found {', '.join(missing)}; this machine has {', '.join(known)}")
    return Replicas(_between_devices(tuple(f"/device:{device}" for device in devices)))


@functools.cache
def _between_devices(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """One in a process: a second counts its exchanges from the start, and they would mix with those of the first."""
    return tf.distribute.MirroredStrategy(devices)


@functools.cache
def _between_workers() -> tf.distribute.Strategy:
    return tf.distribute.MultiWorkerMirroredStrategy()


def check_divides(replicas: Replicas, batch_size: int, batch_parts: int) -> None:
    """Whether every device gets as many images as the others.

    Raises:
      UserError: it does not.
    """
    if batch_size % (replicas.count * batch_parts):
        raise UserError(
            f"train.batch_size: found {batch_size}, expected a multiple of {replicas.count * batch_parts}: "
            f"{replicas.workers} worker(s) with {replicas.devices} device(s) each (train.devices), each of which "
            f"computes its share in {batch_parts} part(s) (train.batch_parts)"
        )


def cluster_place() -> tuple[int, int]:
    """Number of this process among the workers of ``TF_CONFIG``, the chief first, and how many there are.

    Raises:
      UserError: it cannot be read, or has a kind of task that this training does not know.
    """
    text = os.environ.get(_CLUSTER_VARIABLE)
    if not text:
        return 0, 1
    try:
        config = json.loads(text)
        cluster = {kind: list(addresses) for kind, addresses in config.get("cluster", {}).items()}
        kind, index = (config["task"]["type"], int(config["task"]["index"])) if cluster else ("worker", 0)
        chiefs, workers = cluster.pop("chief", []), cluster.pop("worker", [])
        if cluster or kind not in ("chief", "worker"):
            raise ValueError(f"only tasks `chief` and `worker` train, found {', '.join([*cluster, kind])}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f'{_CLUSTER_VARIABLE}: expected JSON such as {{"cluster": {{"worker": ["host1:2222", "host2:2222"]}}, '
            f'"task": {{"type": "worker", "index": 0}}}}, found {text!r}: {error}'
        ) from error
    return (index if kind == "chief" else len(chiefs) + index), max(len(chiefs) + len(workers), 1)
