from __future__ import annotations

import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.label_map import LabelMap, LabelMapError, parse_labels_txt, parse_pbtxt, read_label_map
from schema.text import clean_name

NAMES = st.lists(
    st.text(st.characters(blacklist_categories=("Cs",))).map(clean_name).filter(bool), unique=True, min_size=1
)


@given(NAMES)
def test_labels_txt_round_trips(names: list[str]) -> None:
    label_map = LabelMap.of_names(names)
    assert parse_labels_txt(label_map.to_labels_txt()) == label_map
    assert all(
        label_map.name_by_index[class_id - 1] == name and label_map.id_of(name) == class_id
        for class_id, name in label_map
    )


def test_a_line_ends_at_a_line_feed_alone() -> None:
    label_map = LabelMap.of_names(["stop\u2028sign", "car\x85", "bus"])
    assert parse_labels_txt(label_map.to_labels_txt()).id_of("bus") == 3
    assert label_map.name_by_index[2] == "bus"


def test_ids_may_have_gaps() -> None:
    label_map = LabelMap((2, 4), ("a", "b"))
    assert label_map.to_labels_txt() == "\na\n\nb\n"
    assert parse_labels_txt(label_map.to_labels_txt()) == label_map
    assert label_map.name_by_index[2] == ""
    assert label_map.id_of("c") is None
    assert len(label_map) == 2


def test_pbtxt_in_any_order_display_name_wins() -> None:
    text = r"""
    item { name: '/m/01g317' id: 2 display_name: "person" }
    item {
      id: 1
      name: 'it\'s a car'
    }
    """
    assert list(parse_pbtxt(text)) == [(1, "it's a car"), (2, "person")]


def test_pbtxt_is_read_as_protobuf_reads_it() -> None:
    text = """
    item { id: 0 name: 'background' }
    item { id: 1, name: "a: {b}" keypoints { id: 0 label: 'centre' } frequency: RARE }
    item: < id: 3 name: 'two ' 'parts' ancestor_ids: [1, 2] of_another_tool { colour: "red" } >  # the third
    """
    assert list(parse_pbtxt(text)) == [(1, "a: {b}"), (3, "two parts")]


@pytest.mark.parametrize(
    ("ids", "names", "message"),
    [
        ((1, 2), ("a",), "2 ids but 1 names"),
        ((0, 1), ("a", "b"), "positive and increasing"),
        ((2, 1), ("a", "b"), "positive and increasing"),
        ((1, 2), ("a", "a"), "more than once: a"),
    ],
)
def test_what_is_no_label_map(ids: tuple[int, ...], names: tuple[str, ...], message: str) -> None:
    with pytest.raises(LabelMapError, match=message):
        LabelMap(ids, names)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.txt", b"\n\n", "no classes found"),
        ("labels.txt", b"\xff\xfa", "cannot be read"),
        ("map.pbtxt", b"item { id: 1 name: 'a' }\nitem { id: 2 }", "item 2 needs `id` and `name`, found id: 2"),
        ("map.pbtxt", b"item {\n  id: 1\n  name a\n}", 'line 3, column 8: .*Expected ":".*Expected `item'),
        ("map.pbtxt", b"item { id: 1.5 name: 'a' }", "line 1, column 12: .*Couldn't parse integer: 1.5"),
        ("map.pbtxt", b"item { id: 1 name: '\\377' }", "codec can't decode byte 0xff.* Expected `item"),
        ("map.pbtxt", b"item { id: 0 name: 'a' }", "the id 0 for 'a'; ids start at 1"),
        ("map.pbtxt", b"item { id: 1 name: 'b' } item { id: 1 name: 'a' }", "the id 1 twice: for 'a' and for 'b'"),
        ("map.txt", b"# ours\n\nitem { id: 1 }", "item 1 needs `id` and `name`"),
        ("data.yaml", b"names: [a]", r"expected a \.pbtxt file, or a labels\.txt with one name a line"),
    ],
)
def test_a_bad_file_is_named(tmp_path: pathlib.Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(LabelMapError, match=message) as raised:
        read_label_map(path)
    assert str(path) in str(raised.value)


def test_pbtxt_under_another_name(tmp_path: pathlib.Path) -> None:
    (tmp_path / "label_map.txt").write_text(
        "\ufeff# ours\r\nitem {\r\n  id: 7\r\n  name: 'a'\r\n}\r\n", encoding="utf-8"
    )
    assert list(read_label_map(tmp_path / "label_map.txt")) == [(7, "a")]


def test_a_missing_file_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(LabelMapError, match=r"absent\.txt"):
        read_label_map(tmp_path / "absent.txt")
