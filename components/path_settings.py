"""Types of settings that name a place: which may have a scheme (``gs://bucket/path``), and what the others are told.

TensorFlow opens what is only read, data and start weights, wherever it can. What a run writes is locked, renamed and
listed in a folder, and its metadata is an SQLite file. A home folder (``~``) and environment variables are put in as a
shell would: as folders of that name they are never meant.
"""

from __future__ import annotations

import os
import pathlib
import re
from typing import Annotated, Any, Final

import pydantic

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_VARIABLE: Final = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
KERAS_HUB: Final = "kerashub:"
"""What stands before the name or the folder of a preset of KerasHub, among start weights."""
OPENED_SCHEMES: Final = ("gs", "file", "ram")
"""Those that TensorFlow 2.21 opens beside plain paths (``tf.io.gfile.get_registered_schemes``)."""


def is_preset_folder(preset: str) -> bool:
    """Whether what stands behind ``KERAS_HUB`` is a folder that KerasHub's ``save_to_preset`` wrote."""
    return (pathlib.Path(preset) / "config.json").is_file()


def _expanded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    prefix = KERAS_HUB if value.startswith(KERAS_HUB) else ""
    # pathlib's would undo `gs://`.
    path = prefix + os.path.expandvars(os.path.expanduser(value.removeprefix(KERAS_HUB)))  # noqa: PTH111
    left = _VARIABLE.search(path)
    if left:
        raise ValueError(f"found {value!r}, but the environment variable {left[1] or left[2]} is not set")
    return path


def _local(value: Any) -> Any:
    if isinstance(value, str) and _SCHEME.match(value):
        raise ValueError(
            f"found {value!r}, expected a path on this machine: mount the storage (gs:// with Cloud Storage FUSE) and "
            "give the path below the mount; on a cluster, `cluster.root` lies on a volume that all steps mount"
        )
    return value


def _opened(value: str) -> str:
    scheme = _SCHEME.match(value)  # KerasHub opens its own, behind its prefix
    if scheme and scheme[1] not in OPENED_SCHEMES:
        raise ValueError(
            f"found {value!r}, but TensorFlow opens no {scheme[1]}://, only gs:// and paths on this machine: mount "
            "the storage, or copy what is needed"
        )
    return value


LocalPath = Annotated[pathlib.Path, pydantic.BeforeValidator(_local), pydantic.BeforeValidator(_expanded)]
"""A file or folder of this machine that the run writes."""
LocalFile = Annotated[str, pydantic.BeforeValidator(_local), pydantic.BeforeValidator(_expanded)]
"""A file of this machine that is read before TensorFlow is there."""
Source = Annotated[str, pydantic.BeforeValidator(_expanded), pydantic.AfterValidator(_opened)]
"""What TensorFlow reads, on this machine or in Cloud Storage."""
