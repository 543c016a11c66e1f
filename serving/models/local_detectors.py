"""A model on this machine as what answers: a device model of any format, or a SavedModel."""

from __future__ import annotations

import os
import pathlib

from schema.exported_model import SAVED_MODEL_FILE
from serving.clients.asking import Detector
from serving.devices.device_detector import DeviceDetector
from serving.devices.errors import DeviceModelError
from serving.devices.runtime import MODEL_FILES
from serving.models.version_folder import numbered_folders

_FILES = (SAVED_MODEL_FILE, *MODEL_FILES.values())


class LocalModelError(Exception):
    """A model that cannot be used; the message names it and says why."""


def open_detector(path: pathlib.Path, threads: int | None = None, *, allow_bfloat16: bool = False) -> Detector:
    """Loads a model; TensorFlow for a SavedModel, its runtime for a device model.

    Args:
      path: of the file or the folder of a device model, of the folder of a SavedModel, or of a folder of numbered
        versions, of which the newest that holds a model is taken.
      threads: that compute; None: the runtime decides. With TensorFlow it has an effect before its first model.
      allow_bfloat16: see ``open_device_model``.

    Raises:
      LocalModelError: there is no model, or it is broken.
      ModuleNotFoundError: it is a SavedModel, and TensorFlow is not installed.
    """
    found = _newest(path)
    if not (found / SAVED_MODEL_FILE).is_file():
        try:
            return DeviceDetector.open(found, threads, allow_bfloat16=allow_bfloat16)
        except DeviceModelError as error:
            raise LocalModelError(str(error)) from error
    if allow_bfloat16:
        raise LocalModelError(f"{found}: bfloat16 is computed by OpenVINO alone, not by TensorFlow")
    if threads:
        # The C++ loader is told of no session options; it reads these.
        os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = str(threads)
    # Here and not at the top: it takes seconds, and need not be installed for the others.
    from serving.models.saved_model_detector import SavedModelDetector

    try:
        return SavedModelDetector(found)
    except Exception as error:
        # Whatever a broken file makes TensorFlow raise.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LocalModelError(f"{found}: cannot be loaded by TensorFlow; is it whole? ({reason})") from error


def _newest(path: pathlib.Path) -> pathlib.Path:
    """The folder or file of the model itself."""
    if not path.is_dir():
        return path
    if not any((path / file).is_file() for file in _FILES):
        for version in numbered_folders(path).values():
            if any((version / file).is_file() for file in _FILES):
                return version
        found = ", ".join(sorted(one.name for one in path.iterdir())[:8]) or "nothing"
        raise LocalModelError(
            f"{path}: holds no model; expected {' or '.join(_FILES)} in it, or in a folder whose name is a number, "
            f"found {found}"
        )
    return path
