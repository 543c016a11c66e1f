"""Moves a label: looked at, loaded, moved, written down; or nothing at all."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence

from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.clients.connection import Connection
from serving.models import version_folder
from serving.promotion import config_file, history, labels
from serving.promotion.errors import PromotionError
from serving.promotion.running_server import RunningServer


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be done.

    Attributes:
      config_path: models.config.
      model_name: whose label.
      label: which.
      why: for the history.
      servers: how each server to change now is reached; without any, servers find the file changed when they look.
        A server has the connection's time to load the version, and for each of its answers.
      base_path: the folder of versions as this machine sees it; None: as models.config says.
      is_dry_run: only say what would be done.
    """

    config_path: pathlib.Path
    model_name: str
    label: str
    why: str
    servers: Sequence[Connection] = ()
    base_path: pathlib.Path | None = None
    is_dry_run: bool = False


def promote(request: Request, version: int) -> history.Move | None:
    """Lets a label name a version; None when it does already.

    Raises:
      PromotionError: it is refused; file and servers are as they were.
    """
    with config_file.locked(request.config_path):
        return _move(request, lambda current: version, history.PROMOTE)


def rollback(request: Request) -> history.Move | None:
    """Lets a label name what it named before its last promotion; once more goes back further.

    Raises:
      PromotionError: there is nothing to go back to, or it is refused; file and servers are as they were.
    """

    def before(current: int | None) -> int:
        if current is None:
            raise PromotionError(f"{request.config_path}: {request.model_name!r} has no label {request.label!r}")
        moves = history.read(request.config_path)
        return history.version_before(moves, request.model_name, request.label, current)

    with config_file.locked(request.config_path):
        return _move(request, before, history.ROLLBACK)


def _move(request: Request, choose: Callable[[int | None], int], action: str) -> history.Move | None:
    config = config_file.read(request.config_path)
    model = labels.find_model(config, request.model_name)
    current = model.version_labels.get(request.label) if request.label in model.version_labels else None
    version = choose(current)
    if version == current:
        return None
    _check_version(request, pathlib.Path(model.base_path), version)
    loaded = labels.with_version_loaded(config, request.model_name, version)
    moved = labels.with_label_moved(config, request.model_name, request.label, version)
    time, who = history.now_and_who()
    move = history.Move(time, who, action, request.model_name, request.label, current, version, request.why)  # type: ignore[arg-type]
    if request.is_dry_run:
        return move
    if request.servers:
        _change_servers(request, version, config, loaded, moved)
    config_file.write(request.config_path, moved)
    history.append(request.config_path, move)
    return move


def _check_version(request: Request, config_base_path: pathlib.Path, version: int) -> None:
    base_path = request.base_path or config_base_path
    if request.base_path is None and not base_path.is_dir():
        if request.servers:
            # The folder as the servers see it; whether the version is there they will say.
            return
        raise PromotionError(
            f"{base_path}: the folder that models.config names is not on this machine; name it with --model_base_path"
        )
    complete = version_folder.complete_versions(base_path)
    if version not in complete:
        there = ", ".join(map(str, complete)) or "none"
        raise PromotionError(f"{base_path}: holds no complete version {version}; complete are: {there}")
    try:
        version_folder.check_variables(complete[version])
    except ValueError as error:
        raise PromotionError(str(error)) from error


def _change_servers(
    request: Request, version: int, before: ModelServerConfig, loaded: ModelServerConfig, moved: ModelServerConfig
) -> None:
    """Loads the version everywhere, then moves the label everywhere.

    TF Serving refuses a label for a version that is not loaded. The file says the same meanwhile, so that a server
    which looks at it does not undo the first step.
    """
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(RunningServer(connection)) for connection in request.servers]
        with _undone_on_error(request.config_path, before, servers):
            config_file.write(request.config_path, loaded)
            for server in servers:
                server.reload(loaded)
            for server in servers:
                server.wait_until_available(request.model_name, version)
            for server in servers:
                server.reload(moved)


@contextlib.contextmanager
def _undone_on_error(path: pathlib.Path, before: ModelServerConfig, servers: Sequence[RunningServer]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        config_file.write(path, before)
        for server in servers:
            # The one that failed may well fail again: the first error is the one to tell.
            with contextlib.suppress(PromotionError):
                server.reload(before)
        raise
