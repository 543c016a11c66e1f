"""Annotation files with damage: a fixed few; benchmarks/fuzz_annotations.py tries thousands on real data."""

from __future__ import annotations

import collections
import json
import pathlib
import random

import pytest

from components.example_gen.annotations import DataError, RecordSkippedError
from components.example_gen.executor import find_sources
from components.example_gen.formats import make_format
from components.example_gen.records import make_record
from components.example_gen.settings import DataSettings
from components.example_gen.spans import SpanFolder
from components.findings import DROP, Finding
from schema.label_map import LabelMapError

MUTATIONS = 40
CLASSES = {"car", "stop sign"}
ROW = "0 0.5 0.5 0.2 0.2\n1 0.3 0.3 0.1 0.1\n"
COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}, {"id": 2, "file_name": "b.jpg"}],
    "annotations": [
        {"id": i, "image_id": 1 + i % 2, "category_id": 1 + i % 2, "bbox": [1 + i, 2, 9, 8]} for i in range(4)
    ],
    "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "stop sign"}],
}
CSV = "filename,width,height,class,xmin,ymin,xmax,ymax\n" + "".join(
    f"{name}.jpg,40,30,{kind},1,2,9,8\n" for name in "ab" for kind in sorted(CLASSES)
)
PBTXT = "item { id: 1 name: 'car' }\nitem { id: 2 name: 'stop sign' keypoints { id: 0 } }\n"


def seeds(data_format: str, voc_xml) -> dict[str, str]:
    boxes = [("car", 1, 2, 9, 8), ("stop sign", 1, 2, 20, 20)]
    return {
        "pascal_voc": {f"{name}.xml": voc_xml(f"{name}.jpg", boxes) for name in "ab"},
        "coco": {"labels.json": json.dumps(COCO)},
        "yolo": {"data.yaml": "train: .\nnc: 2\nnames: [car, stop sign]\n", "a.txt": ROW, "b.txt": ROW},
        "csv": {"labels.csv": CSV, "map.pbtxt": PBTXT},
    }[data_format]


def damaged(content: bytes, rng: random.Random) -> bytes:
    at, size = rng.randrange(len(content)), rng.choice((1, 1, 4, 30))
    replacement = rng.choice(
        (b"", b"\xff", b"\0", b'"', b"<", b"nan", b"1e999", b",", b"\r", content[at : at + size] * 2)
    )
    return content[:at] + replacement + content[at + size :]


def read(folder: pathlib.Path, data_format: str) -> tuple[collections.Counter[str], set[str]]:
    """What became of images and boxes, and the classes of the records."""
    label_map = str(folder / "map.pbtxt") if data_format == "csv" else None
    settings = DataSettings(format=data_format, path=str(folder), label_map=label_map)
    reader = make_format(settings)
    counts: collections.Counter[str] = collections.Counter()
    classes: set[str] = set()
    for source in find_sources(reader, [SpanFolder(0, None, str(folder))]):
        entries = list(reader.items(source))
        items = [entry for entry in entries if not isinstance(entry, Finding)]
        counts["items"] += len(items)
        for loaded in reader.load(items):
            if isinstance(loaded, Finding):
                counts["skipped"] += loaded.loses_record
                continue
            try:
                record = make_record(loaded, settings.bad_input, None, dict.fromkeys(loaded.item.metadata, "str"))
            except RecordSkippedError:
                counts["skipped"] += 1
                continue
            counts["written"] += 1
            counts["boxes read"] += record.read_count
            counts["boxes written"] += len(record.objects)
            counts["boxes dropped"] += sum(finding.treatment == DROP for finding in record.findings)
            classes.update(checked.class_name for checked in record.objects)
    return counts, classes


@pytest.mark.parametrize("data_format", ["pascal_voc", "coco", "yolo", "csv"])
def test_damage_is_refused_or_accounted_for(tmp_path, image_bytes, voc_xml, data_format: str) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(image_bytes())
    original = {path: text.encode() for path, text in seeds(data_format, voc_xml).items()}
    for path, content in original.items():
        (tmp_path / path).write_bytes(content)
    counts, classes = read(tmp_path, data_format)
    assert (counts["written"], counts["boxes written"], classes) == (2, 4, CLASSES)
    for number in range(MUTATIONS):
        rng = random.Random(f"{data_format} {number}")
        path = rng.choice(sorted(original))
        content = damaged(original[path], rng)
        (tmp_path / path).write_bytes(content)
        try:
            counts, classes = read(tmp_path, data_format)
        except (DataError, LabelMapError) as error:
            assert path in str(error), "a refusal names the file"
        else:
            assert counts["items"] == counts["written"] + counts["skipped"]
            assert counts["boxes read"] == counts["boxes written"] + counts["boxes dropped"]
            said = b" ".join([content, *original.values()]).decode("utf-8", "ignore")
            assert all(name in said for name in classes), number
        (tmp_path / path).write_bytes(original[path])
