from __future__ import annotations

import pytest

from components.example_gen.annotations import DataError
from components.example_gen.formats.csv_table import CsvTable
from components.example_gen.settings import DataSettings, SplitSettings

HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax"


def test_rows_become_images(run, tmp_path, image_bytes) -> None:
    for i in range(6):
        (tmp_path / f"bild {i}.jpg").write_bytes(image_bytes(seed=i))
    rows = [
        HEADER + ",video,split",
        '"bild 0.jpg",40,30,car,4,3,24,18,007,train',
        "bild 1.jpg,40,30,,,,,,008,train",
        "bild 2.jpg,80,60,car,8,6,48,36,,val",
        "bild 0.jpg,40,30,bus, 0 ,0,10,10,007,train",
        "bild 3.jpg,,,car,0,0,x,10,,val",
        "bild 4.jpg,40,30,,0,0,9,10,,val",
        "gone.jpg,40,30,car,0,0,9,10,,val",
        ",40,30,car,0,0,9,10,,val",
    ]
    (tmp_path / "labels.csv").write_text("\ufeff" + "\n".join(rows) + "\n", encoding="utf-8")
    result = run(format="csv", path=str(tmp_path))
    assert result.source_ids("train") == {"bild 0.jpg", "bild 1.jpg"}
    assert result.source_ids("eval") == {"bild 2.jpg", "bild 3.jpg", "bild 4.jpg"}
    assert sorted((f.kind, f.where) for f in result.findings) == [
        ("malformed_annotation", "line 9"),
        ("malformed_box", "line 6"),
        ("missing_image", "labels.csv line 8"),
        ("size_mismatch", "width, height"),
        ("unknown_class", "labels.csv line 7"),
    ]
    values = result.record("bild 0.jpg").features.feature
    assert values["image/object/class/text"].bytes_list.value[:] == [b"car", b"bus"]
    assert values["image/object/bbox/xmin"].float_list.value[:] == pytest.approx([0.1, 0.0])
    assert values["image/meta/video"].bytes_list.value[:] == [b"007"], "leading zeros are no number"
    scaled = result.record("bild 2.jpg").features.feature
    assert scaled["image/object/bbox/xmax"].float_list.value[:] == pytest.approx([0.6])


