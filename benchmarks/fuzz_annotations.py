"""Annotation files with damage: nothing may crash, appear or vanish.

``python -m benchmarks.fuzz_annotations [--data ../shared/data] [--mutations 2100] [--seed 0] [FORMAT ...]`` takes a few
images of each real data set (CSV and TFRecord are written from the Pascal VOC one), damages one or two annotation files
(``annotation_damage``) and reads the folder as ExampleGen does, without Beam. Of each reading it is asked that

- it ends, or is refused by an error of ours that is made for the user;
- no class comes out whose name is not in the files;
- every image and every box is accounted for: ExampleGen's own check, and counts taken from the files themselves.

Images are empty pictures of the right size: they are not what is damaged. What fails is copied to ``--keep``.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import html
import itertools
import json
import pathlib
import random
import re
import shutil
import sys
import tempfile
import time
import traceback
import unicodedata
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from PIL import Image

from benchmarks.annotation_damage import damage, damage_bytes, damage_record

if TYPE_CHECKING:
    from components.example_gen.annotations import Item

IMAGES = 2
Files = dict[str, bytes]


def blank(width: int, height: int, folder: pathlib.Path, path: str) -> None:
    """An empty picture."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height)).save(target, "JPEG", quality=10)


def copy_image(source: pathlib.Path, folder: pathlib.Path, path: str) -> None:
    """An empty picture of the size of another."""
    with Image.open(source) as image:
        blank(*image.size, folder, path)


def make_voc(data: pathlib.Path, folder: pathlib.Path) -> Files:
    """A devkit."""
    files: Files = {}
    for name in ("train", "val"):
        ids = (data / "bccd_voc/BCCD/ImageSets/Main" / f"{name}.txt").read_text().split()[:IMAGES]
        files[f"ImageSets/Main/{name}.txt"] = "".join(f"{image_id}\n" for image_id in ids).encode()
        for image_id in ids:
            files[f"Annotations/{image_id}.xml"] = (data / f"bccd_voc/BCCD/Annotations/{image_id}.xml").read_bytes()
            copy_image(data / f"bccd_voc/BCCD/JPEGImages/{image_id}.jpg", folder, f"JPEGImages/{image_id}.jpg")
    return files


def make_coco(data: pathlib.Path, folder: pathlib.Path) -> Files:
    """One JSON file a split."""
    files: Files = {}
    for split in ("train", "valid"):
        (path,) = (data / "rbc_coco" / split).glob("*.json")
        content = json.loads(path.read_text())
        images = content["images"][:IMAGES]
        ids = {image["id"] for image in images}
        annotations = [entry for entry in content["annotations"] if entry["image_id"] in ids]
        kept = {"images": images, "annotations": annotations, "categories": content["categories"]}
        files[f"{split}/{path.name}"] = json.dumps(kept).encode()
        for image in images:
            blank(image["width"], image["height"], folder, f"{split}/{image['file_name']}")
    return files


def make_yolo(data: pathlib.Path, folder: pathlib.Path) -> Files:
    """data.yaml, images and labels."""
    source = data / "ro_trafficsigns_yolo/Traffic-Signs-1"
    files: Files = {"data.yaml": next(source.glob("data.y*ml")).read_bytes()}
    for split in ("train", "valid"):
        for path in sorted((source / split / "images").iterdir())[:IMAGES]:
            label = source / split / "labels" / f"{path.stem}.txt"
            files[f"{split}/labels/{label.name}"] = label.read_bytes()
            copy_image(path, folder, f"{split}/images/{path.name}")
    return files


def make_csv(data: pathlib.Path, folder: pathlib.Path) -> Files:
    """Tables of the Pascal VOC boxes, and a label map."""
    files: Files = {"map.pbtxt": b"".join(b"item { id: %d name: '%s' }\n" % pair for pair in enumerate(CELLS, start=1))}
    for split, images in voc_boxes(data, folder).items():
        rows = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
        for name, (width, height), boxes in images:
            rows += [f"{name},{width},{height},{box[0]},{','.join(map(str, box[1:]))}" for box in boxes]
        files[f"{split}.csv"] = "\n".join(rows).encode()
    return files


