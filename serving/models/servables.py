"""All models of a server: what is served, by which labels, and which version a request gets."""

from __future__ import annotations

import contextlib
import logging
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import grpc
from tensorflow_serving.apis import model_pb2

from schema.exported_model import SAVED_MODEL_FILE
from serving.models import version_resolver
from serving.models.models_config import ModelConfig, ModelsConfigError, read_models_config
from serving.models.runnable import Runnable
from serving.models.version_follower import Load, VersionFollower
from serving.models.version_store import VersionStatus
from serving.protocol.errors import RequestError

_LOG = logging.getLogger(__name__)


class Servables:
    """The models that are served; safe to use from several threads.

    `start` begins to load and to follow in a thread of its own.

    A model that is to be served from another folder is answered from the old one until a version of the new one is
    available, as in TF Serving, whose policy is to unload nothing that has no replacement yet. Until then the old
    versions have the labels that they had.
    """

    def __init__(
        self,
        models: Sequence[ModelConfig],
        load: Load,
        poll_seconds: float = 2.0,
        *,
        config_file: pathlib.Path | None = None,
        config_poll_seconds: float = 0.0,
        allow_unavailable_labels: bool = False,
        on_available: Callable[[], None] = lambda: None,
        prepare: Callable[[Sequence[ModelConfig]], None] = lambda models: None,
        model_file: str = SAVED_MODEL_FILE,
    ) -> None:
        """Nothing is loaded yet.

        Args:
          models: to serve.
          load: what makes a version answer.
          poll_seconds: pause between looks into the folders.
          config_file: where `models` come from; it is read again when it changes.
          config_poll_seconds: pause between looks at that file; 0: it is read once.
          allow_unavailable_labels: labels may name versions that are not in memory.
          on_available: is called whenever a version has begun to answer.
          prepare: is called with another list of models before it is taken, never twice at once; by a
            `ModelsConfigError` it refuses the list.
          model_file: name of the file that a version is known by.
        """
        self._load = load
        self._poll_seconds = poll_seconds
        self._config_file = config_file
        self._config_poll_seconds = config_poll_seconds
        self._allow_unavailable_labels = allow_unavailable_labels
        self._on_available = on_available
        self._prepare = prepare
        self._model_file = model_file
        self._lock = threading.Lock()
        self._reload_lock = threading.Lock()
        self._followers = {model.name: self._follower(model) for model in models}
        self._successors: dict[str, VersionFollower] = {}
        """Of another folder, by model: in place of its follower as soon as there is a version that answers."""
        self._config_bytes = self._read_config_bytes()
        self._has_looked = threading.Event()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._follow, name="versions", daemon=True)]
        if config_file and config_poll_seconds > 0:
            self._threads.append(threading.Thread(target=self._follow_config, name="models-config", daemon=True))

    def start(self) -> None:
        """Begins to load what is there, and to follow the folders."""
        for thread in self._threads:
            thread.start()

    def wait_until_looked(self, timeout_seconds: float | None = None) -> bool:
        """Waits until every folder was looked into once, and what ought to be in memory is; False: it timed out."""
        return self._has_looked.wait(timeout_seconds)

    def stop(self, timeout_seconds: float) -> bool:
        """Ends the following; whether its threads ended in time (one may be loading, which cannot be stopped)."""
        self._stop.set()
        until = time.monotonic() + timeout_seconds
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def models(self) -> list[ModelConfig]:
        """What is to be served."""
        with self._lock:
            return [follower.config for follower in self._followed()]

    def versions(self, model_name: str) -> list[int]:
        """Versions of a model that answer, oldest first; none of a model that is not served."""
        with self._lock:
            follower = self._followers.get(model_name)
        return follower.store.versions() if follower else []

    def statuses(self, model_name: str) -> dict[int, VersionStatus]:
        """Status by version of everything seen so far of a model; of a number in both folders, that in the new one."""
        with self._lock:
            followers = (self._followers.get(model_name), self._successors.get(model_name))
        found: dict[int, VersionStatus] = {}
        for follower in followers:
            found |= follower.store.statuses() if follower else {}
        return dict(sorted(found.items()))

    @contextlib.contextmanager
    def use(self, spec: model_pb2.ModelSpec) -> Iterator[Runnable]:
        """The version a request means; it stays loaded while the block runs, whatever takes over meanwhile.

        Raises:
          RequestError: as TF Serving answers a missing or unknown name, version or label.
        """
        if not spec.name:
            raise RequestError(grpc.StatusCode.INVALID_ARGUMENT, "ModelSpec has no name specified.")
        with contextlib.ExitStack() as used:
            # Under the lock, so that a version is in use before another folder's takes over.
            with self._lock:
                follower = self._followers.get(spec.name)
                if follower is None:
                    served = ", ".join(sorted(self._followers))
                    message = f"Servable not found for request: Latest({spec.name}) (served here: {served})"
                    raise RequestError(grpc.StatusCode.NOT_FOUND, message)
                labels = follower.config.labels
                model = used.enter_context(
                    follower.store.use(lambda available: version_resolver.resolve(spec, available, labels))
                )
            yield model

    def look(self, trust_files: bool = False) -> None:
        """Looks into every folder once; see `VersionFollower.look`."""
        with self._lock:
            followers = self._followed()
        for follower in followers:
            if self._stop.is_set():
                return
            follower.look(trust_files)
            self._take_over(follower)

    def reload(self, models: Sequence[ModelConfig]) -> list[ModelConfig]:
        """Serves these models from now on; waits until the new ones were tried.

        Labels of a model that is served from another folder already are of the versions in the new one: it is loaded
        before anything is changed.

        Returns:
          Those of which no version can be loaded yet.

        Raises:
          ModelsConfigError: a label names a version that does not answer, or `prepare` refuses; everything stays as
            it was.
        """
        with self._reload_lock:
            staged: dict[str, VersionFollower] = {}
            try:
                if not self._allow_unavailable_labels:
                    self._stage(models, staged)
                    for model in models:
                        self._check_labels(model, self._available(model, staged))
                self._prepare(models)
            except BaseException:
                for follower in staged.values():
                    follower.retire_all()
                raise
            self._apply(models, staged)
            self.look(trust_files=True)
            return [model for model in models if not self._available(model, {})]

    def _stage(self, models: Sequence[ModelConfig], staged: dict[str, VersionFollower]) -> None:
        """Loads what labels may name in folders that are served under a name from now on; adds them as they come."""
        for model in models:
            with self._lock:
                is_served = model.name in self._followers
                is_followed = self._same_folder(model) is not None
            if model.labels and is_served and not is_followed:
                staged[model.name] = self._follower(model)
                staged[model.name].look(trust_files=True)

    def _check_labels(self, model: ModelConfig, available: Sequence[int]) -> None:
        for label, version in model.labels.items():
            if version not in available:
                raise ModelsConfigError(
                    f"model {model.name!r}: label {label!r} is to be version {version}, which is not AVAILABLE "
                    f"(available: {', '.join(map(str, available)) or 'none'}); load it first, by its policy, then set "
                    "the label, or start with --allow_version_labels_for_unavailable_models"
                )

    def _apply(self, models: Sequence[ModelConfig], staged: Mapping[str, VersionFollower]) -> None:
        """Takes another list of models; those that go are retired, the others are looked at by the caller."""
        with self._lock:
            before = [*self._followers.values(), *self._successors.values()]
            followers: dict[str, VersionFollower] = {}
            successors: dict[str, VersionFollower] = {}
            for model in models:
                current = self._followers.get(model.name)
                follower = self._same_folder(model) or staged.get(model.name) or self._follower(model)
                follower.config = model
                if current is None or not current.store.versions() or follower.store.versions():
                    followers[model.name] = follower
                else:
                    followers[model.name], successors[model.name] = current, follower
            self._followers, self._successors = followers, successors
            gone = [follower for follower in before if follower not in (*followers.values(), *successors.values())]
        for follower in gone:
            self._retire(follower)

    def _take_over(self, follower: VersionFollower) -> None:
        """Lets a successor answer in place of who did so far, if it can."""
        name = follower.config.name
        with self._lock:
            if self._successors.get(name) is not follower or not follower.store.versions():
                return
            before = self._followers[name]
            self._followers[name] = self._successors.pop(name)
        self._retire(before)

    def _retire(self, follower: VersionFollower) -> None:
        _LOG.info("%s in %s is served no longer", follower.config.name, follower.config.base_path)
        follower.retire_all()

    def _follower(self, model: ModelConfig) -> VersionFollower:
        return VersionFollower(model, self._load, self._on_available, self._model_file)

    def _followed(self) -> list[VersionFollower]:
        """Those whose folders are looked into. The caller holds the lock."""
        return [self._successors.get(name, follower) for name, follower in self._followers.items()]

    def _available(self, model: ModelConfig, staged: Mapping[str, VersionFollower]) -> list[int]:
        """Versions in memory of the folder that is named, whether they answer already or not."""
        with self._lock:
            follower = staged.get(model.name) or self._same_folder(model)
        return follower.store.versions() if follower else []

    def _same_folder(self, model: ModelConfig) -> VersionFollower | None:
        """Who follows the folder that is named, under the model's name. The caller holds the lock."""
        for follower in (self._followers.get(model.name), self._successors.get(model.name)):
            if follower is not None and follower.config.base_path == model.base_path:
                return follower
        return None

    def _follow(self) -> None:
        trust_files = True
        while not self._stop.is_set():
            try:
                self.look(trust_files)
            except Exception:
                # A network folder that is away for a moment, or whatever else, must not end the following.
                _LOG.exception("the models' folders cannot be looked into, trying again")
            if trust_files:
                self._warn_of_labels()
                self._has_looked.set()
            trust_files = False
            self._stop.wait(self._poll_seconds)

    def _warn_of_labels(self) -> None:
        with self._lock:
            followers = self._followed()
        for follower in followers:
            try:
                self._check_labels(follower.config, follower.store.versions())
            except ModelsConfigError as error:
                _LOG.warning("%s", error)

    def _follow_config(self) -> None:
        while not self._stop.wait(self._config_poll_seconds):
            found = self._read_config_bytes()
            if found is None or found == self._config_bytes or self._config_file is None:
                continue
            self._config_bytes = found
            try:
                # A file says how it ought to be: what a label names may be loaded by the same change.
                models = read_models_config(self._config_file)
                with self._reload_lock:
                    self._prepare(models)
                    self._apply(models, {})
                    self.look(trust_files=True)
                self._warn_of_labels()
                _LOG.info("%s: read again", self._config_file)
            except Exception as error:
                _LOG.error("%s: not taken, what was served goes on: %s", self._config_file, error)

    def _read_config_bytes(self) -> bytes | None:
        try:
            return self._config_file.read_bytes() if self._config_file else None
        except OSError:
            # Being replaced: the next look sees it.
            return None