def test_columns_that_are_missing_are_named(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("picture,class,xmin,ymin,xmax,ymax\n")
    with pytest.raises(
        DataError, match=r"a.csv: line 1: expected the columns filename, .*; filename missing, found picture"
    ):
        CsvTable(DataSettings(format="csv", path=str(tmp_path))).sources(str(tmp_path))
    (tmp_path / "a.csv").write_text(HEADER + ",split\na.jpg,1,1,a,0,0,1,1,somewhere\n")
    with pytest.raises(DataError, match="'somewhere' is none of train"):
        CsvTable(DataSettings(format="csv", path=str(tmp_path))).sources(str(tmp_path))


def test_a_quote_that_is_never_closed_is_named(run, tmp_path) -> None:
    lines = [HEADER, 'a.jpg,40,30,"car,1,2,3,4', *("b.jpg,40,30,car,1,2,3,4" for _ in range(7000))]
    (tmp_path / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(Exception, match=r"labels\.csv: line \d+: cannot be read as CSV: field larger than"):
        run(format="csv", path=str(tmp_path))


def test_a_column_to_group_by_is_read_beside_those_to_keep(tmp_path, image_bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(image_bytes())
    (tmp_path / "a.csv").write_text(HEADER + ",video,weather\na.jpg,40,30,a,0,0,1,1,7,fog\n")
    settings = DataSettings(format="csv", path=str(tmp_path), metadata=["weather"])
    for split, columns in (({}, {"weather": "fog"}), ({"group_by": "video"}, {"video": 7, "weather": "fog"})):
        reader = CsvTable(settings.model_copy(update={"split": SplitSettings(**split)}))
        (item,) = reader.items(*reader.sources(str(tmp_path)))
        assert item.metadata == columns


def test_metadata_that_are_not_utf8_are_named(tmp_path) -> None:
    (tmp_path / "a.csv").write_text(HEADER + "\n")
    (tmp_path / "metadata.csv").write_bytes("filename,stadt\na.jpg,Köln\n".encode("latin-1"))
    reader = CsvTable(DataSettings(format="csv", path=str(tmp_path)))
    with pytest.raises(DataError, match=r"metadata.csv: cannot be read as CSV in UTF-8: .*byte 0xf6 in position 22"):
        list(reader.items(*reader.sources(str(tmp_path))))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_tables_of_spreadsheets(tmp_path, image_bytes, delimiter: str, encoding: str) -> None:
    (tmp_path / "a.jpg").write_bytes(image_bytes())
    rows = ["Filename,width,height,Class,xmin,ymin,xmax,YMAX", '"a.jpg","40","30"," 007 ","0","0","9.5","1e1"']
    text = ("\r\n" if delimiter == "," else "\r").join(row.replace(",", delimiter) for row in rows)
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    reader = CsvTable(DataSettings(format="csv", path=str(tmp_path)))
    (item,) = reader.items(*reader.sources(str(tmp_path)))
    (entry,) = item.annotation.objects
    assert (entry.class_name, entry.box_xyxy) == ("007", (0, 0, 9.5, 10))
    assert (item.annotation.width_pixels, item.annotation.height_pixels) == (40, 30)


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("a.jpg,40,30", "3 fields, expected 8 as in line 1"),
        ("a.jpg,40,30,car,0,0,9", "7 fields, expected 8"),
        ("a.jpg,40,30,car,red,0,0,9,9", "9 fields, expected 8"),
        ('a.jpg,40,30,car,0,0,"9,5",9', "a decimal comma"),
    ],
)
def test_a_row_of_another_length_is_no_background(tmp_path, image_bytes, row: str, found: str) -> None:
    (tmp_path / "a.jpg").write_bytes(image_bytes())
    (tmp_path / "a.csv").write_text(f"{HEADER}\n{row}\n")
    reader = CsvTable(DataSettings(format="csv", path=str(tmp_path)))
    (item,) = reader.items(*reader.sources(str(tmp_path)))
    (finding,) = item.annotation.findings
    assert finding.kind == "malformed_box"
    assert found in finding.found
    assert not item.annotation.objects


@pytest.mark.parametrize(
    ("text", "metadata"),
    [
        ("ImageID,Source,LabelName,XMin,XMax,YMin,YMax\na,human,car,1,9,2,8\n", {"Source": "human"}),
        ('"image","xmin","ymin","xmax","ymax","label"\n"a.jpg",1,2,9,8,"car"\n', {}),
        ("image_id,path,x1,y1,x2,y2,class\n7,images/a.jpg,1,2,9,8,car\n", {"image_id": 7}),
        (",x_min,y_min,x_max,y_max,category,file_name\n0,1,2,9,8,car,a.jpg\n", {}),
        ("images/a.jpg,1,2,9,8,car\n", {}),
        ("a.jpg,40,30,car,1,2,9,8\n", {}),
    ],
)
def test_columns_as_other_tools_call_them(tmp_path, image_bytes, text: str, metadata: dict) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(image_bytes())
    (tmp_path / "a.csv").write_text(text)
    reader = CsvTable(DataSettings(format="csv", path=str(tmp_path)))
    (item,) = reader.items(*reader.sources(str(tmp_path)))
    (entry,) = item.annotation.objects
    assert (item.file, entry.class_name, entry.box_xyxy) == ("images/a.jpg", "car", (1, 2, 9, 8))
    assert item.metadata == metadata


@pytest.mark.parametrize("rest", [",,,,", "nan,NaN,None,null,", "nan,nan,nan,nan,nan"])
def test_a_row_without_values_is_an_image_without_objects(tmp_path, image_bytes, rest: str) -> None:
    (tmp_path / "a.jpg").write_bytes(image_bytes())
    (tmp_path / "a.csv").write_text(f"a.jpg,{rest}\n")
    reader = CsvTable(DataSettings(format="csv", path=str(tmp_path)))
    (item,) = reader.items(*reader.sources(str(tmp_path)))
    assert (item.annotation.objects, item.annotation.findings) == ((), ())


def test_a_table_without_header_of_another_kind_is_asked_for_one(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("a.jpg,car,1,2\n")
    with pytest.raises(DataError, match=r"found a.jpg, car, 1, 2; write a first line with these names"):
        CsvTable(DataSettings(format="csv", path=str(tmp_path))).sources(str(tmp_path))
