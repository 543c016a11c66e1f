"""Makes a version answer: loads it, wraps it into what batches requests, and warms it up."""

from __future__ import annotations

import logging
import pathlib

from serving.models.batching import BatchedModel, BatchScheduler
from serving.models.freed_memory import give_back_freed_memory
from serving.models.loaded_model import LoadedModel
from serving.models.runnable import Runnable
from serving.models.served_device_model import ServedDeviceModel
from serving.models.warmup import warm_up

_LOG = logging.getLogger(__name__)


class Loader:
    """Loads versions; what they answer goes through one scheduler of batches, if there is one."""

    def __init__(self, scheduler: BatchScheduler | None = None, *, are_device_models: bool = False) -> None:
        """Loads nothing yet.

        Args:
          scheduler: of batches; None: there are none.
          are_device_models: versions are device models and no SavedModels.
        """
        self._scheduler = scheduler
        self._are_device_models = are_device_models

    def load(self, model_name: str, version: int, path: pathlib.Path) -> Runnable:
        """A version that answers, warmed up.

        Raises:
          Exception: whatever a broken version makes TensorFlow raise.
        """
        if self._are_device_models:
            device_model = ServedDeviceModel(version, path)
            # Together its requests would take as long as one after the other, and the first as long as the last.
            return BatchedModel(device_model, self._scheduler, merges=False) if self._scheduler else device_model
        model = LoadedModel(version, path)
        try:
            requests = warm_up(model, path)
        except BaseException:
            model.close()
            raise
        give_back_freed_memory()
        _LOG.info("%s version %d: %d warm-up requests were run", model_name, version, requests)
        return BatchedModel(model, self._scheduler) if self._scheduler else model
