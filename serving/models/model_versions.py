"""The versions of the served model: follows the folder, swaps to a new version, drains the old one."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import pathlib
import threading
import time
from collections.abc import Callable, Iterator

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_pb2

from serving.models import version_folder
from serving.models.loaded_model import LoadedModel
from serving.models.version_folder import Fingerprint
from serving.models.warmup import warm_up
from serving.protocol.errors import RequestError

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 30.0
"""How long a broken version whose files do not change is left alone."""
_KEPT_STATUSES = 32

State = get_model_status_pb2.ModelVersionStatus.State


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """What GetModelStatus says of a version: its state and, when it failed, why."""

    state: int
    error: str = ""


@dataclasses.dataclass
class _Serving:
    """A model that answers, and how many requests are using it."""

    model: LoadedModel
    users: int = 0
    retired: bool = False


@dataclasses.dataclass(frozen=True)
class _Failure:
    fingerprint: Fingerprint
    monotonic_seconds: float


class ModelVersions:
    """Serves the newest complete version in a folder.

    A thread looks into the folder. A version it has not served is loaded and warmed up beside the one that serves,
    then takes over between two requests; the old one is dropped when its last request has ended. A version that
    cannot be loaded is logged and passed over, and tried again when its files change or half a minute later. When
    the newest version is deleted, the newest that is left takes over (that is how to roll back); when all are
    deleted, the one in memory goes on serving.
    """

    def __init__(
        self,
        model_name: str,
        base_path: pathlib.Path,
        poll_seconds: float,
        on_available: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_available` is called whenever a version has taken over."""
        self.model_name = model_name
        self.base_path = base_path
        self._poll_seconds = poll_seconds
        self._on_available = on_available
        self._lock = threading.Lock()
        self._poll_lock = threading.Lock()
        self._current: _Serving | None = None
        self._statuses: dict[int, VersionStatus] = {}
        self._failures: dict[int, _Failure] = {}
        self._unsettled: dict[int, Fingerprint] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="model-versions", daemon=True)

    def start(self) -> None:
        """Loads what is there now, then follows the folder in a thread."""
        self.poll(trust_files=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def serving_version(self) -> int | None:
        """Number of the version that answers, None when there is none yet."""
        with self._lock:
            return self._current.model.version if self._current else None

    def statuses(self) -> dict[int, VersionStatus]:
        """Status by version of everything seen so far, oldest version first."""
        with self._lock:
            return dict(sorted(self._statuses.items()))

    @contextlib.contextmanager
    def use(self, spec: model_pb2.ModelSpec) -> Iterator[LoadedModel]:
        """The model a request names; it stays loaded while the block runs, whatever takes over meanwhile.

        Raises:
          RequestError: as TF Serving answers a missing or unknown name, version or label.
        """
        serving = self._acquire(spec)
        try:
            yield serving.model
        finally:
            with self._lock:
                serving.users -= 1
                self._drop_if_drained(serving)

    def _acquire(self, spec: model_pb2.ModelSpec) -> _Serving:
        if not spec.name:
            raise RequestError(grpc.StatusCode.INVALID_ARGUMENT, "ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label":
            # Labels come from a model server's config file, which this server has none of.
            message = f"Unrecognized servable version label: {spec.version_label}"
            raise RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)
        version = spec.version.value if choice == "version" else None
        with self._lock:
            current = self._current
            named = spec.name == self.model_name and current is not None
            if not named or current is None or version not in (None, current.model.version):
                asked = f"Latest({spec.name})" if version is None else f"Specific({spec.name}, {version})"
                served = f"{self.model_name} version {current.model.version}" if current else "nothing yet"
                message = f"Servable not found for request: {asked} (served here: {served})"
                raise RequestError(grpc.StatusCode.NOT_FOUND, message)
            current.users += 1
            return current

    def _follow(self) -> None:
        while not self._stop.wait(self._poll_seconds):
            try:
                self.poll()
            except OSError as error:
                # A network folder that is away for a moment must not end the following.
                _LOG.warning("%s: cannot be read, trying again: %s", self.base_path, error)

    def poll(self, trust_files: bool = False) -> None:
        """Looks into the folder once, and swaps if there is something better than what serves.

        Args:
          trust_files: loads a version seen for the first time at once. Otherwise its files must have stayed the same
            since the last look, because a push copies file by file.
        """
        with self._poll_lock:
            versions = version_folder.complete_versions(self.base_path)
            for number, path in versions.items():
                if number == self.serving_version:
                    return
                files = version_folder.fingerprint(path)
                if not self._worth_trying(number, files):
                    continue
                if not trust_files and self._unsettled.get(number) != files:
                    self._unsettled[number] = files
                    continue
                self._unsettled.pop(number, None)
                if self._load(number, path, files):
                    return

    def _worth_trying(self, number: int, files: Fingerprint) -> bool:
        failure = self._failures.get(number)
        return (
            failure is None
            or failure.fingerprint != files
            or time.monotonic() - failure.monotonic_seconds >= _RETRY_SECONDS
        )

    def _load(self, number: int, path: pathlib.Path, files: Fingerprint) -> bool:
        """Loads a version and lets it take over; False, with a line in the log, when it cannot serve."""
        with self._lock:
            self._set_status(number, VersionStatus(State.LOADING))
        started = time.monotonic()
        try:
            model = LoadedModel(number, path)
            requests = warm_up(model, path)
        except Exception as error:
            # Whatever a broken file makes TensorFlow raise (IndexError is among it), the old version must go on.
            self._failures[number] = _Failure(files, time.monotonic())
            reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
            with self._lock:
                self._set_status(number, VersionStatus(State.END, reason))
            serving = self.serving_version
            goes_on = "nothing serves" if serving is None else f"version {serving} goes on serving"
            _LOG.error("version %d in %s cannot be served (%s); %s", number, path, reason, goes_on)
            return False
        self._failures.pop(number, None)
        _LOG.info(
            "serving %s version %d (loaded in %.1f s, %d warm-up requests)",
            self.model_name,
            number,
            time.monotonic() - started,
            requests,
        )
        with self._lock:
            old, self._current = self._current, _Serving(model)
            self._set_status(number, VersionStatus(State.AVAILABLE))
            if old:
                old.retired = True
                self._set_status(old.model.version, VersionStatus(State.UNLOADING))
                self._drop_if_drained(old)
        self._on_available()
        return True

    def _drop_if_drained(self, serving: _Serving) -> None:
        # The caller holds the lock. Nothing refers to the model afterwards, which is what frees it.
        if serving.retired and serving.users == 0:
            _LOG.info("version %d has answered its last request and is unloaded", serving.model.version)
            self._set_status(serving.model.version, VersionStatus(State.END))

    def _set_status(self, number: int, status: VersionStatus) -> None:
        # The caller holds the lock. The latest change is kept last, so that the oldest endings are forgotten first.
        self._statuses.pop(number, None)
        self._statuses[number] = status
        ended = [known for known, held in self._statuses.items() if held.state == State.END]
        for known in ended[:-_KEPT_STATUSES]:
            del self._statuses[known]
