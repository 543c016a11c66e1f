"""Which folder holds the SavedModel that somebody means. Imports no TensorFlow."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Final

from components.user_error import UserError
from schema.exported_model import SAVED_MODEL_FILE

_INSIDE: Final = (
    "",
    "Format-Serving",  # of TFX: the artifact `model` of a run
    "saved_model",  # of the Detection Zoo: what its archives hold
)
_EXPECTED: Final = (
    f"expected a folder with {SAVED_MODEL_FILE}, the folder of a served model with its numbered versions (the newest "
    "is taken), the artifact `model` of a run, or a folder of the TF2 Detection Zoo with its saved_model"
)


class SavedModelError(UserError):
    """There is no SavedModel, or none that answers detections; the message names the folder and what was found."""


def locate_saved_model(folder: pathlib.Path) -> pathlib.Path:
    """The SavedModel that a folder is or holds; of numbered ones the newest.

    Raises:
      SavedModelError: there is none.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is not there"
        raise SavedModelError(f"{folder} {what}; {_EXPECTED}")
    found = next(_in(folder), None)
    if found is None:
        versions = [path for path in folder.iterdir() if path.name.isdecimal() and path.is_dir()]
        newest_first = sorted(versions, key=lambda path: int(path.name), reverse=True)
        found = next((model for version in newest_first for model in _in(version)), None)
    if found is None:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise SavedModelError(f"{folder} holds no SavedModel, but {there}; {_EXPECTED}")
    return found


def _in(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    for name in _INSIDE:
        if (folder / name / SAVED_MODEL_FILE).is_file():
            yield folder / name
