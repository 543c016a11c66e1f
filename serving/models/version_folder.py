"""The folder a model is pushed to: which versions it holds, and whether one is still being written."""

from __future__ import annotations

import pathlib
import re
from typing import Final

from schema.exported_model import SAVED_MODEL_FILE

Fingerprint = frozenset[tuple[str, int, int]]
"""(relative path, size in bytes, modification time in ns) of every file."""
_LARGEST_VERSION: Final = 2**63 - 1
"""Of an int64, which is what the protocol has for a version."""
_SHARD: Final = re.compile(r"variables\.data-\d{5}-of-(\d{5})")


class ModelFolderError(Exception):
    """The model's base path cannot be served from; the message says what was found and what to do."""


def numbered_folders(base_path: pathlib.Path) -> dict[int, pathlib.Path]:
    """Folders whose name is a version's number, by number, newest first; what is in them is not looked at.

    As in TF Serving a version is a folder whose name is a decimal number; other names (temporary folders of a copy in
    progress, notes, numbers larger than an int64) are passed over. An unreadable or missing base path holds none.
    """
    try:
        names = [path for path in base_path.iterdir() if path.name.isascii() and path.name.isdecimal()]
    except OSError:
        return {}
    numbered = {int(path.name): path for path in names if int(path.name) <= _LARGEST_VERSION}
    return dict(sorted(numbered.items(), reverse=True))


def complete_versions(base_path: pathlib.Path, model_file: str = SAVED_MODEL_FILE) -> dict[int, pathlib.Path]:
    """Versions that hold a model, by number, newest first; those that cannot be looked into are left out.

    Args:
      base_path: folder of the versions.
      model_file: name of the file that a model is known by.
    """
    return {number: path for number, path in numbered_folders(base_path).items() if _holds_model(path / model_file)}


def _holds_model(model_file: pathlib.Path) -> bool:
    try:
        return model_file.is_file()
    except OSError:
        return False


def fingerprint(version_path: pathlib.Path) -> Fingerprint:
    """What changes while a version is being copied to its place.

    Raises:
      OSError: it may not be looked into.
    """
    files = set()
    for path in version_path.rglob("*"):
        try:
            stat = path.stat()
        except FileNotFoundError:
            # Renamed between the listing and now: the next look sees it under its new name.
            continue
        files.add((str(path.relative_to(version_path)), stat.st_size, stat.st_mtime_ns))
    return frozenset(files)


def check_variables(version_path: pathlib.Path) -> None:
    """Are all the files of a model's variables there?

    The C++ loader takes a model whose folder of variables is missing for one that has none, loads it, and fails every
    request. A copy file by file looks like this for a while, and forever when it is stopped. (That the files are whole
    is found by loading them: every tensor has a checksum.)

    Raises:
      ValueError: some are not there.
    """
    folder = version_path / "variables"
    if not (folder / "variables.index").is_file():
        raise ValueError(f"{folder}: has no variables.index; is the version still being copied?")
    shards = [match for path in folder.iterdir() if (match := _SHARD.fullmatch(path.name))]
    expected = int(shards[0].group(1)) if shards else 1
    if len(shards) != expected:
        raise ValueError(
            f"{folder}: has {len(shards)} of {expected} files variables.data-*; is the version still being copied?"
        )


def check_base_path(base_path: pathlib.Path, model_file: str = SAVED_MODEL_FILE) -> None:
    """Raises `ModelFolderError` when no version with a `model_file` can be served from `base_path`."""
    expected = f"expected {base_path / '<number>' / model_file}"
    advice = "push a model there first, or wait for the first one with --wait_for_model"
    if not base_path.exists():
        raise ModelFolderError(f"{base_path}: no such folder; {expected}; {advice}")
    if not base_path.is_dir():
        raise ModelFolderError(f"{base_path}: is not a folder; {expected}")
    if complete_versions(base_path, model_file):
        return
    if (base_path / model_file).is_file():
        kind = "SavedModel" if model_file == SAVED_MODEL_FILE else "device model"
        raise ModelFolderError(
            f"{base_path}: is itself a {kind}; give the folder above it, whose versions are numbered"
        )
    found = ", ".join(sorted(path.name for path in base_path.iterdir())[:8]) or "nothing"
    raise ModelFolderError(f"{base_path}: holds no complete version; {expected}, found {found}; {advice}")