def make_tfrecord(data: pathlib.Path, folder: pathlib.Path) -> Files:
    """Records of the Pascal VOC boxes; damaged as serialised examples, see ``damage_records``."""
    import tensorflow as tf

    files: Files = {}
    for split, images in voc_boxes(data, folder).items():
        for name, (width, height), boxes in images:
            example = tf.train.Example()
            values = example.features.feature
            values["image/encoded"].bytes_list.value.append((folder / name).read_bytes())
            values["image/source_id"].bytes_list.value.append(name.encode())
            for column, key, side in ((1, "xmin", width), (2, "ymin", height), (3, "xmax", width), (4, "ymax", height)):
                values[f"image/object/bbox/{key}"].float_list.value.extend(box[column] / side for box in boxes)
            values["image/object/class/text"].bytes_list.value.extend(box[0].encode() for box in boxes)
            values["image/object/class/label"].int64_list.value.extend(1 for _ in boxes)
            files[f"{split}/{name}"] = example.SerializeToString()
            (folder / name).unlink()
    return files


CELLS = (b"RBC", b"WBC", b"Platelets")


def voc_boxes(data: pathlib.Path, folder: pathlib.Path) -> dict[str, list[tuple[str, tuple[int, int], list[tuple]]]]:
    """Name, size and boxes (class, xmin, ymin, xmax, ymax) of a few images a split."""
    from xml.etree.ElementTree import fromstring

    with tempfile.TemporaryDirectory() as temporary:
        files = make_voc(data, pathlib.Path(temporary))
        result: dict[str, list[tuple[str, tuple[int, int], list[tuple]]]] = {}
        for split in ("train", "val"):
            for image_id in files[f"ImageSets/Main/{split}.txt"].decode().split():
                tree = fromstring(files[f"Annotations/{image_id}.xml"])
                size = (int(tree.findtext("size/width") or 0), int(tree.findtext("size/height") or 0))
                fields = ("name", "bndbox/xmin", "bndbox/ymin", "bndbox/xmax", "bndbox/ymax")
                texts = [[entry.findtext(field) or "" for field in fields] for entry in tree.iter("object")]
                boxes = [(text[0], *map(int, text[1:])) for text in texts]
                blank(*size, folder, f"{image_id}.jpg")
                result.setdefault(split, []).append((f"{image_id}.jpg", size, boxes))
    return result


def write(folder: pathlib.Path, files: Files, data_format: str) -> None:
    """Writes annotation files into a data folder, in place of the ones that are there."""
    if data_format == "tfrecord":
        import tensorflow as tf

        for split, group in itertools.groupby(files.items(), key=lambda item: item[0].partition("/")[0]):
            with tf.io.TFRecordWriter(str(folder / f"{split}.tfrecord")) as writer:
                for _, content in group:
                    writer.write(content)
        return
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


