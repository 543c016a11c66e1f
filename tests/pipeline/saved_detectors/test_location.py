"""Which folder is meant."""

from __future__ import annotations

import pathlib

import pytest

from pipeline.saved_detectors.location import SavedModelError, locate_saved_model


def _model(folder: pathlib.Path) -> pathlib.Path:
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"")
    return folder


@pytest.mark.parametrize("inside", ["", "Format-Serving", "saved_model", "7", "7/Format-Serving"])
def test_what_a_folder_is_or_holds(tmp_path: pathlib.Path, inside: str) -> None:
    expected = _model(tmp_path / "model" / inside)
    assert locate_saved_model(tmp_path / "model") == expected


def test_the_newest_version_by_its_number(tmp_path: pathlib.Path) -> None:
    for version in ("9", "10"):
        _model(tmp_path / version)
    (tmp_path / "11").mkdir()  # not written yet
    _model(tmp_path / "2000-backup")
    assert locate_saved_model(tmp_path) == tmp_path / "10"


def test_what_is_none(tmp_path: pathlib.Path) -> None:
    with pytest.raises(SavedModelError, match=r"nowhere is not there; expected a folder with saved_model.pb"):
        locate_saved_model(tmp_path / "nowhere")
    (tmp_path / "weights.h5").write_bytes(b"")
    with pytest.raises(SavedModelError, match=r"holds no SavedModel, but weights.h5; expected"):
        locate_saved_model(tmp_path)
    with pytest.raises(SavedModelError, match=r"weights.h5 is a file"):
        locate_saved_model(tmp_path / "weights.h5")
