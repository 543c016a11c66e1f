"""models.config as a file that several may want to change: read, locked, replaced in one step."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import pathlib
import tempfile
from collections.abc import Iterator

from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.promotion.errors import PromotionError


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Keeps other promotions away while the block runs; a lock of a process that was killed is gone with it.

    The lock is on a file beside: models.config itself is replaced, and a lock would stay with what it was.

    Raises:
      PromotionError: somebody has it, or the folder cannot be written to.
    """
    lock = path.with_name(f"{path.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o664)
    except OSError as error:
        raise PromotionError(
            f"{lock}: cannot be written ({error.strerror}); expected a folder one may write to"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PromotionError(f"{path}: another promotion or rollback is under way; wait for it to end") from error
        yield
    finally:
        os.close(descriptor)


def read(path: pathlib.Path) -> ModelServerConfig:
    """The file's message.

    Raises:
      PromotionError: it is not there, or is no ModelServerConfig in text format.
    """
    try:
        config: ModelServerConfig = text_format.Parse(path.read_text(encoding="utf-8"), ModelServerConfig())
    except FileNotFoundError as error:
        raise PromotionError(f"{path}: no such file; begin with a copy of serving/tf_serving/models.config") from error
    except (OSError, UnicodeDecodeError) as error:
        raise PromotionError(f"{path}: cannot be read ({error})") from error
    except text_format.ParseError as error:
        raise PromotionError(f"{path}:{error}; expected a ModelServerConfig in text format") from error
    return config


def write(path: pathlib.Path, config: ModelServerConfig) -> None:
    """Replaces the file: whoever reads it meanwhile reads the old one or the new one. Its leading comment is kept.

    Raises:
      PromotionError: it cannot be written; the old one is still there.
    """
    comment = "".join(itertools.takewhile(lambda line: line.startswith("#"), path.open(encoding="utf-8")))
    mode = path.stat().st_mode & 0o777
    try:
        descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(comment + text_format.MessageToString(config))
                file.flush()
                os.fsync(file.fileno())
            # mkstemp's file is its owner's alone; servers run as somebody else.
            pathlib.Path(partial).chmod(mode)
            pathlib.Path(partial).replace(path)
        except BaseException:
            pathlib.Path(partial).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise PromotionError(f"{path}: cannot be written ({error.strerror}); it is as it was") from error