class Reading:
    """What ExampleGen makes of a folder."""

    def __init__(self, folder: pathlib.Path, data_format: str, output: pathlib.Path) -> None:
        """Reads it, and checks the accounts."""
        import tensorflow as tf

        from components.data_profile import SplitProfile
        from components.example_gen.annotations import RecordSkippedError
        from components.example_gen.executor import find_sources
        from components.example_gen.formats import make_format
        from components.example_gen.metadata import type_of, widest
        from components.example_gen.records import make_record
        from components.example_gen.report import finished_report, write_report
        from components.example_gen.settings import DataSettings
        from components.example_gen.spans import SpanFolder
        from components.example_gen.splits import SplitPolicy
        from components.example_gen.verdict import check_accounts
        from components.findings import DROP, Finding
        from schema.label_map import read_label_map

        map_path = folder / "map.pbtxt"
        label_map = read_label_map(map_path) if map_path.exists() else None
        settings = DataSettings(
            format=data_format, path=str(folder), label_map=None if label_map is None else str(map_path)
        )
        reader = make_format(settings)
        sources = find_sources(reader, [SpanFolder(0, None, str(folder))])
        policy = SplitPolicy.of_data(settings.split, sources)
        entries = [entry for source in sources for entry in reader.items(source)]
        findings = [entry for entry in entries if isinstance(entry, Finding)]
        items = sorted((entry for entry in entries if not isinstance(entry, Finding)), key=lambda item: item.order)
        counts = collections.Counter(listed=len(items) + sum(finding.loses_record for finding in findings))
        counts["read_boxes"] += sum(finding.treatment == DROP for finding in findings)
        unique = {item.key: item for item in reversed(items)}
        again = [item for item in items if unique[item.key] is not item]
        findings += [settings.bad_input.finding("duplicate_image", item.name, "", "again") for item in again]
        columns = [(name, type_of(value)) for item in unique.values() for name, value in item.metadata.items()]
        types = {name: widest(kind for other, kind in columns if other == name) for name, _ in columns}
        self.classes: set[str] = set()
        profiles: dict[str, SplitProfile] = collections.defaultdict(SplitProfile)
        for loaded in itertools.chain.from_iterable(reader.load(members) for members in in_streams(unique.values())):
            try:
                if isinstance(loaded, Finding):
                    raise RecordSkippedError(loaded)
                record = make_record(loaded, settings.bad_input, label_map, types)
            except RecordSkippedError as skipped:
                findings.append(skipped.finding)
                continue
            findings += record.findings
            record.add_to(profiles[policy.assign(loaded.item)])
            counts["read_boxes"] += record.read_count
            counts.update(f"class/{checked.annotation.class_name}" for checked in record.objects)
            values = tf.train.Example.FromString(record.serialized).features.feature
            self.classes |= {text.decode() for text in values["image/object/class/text"].bytes_list.value}
        counts["skipped"] = sum(finding.loses_record for finding in findings)
        counts["dropped"] = sum(finding.treatment == DROP for finding in findings)
        write_report(str(output), settings.bad_input, findings, counts, profiles)
        self.summary = finished_report(str(output))
        check_accounts(self.summary)


def in_streams(items: Iterable[Item]) -> Iterable[list[Item]]:
    """Items of each file that can only be read from its start on, in its order; all others together."""
    streams: dict[int | None, list[Item]] = {}
    for item in sorted(items, key=lambda item: item.order):
        streams.setdefault(item.stream, []).append(item)
    return streams.values()


def text_of(content: bytes) -> str:
    """All that a file could be said to say: escapes of JSON and XML resolved, without white space."""
    strings: list[str] = []
    try:
        text = decoded(content)
    except UnicodeDecodeError:
        text = content.decode("utf-8", "ignore") + content.decode("latin-1")
    with contextlib.suppress(ValueError):
        json.loads(text, object_hook=lambda entry: strings.extend(map(str, entry.values())))
    text += "".join(strings)
    return squeezed(text + html.unescape(text).replace('""', '"').replace("''", "'"))


def squeezed(text: str) -> str:
    """Text in the form that names are compared in."""
    return re.sub(r"[\s\x00-\x1f\x7f\ufeff\u200b]+", "", unicodedata.normalize("NFC", text))


def expected_counts(files: Files, data_format: str) -> tuple[int | None, int | None]:
    """Images and boxes in the files, counted without any of the code under test; None where it takes a parser.

    Boxes are those of all images, so the number holds where none was skipped, or, in YOLO, not listed.
    """
    if data_format == "coco":
        trees = [json.loads(decoded(content)) for content in files.values()]
        return sum(len(tree["images"]) for tree in trees), sum(len(tree.get("annotations", ())) for tree in trees)
    if data_format == "yolo":
        labels = [content for path, content in files.items() if path.endswith(".txt")]
        return None, sum(bool(line.strip()) for content in labels for line in decoded(content).splitlines())
    return (len(files) if data_format == "tfrecord" else None), None


