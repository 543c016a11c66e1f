from __future__ import annotations

import unicodedata

import pytest

from schema.label_map import read_label_map
from schema.text import clean_name, decode, spelling_key


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path, encoding: str) -> None:
    content = "größe\r\nb\r\n".encode(encoding)
    assert decode(content) == "größe\r\nb\r\n"
    (tmp_path / "classes.txt").write_bytes(content)
    assert read_label_map(tmp_path / "classes.txt").names == ("größe", "b")


def test_utf_16_without_its_mark_is_told() -> None:
    with pytest.raises(UnicodeDecodeError, match=r"UTF-16 without its byte order mark; save the file as UTF-8"):
        decode("names".encode("utf-16-le"))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system(tmp_path, end: str) -> None:
    (tmp_path / "classes.txt").write_bytes(f"a{end}{end}b{end}".encode())
    assert list(read_label_map(tmp_path / "classes.txt")) == [(1, "a"), (3, "b")]


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("\ufeffRBC", "RBC"),
        (" RBC\u00a0\r", "RBC"),
        ("stop\nsign", "stop sign"),
        (unicodedata.normalize("NFD", "Größe"), "Größe"),
        ("02146", "02146"),
        ("a  B", "a  B"),
        ("\ufeff \t", ""),
    ],
)
def test_what_nobody_sees_is_no_part_of_a_name(written: str, name: str) -> None:
    assert clean_name(written) == name
    assert clean_name(name) == name


def test_names_that_are_probably_one_class() -> None:
    assert spelling_key(" Stop  sign") == spelling_key("stopSign")
    assert spelling_key("stop") != spelling_key("step")
