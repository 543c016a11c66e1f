"""The folder a model is pushed to: which versions it holds, and whether one is still being written."""

from __future__ import annotations

import pathlib

from schema.exported_model import SAVED_MODEL_FILE

Fingerprint = frozenset[tuple[str, int, int]]
"""(relative path, size in bytes, modification time in ns) of every file."""


class ModelFolderError(Exception):
    """The model's base path cannot be served from; the message says what was found and what to do."""


def complete_versions(base_path: pathlib.Path) -> dict[int, pathlib.Path]:
    """Versions that hold a SavedModel, by number, newest first.

    As in TF Serving a version is a folder whose name is a decimal number; other names (temporary folders of a copy in
    progress, notes) are passed over. An unreadable or missing base path holds none.
    """
    try:
        folders = [path for path in base_path.iterdir() if path.name.isascii() and path.name.isdecimal()]
    except OSError:
        return {}
    complete = {int(path.name): path for path in folders if (path / SAVED_MODEL_FILE).is_file()}
    return dict(sorted(complete.items(), reverse=True))


def fingerprint(version_path: pathlib.Path) -> Fingerprint:
    """What changes while a version is being copied to its place."""
    files = set()
    for path in version_path.rglob("*"):
        try:
            stat = path.stat()
        except FileNotFoundError:
            # Renamed between the listing and now: the next look sees it under its new name.
            continue
        files.add((str(path.relative_to(version_path)), stat.st_size, stat.st_mtime_ns))
    return frozenset(files)


def check_base_path(base_path: pathlib.Path) -> None:
    """Raises `ModelFolderError` when no version can be served from `base_path`."""
    expected = f"expected {base_path / '<number>' / SAVED_MODEL_FILE}"
    advice = "push a model there first, or wait for the first one with --wait_for_model"
    if not base_path.exists():
        raise ModelFolderError(f"{base_path}: no such folder; {expected}; {advice}")
    if not base_path.is_dir():
        raise ModelFolderError(f"{base_path}: is not a folder; {expected}")
    if complete_versions(base_path):
        return
    if (base_path / SAVED_MODEL_FILE).is_file():
        raise ModelFolderError(
            f"{base_path}: is itself a SavedModel; give the folder above it, whose versions are numbered"
        )
    found = ", ".join(sorted(path.name for path in base_path.iterdir())[:8]) or "nothing"
    raise ModelFolderError(f"{base_path}: holds no complete version; {expected}, found {found}; {advice}")
