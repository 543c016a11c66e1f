"""Follows the folder of one model: loads what its policy wants, beside what answers, and retires what it does not."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
import threading
import time
from collections.abc import Callable

from schema.exported_model import SAVED_MODEL_FILE
from serving.models import version_folder
from serving.models.models_config import ModelConfig
from serving.models.runnable import Runnable
from serving.models.version_folder import Fingerprint
from serving.models.version_store import State, VersionStatus, VersionStore

_LOG = logging.getLogger(__name__)
_FIRST_RETRY_SECONDS = 5.0
_LONGEST_RETRY_SECONDS = 300.0
"""A broken version whose files do not change is tried again after pauses that double."""

Load = Callable[[str, int, pathlib.Path], Runnable]
"""Model's name, version and folder -> what answers, warmed up."""


@dataclasses.dataclass(frozen=True)
class _Failure:
    fingerprint: Fingerprint
    monotonic_seconds: float
    retry_seconds: float


class VersionFollower:
    """Keeps a `VersionStore` as the folder and the policy say.

    A version that is wanted is loaded and warmed up beside those that answer, then takes requests; those that are no
    longer wanted are retired after that. A version that cannot be loaded is logged and passed over, and tried again
    when its files change or after a pause. When the newest version is deleted, the newest that is left takes over (that
    is how to roll back); when all are deleted, those in memory go on answering.

    Attributes:
      config: of the model; may be replaced, the next look follows it.
      store: what is loaded.
    """

    def __init__(
        self,
        config: ModelConfig,
        load: Load,
        on_available: Callable[[], None] = lambda: None,
        model_file: str = SAVED_MODEL_FILE,
    ) -> None:
        """Nothing is loaded yet.

        Args:
          config: of the model.
          load: what makes a version answer.
          on_available: is called whenever a version has begun to answer.
          model_file: name of the file that a version is known by.
        """
        self.config = config
        self.store = VersionStore(config.name)
        self._load = load
        self._on_available = on_available
        self._model_file = model_file
        self._lock = threading.Lock()
        self._is_retired = False
        self._failures: dict[int, _Failure] = {}
        self._unsettled: dict[int, Fingerprint] = {}

    def look(self, trust_files: bool = False) -> None:
        """Looks into the folder once, and brings into memory what ought to be.

        Args:
          trust_files: loads a version seen for the first time at once. Otherwise its files must have stayed the same
            since the last look, because a push copies file by file.
        """
        with self._lock:
            if self._is_retired:
                return
            versions = version_folder.complete_versions(self.config.base_path, self._model_file)
            if not versions:
                return

            def is_usable(version: int) -> bool:
                return version in self.store.versions() or self._try(version, versions[version], trust_files)

            wanted = self.config.policy.choose(versions, is_usable)
            if wanted:
                for version in set(self.store.versions()) - set(wanted):
                    self.store.retire(version)

    def retire_all(self) -> None:
        """The model is served no longer: what is in memory goes, and nothing more is loaded."""
        with self._lock:
            self._is_retired = True
            for version in self.store.versions():
                self.store.retire(version)

    def _try(self, version: int, path: pathlib.Path, trust_files: bool) -> bool:
        """Loads a version if it is worth trying; whether it answers now."""
        try:
            files = version_folder.fingerprint(path)
        except OSError as error:
            self.store.set_status(version, VersionStatus(State.END, f"{path}: cannot be read ({error})"))
            return False
        failure = self._failures.get(version)
        has_failed = failure is not None and failure.fingerprint == files
        if failure and has_failed and time.monotonic() - failure.monotonic_seconds < failure.retry_seconds:
            return False
        if not trust_files and not has_failed and self._unsettled.get(version) != files:
            self._unsettled[version] = files
            self.store.set_status(version, VersionStatus(State.START))
            return False
        self._unsettled.pop(version, None)
        return self._bring(version, path, files)

    def _bring(self, version: int, path: pathlib.Path, files: Fingerprint) -> bool:
        """Loads a version and lets it answer; False, with a line in the log, when it cannot."""
        self.store.set_status(version, VersionStatus(State.LOADING))
        started = time.monotonic()
        try:
            model = self._load(self.config.name, version, path)
        except Exception as error:
            # Whatever a broken file makes TensorFlow raise (IndexError is among it), the others must go on.
            self._note_failure(version, path, files, error)
            return False
        self._failures.pop(version, None)
        self.store.add(model)
        _LOG.info("serving %s version %d (loaded in %.1f s)", self.config.name, version, time.monotonic() - started)
        self._on_available()
        return True

    def _note_failure(self, version: int, path: pathlib.Path, files: Fingerprint, error: Exception) -> None:
        before = self._failures.get(version)
        is_same = before is not None and before.fingerprint == files
        pause = _FIRST_RETRY_SECONDS
        if before is not None and is_same:
            pause = min(2 * before.retry_seconds, _LONGEST_RETRY_SECONDS)
        self._failures[version] = _Failure(files, time.monotonic(), pause)
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        self.store.set_status(version, VersionStatus(State.END, reason))
        serving = ", ".join(map(str, self.store.versions()))
        goes_on = f"version {serving} goes on serving" if serving else "nothing serves"
        # Said once; what follows is the same until its files change.
        level = logging.DEBUG if is_same else logging.ERROR
        _LOG.log(level, "version %d in %s cannot be served (%s); %s", version, path, reason, goes_on)
