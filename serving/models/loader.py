"""Makes a version answer: loads it, wraps it into what batches requests, and warms it up."""

from __future__ import annotations

import logging
import os
import pathlib
import sys
import threading

from serving.models.batching import BatchedModel, BatchScheduler
from serving.models.loaded_model import LoadedModel
from serving.models.runnable import Runnable
from serving.models.warmup import warm_up

_LOG = logging.getLogger(__name__)
_LOADING_NICENESS = 10


class Loader:
    """Loads versions; what they answer goes through one scheduler of batches, if there is one."""

    def __init__(self, scheduler: BatchScheduler | None = None) -> None:
        self._scheduler = scheduler

    def load(self, model_name: str, version: int, path: pathlib.Path) -> Runnable:
        """A version that answers, warmed up.

        Raises:
          Exception: whatever a broken version makes TensorFlow raise.
        """
        with _LowPriority():
            model = LoadedModel(version, path)
            try:
                requests = warm_up(model, path)
            except BaseException:
                model.close()
                raise
        _LOG.info("%s version %d: %d warm-up requests were run", model_name, version, requests)
        return BatchedModel(model, self._scheduler) if self._scheduler else model


class _LowPriority:
    """Loading takes seconds of a core, which those that wait for answers need more; on Linux a thread can be nice."""

    def __enter__(self) -> None:
        self._set(_LOADING_NICENESS)

    def __exit__(self, *_: object) -> None:
        self._set(0)

    @staticmethod
    def _set(niceness: int) -> None:
        if sys.platform != "linux":
            return
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
        except PermissionError:
            # Back from nice takes a privilege: then the thread, which does nothing but loading, stays as it is.
            _LOG.debug("the priority of the loading thread cannot be changed")