def decoded(content: bytes) -> str:
    """The text of a file in any of the encodings that a byte order mark tells."""
    mark = content[:4]
    if mark in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        return content.decode("utf-32")
    return content.decode("utf-16" if mark[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


def problem(files: Files, data_format: str, folder: pathlib.Path, output: pathlib.Path) -> tuple[str, str]:
    """``read`` or ``refused`` with the error's first words, or ``failed`` with what is wrong."""
    from components.user_error import UserError
    from schema.label_map import LabelMapError

    try:
        reading = Reading(folder, data_format, output)
    except (UserError, LabelMapError) as error:
        return "refused", str(error)
    except Exception:  # whatever it is, that is what is looked for
        return "failed", traceback.format_exc()
    said = "".join(text_of(content) for content in files.values())
    invented = [name for name in reading.classes if squeezed(name) not in said]
    if invented:
        return "failed", f"classes that are in no file: {invented}"
    summary = reading.summary
    images, boxes = expected_counts(files, data_format) if summary.skipped_images == 0 else (None, None)
    if data_format == "yolo" and summary.listed_images != 2 * IMAGES:
        boxes = None
    if images not in (None, summary.listed_images) or boxes not in (None, summary.read_boxes):
        return "failed", f"{images} images and {boxes} boxes in the files, found {summary}"
    return "read", "with findings" if summary.findings else "without findings"


MAKERS: dict[str, Callable[[pathlib.Path, pathlib.Path], Files]] = {
    "pascal_voc": make_voc,
    "coco": make_coco,
    "yolo": make_yolo,
    "csv": make_csv,
    "tfrecord": make_tfrecord,
}


def fuzz(
    data_format: str, data: pathlib.Path, mutations: int, seed: int, keep: pathlib.Path | None, verbose: bool = False
) -> tuple[str, int]:
    """A row of the table, and the number of failures."""
    from google.protobuf.message import DecodeError

    outcomes: collections.Counter[str] = collections.Counter()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder, output = pathlib.Path(temporary, "data"), pathlib.Path(temporary, "out")
        folder.mkdir()
        output.mkdir()
        original = MAKERS[data_format](data, folder)
        write(folder, original, data_format)
        for number in range(mutations):
            rng = random.Random(f"{seed} {data_format} {number}")
            files = dict(original)
            for _ in range(rng.choice((1, 1, 2))):
                path = rng.choice(sorted(files))
                try:
                    files[path] = (damage_record if data_format == "tfrecord" else damage)(files[path], rng)
                except (ValueError, TypeError, DecodeError):  # damaged already beyond a second mutation of this kind
                    files[path] = damage_bytes(files[path], rng)
            changed = files if data_format == "tfrecord" else {p: c for p, c in files.items() if c != original[p]}
            write(folder, changed, data_format)
            outcome, what = problem(files, data_format, folder, output)
            outcomes[outcome if outcome != "read" else what] += 1
            if outcome == "refused" and verbose:
                print(f"{data_format} {number}: {what}", file=sys.stderr)
            if outcome == "failed":
                print(f"{data_format} mutation {number} (seed {seed}): {what}", file=sys.stderr)
                if keep is not None:
                    shutil.copytree(folder, keep / f"{data_format}-{number}", dirs_exist_ok=True)
            write(folder, {path: original[path] for path in changed}, data_format)
    counts = " | ".join(str(outcomes[key]) for key in ("without findings", "with findings", "refused", "failed"))
    return f"| {data_format} | {mutations} | {counts} | {time.perf_counter() - start:.0f} |", outcomes["failed"]


def main() -> None:
    """Prints the table; the exit status is 1 when anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("../shared/data"))
    parser.add_argument("--mutations", type=int, default=2100, help="of each format")
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=f"which ones (default: all): {', '.join(MAKERS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the data folders that fail")
    parser.add_argument("--verbose", action="store_true", help="print what is refused, and why")
    options = parser.parse_args()
    unknown = set(options.formats) - MAKERS.keys()
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(MAKERS)}")
    print("| format | mutations | read without findings | read with findings | refused | failed | seconds |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    failed = 0
    for data_format in options.formats or MAKERS:
        row, failures = fuzz(data_format, options.data, options.mutations, options.seed, options.keep, options.verbose)
        failed += failures
        print(row, flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
