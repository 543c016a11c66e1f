"""What the chief of several workers was told, left where they look for it."""

from __future__ import annotations

import contextlib
import json
import posixpath
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from components.atomic_files import write_atomically
from components.user_error import UserError

_FILE: Final = "workers.json"
_TOLD: Final = ("train_files", "eval_files", "transform_graph_path", "base_model")


@contextlib.contextmanager
def told_workers(fn_args: FnArgs, config: Mapping[str, str]) -> Iterator[None]:
    """Within it, what the workers need to know is where they look for it.

    Not longer: a worker of the next training, started before its chief, would take it for that of its own.

    Args:
      fn_args: of the chief.
      config: its ``custom_config``, with what was searched for or chosen in place.
    """
    root = config["checkpoint_root"]
    tf.io.gfile.makedirs(root)
    told = {**{key: getattr(fn_args, key) for key in _TOLD}, "custom_config": dict(config)}
    path = posixpath.join(root, _FILE)
    write_atomically(path, json.dumps(told).encode())
    try:
        yield
    finally:
        tf.io.gfile.remove(path)


def wait_for_chief(root: str, seconds: float) -> dict[str, Any]:
    """What the chief has left for the workers.

    Raises:
      UserError: it does not come.
    """
    path = posixpath.join(root, _FILE)
    end = time.monotonic() + seconds
    while not tf.io.gfile.exists(path):
        if time.monotonic() > end:
            raise UserError(
                f"no chief has written {path} within {seconds:g} s: is its TF_CONFIG set, is this its root?"
            )
        time.sleep(1.0)
    with tf.io.gfile.GFile(path, "r") as file:
        told: dict[str, Any] = json.loads(file.read())
    return told
