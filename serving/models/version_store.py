"""The versions of one model that are in memory, and the states of those that came and went."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
from collections.abc import Callable, Iterator

from tensorflow_serving.apis import get_model_status_pb2

from serving.models.runnable import Runnable

_LOG = logging.getLogger(__name__)
_KEPT_STATUSES = 32

State = get_model_status_pb2.ModelVersionStatus.State


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """What GetModelStatus says of a version: its state and, when it failed, why."""

    state: int
    error: str = ""


@dataclasses.dataclass
class _Held:
    """A model that answers, and how many requests are using it."""

    model: Runnable
    users: int = 0
    is_retired: bool = False


class VersionStore:
    """Holds what is loaded; a version that is retired is freed when its last request has ended."""

    def __init__(self, model_name: str) -> None:
        self._model_name = model_name
        self._lock = threading.Lock()
        self._held: dict[int, _Held] = {}
        self._statuses: dict[int, VersionStatus] = {}

    def versions(self) -> list[int]:
        """Versions that answer, oldest first."""
        with self._lock:
            return sorted(self._held)

    def statuses(self) -> dict[int, VersionStatus]:
        """Status by version of everything seen so far, oldest version first."""
        with self._lock:
            return dict(sorted(self._statuses.items()))

    def set_status(self, version: int, status: VersionStatus) -> None:
        """What is said of a version from now on."""
        with self._lock:
            self._set_status(version, status)

    def add(self, model: Runnable) -> None:
        """A version that answers from now on."""
        with self._lock:
            self._held[model.version] = _Held(model)
            self._set_status(model.version, VersionStatus(State.AVAILABLE))

    def retire(self, version: int) -> None:
        """A version takes no more requests; it is freed now, or by the last of those it has."""
        with self._lock:
            held = self._held.pop(version)
            held.is_retired = True
            self._set_status(version, VersionStatus(State.UNLOADING))
            is_drained = held.users == 0
        if is_drained:
            self._free(held)

    @contextlib.contextmanager
    def use(self, choose: Callable[[list[int]], int]) -> Iterator[Runnable]:
        """A model that stays loaded while the block runs, whatever takes over meanwhile.

        Args:
          choose: which of the versions that answer; what it raises is raised.
        """
        with self._lock:
            held = self._held[choose(sorted(self._held))]
            held.users += 1
        try:
            yield held.model
        finally:
            with self._lock:
                held.users -= 1
                is_drained = held.is_retired and held.users == 0
            if is_drained:
                self._free(held)

    def _free(self, held: _Held) -> None:
        held.model.close()
        self.set_status(held.model.version, VersionStatus(State.END))
        _LOG.info("%s version %d has answered its last request and is unloaded", self._model_name, held.model.version)

    def _set_status(self, version: int, status: VersionStatus) -> None:
        # The caller holds the lock. The latest change is kept last, so that the oldest endings are forgotten first.
        self._statuses.pop(version, None)
        self._statuses[version] = status
        ended = [known for known, held in self._statuses.items() if held.state == State.END]
        for known in ended[:-_KEPT_STATUSES]:
            del self._statuses[known]
