from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.example_gen import files

parts = st.sampled_from(["a", "..", ".", "", "b c", "ü", "...", "~", "..a"])


@given(st.lists(parts, max_size=6), st.lists(st.sampled_from(["a", "b"]), max_size=2), st.booleans())
def test_no_name_leads_out_of_the_data_folder(name: list[str], folder: list[str], absolute: bool) -> None:
    text = ("/" if absolute else "") + "/".join(name)
    try:
        relative = files.safe_relative("/data/set", "/".join(folder), text)
    except files.PathOutsideError:
        return
    assert posixpath.normpath(posixpath.join("/data/set", relative)).startswith("/data/set")
    assert not relative.startswith("/")


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../../x", "/data/set/../x", "/data/settings", "C:\\x", "a\0"]
)
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(files.PathOutsideError):
        files.safe_relative("/data/set", "", name)


def test_names_that_stay_inside() -> None:
    assert files.safe_relative("/data", "train", "../images/a.jpg") == "images/a.jpg"
    assert files.safe_relative("/data", "train", "/data/x/a.jpg") == "x/a.jpg"


def test_listing_is_sorted_follows_links_and_ends(tmp_path) -> None:
    (tmp_path / "set" / "b").mkdir(parents=True)
    (tmp_path / "set" / "b" / "x.JPG").write_bytes(b"123")
    (tmp_path / "set" / ".hidden").write_bytes(b"")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "y.jpg").write_bytes(b"")
    (tmp_path / "set" / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "b" / "up").symlink_to(tmp_path / "set")
    listed = list(files.list_files(str(tmp_path / "set")))
    assert [entry.path for entry in listed] == ["a/y.jpg", "b/x.JPG"]
    assert listed[1].size_bytes == 3
