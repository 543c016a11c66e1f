"""``python -m pipeline doctor FOLDER``: what a data folder holds, what is wrong with it, and a config to start with."""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from components.example_gen import files
from components.example_gen.image_lookup import is_image_name
from components.user_error import UserError
from components.validation.settings import DarkImages
from pipeline.doctor.folder import finding_lines, look_at_folder
from pipeline.doctor.layout import FORMATS, Layout
from pipeline.doctor.sheet import choose, draw_sheet, is_dark
from pipeline.doctor.survey import Survey

_MOST_CLASSES: Final = 40


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0, or 1 when a run would stop at this data or it cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline doctor", description="Say what a data folder holds, what is wrong, and how to start."
    )
    parser.add_argument("folder", type=pathlib.Path, help="the folder that holds the annotated images")
    parser.add_argument("--sheet", type=pathlib.Path, help="PNG to draw (default: build/doctor/NAME.png)")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="look at this one of several formats",
    )
    arguments = parser.parse_args(argv)
    folder = arguments.folder.absolute()
    try:
        look = look_at_folder(str(folder), arguments.format)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    looked = look.looked
    name = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")[:40]
    name = name if name[:1].isalpha() else f"data-{name}".strip("-")
    sheet = arguments.sheet or pathlib.Path("build", "doctor", f"{name}.png")
    sheet.parent.mkdir(parents=True, exist_ok=True)
    shown = list(looked.load(choose(looked.pictures)))
    draw_sheet(shown, looked.classes).save(sheet)
    print("\n".join(_report(looked, look.layout, look.others)))
    limits = DarkImages()
    dark = sum(is_dark(encoded, limits.min_brightest) for _, encoded in shown)
    is_dark_set = dark > limits.max_share * len(shown)
    if is_dark_set:
        print(f"Would stop  {dark} of the {len(shown)} pictures on the sheet are almost black to a detector")
        print("            (a 16-bit PNG must use its whole range); validation.dark_images has the limits")
    if look.refused:
        print(f"As it is    {look.refused}")
    print(f"Sheet       {sheet}\n\nTo start with, as {name}.yaml:\n")
    print(_config(name, looked))
    return 1 if looked.stops or is_dark_set else 0


def _report(looked: Survey, layout: Layout, others: Sequence[Layout]) -> Iterator[str]:
    summary = looked.summary
    yield f"Format      {layout.format} ({layout.described})"
    for other in others:
        yield f"            or {other.format} ({other.described}): look at it with --format {other.format}"
    division = "by a stable hash" if looked.settings.split.source == "hash" else "as the data says"
    if not any(picture.item.split for picture in looked.pictures):
        division = "by a stable hash, as the data names no splits"
    yield f"Images      {_by_split(summary.images)}, divided {division}"
    there = sum(is_image_name(entry.path) for entry in files.list_files(looked.settings.path))
    if layout.format != "tfrecord" and there > summary.listed_images:
        yield f"            {there - summary.listed_images} of {there} image files in the folder are in no annotation"
    empty = sum(profile.images_without_objects for profile in looked.profiles.values())
    yield f"Boxes       {_by_split(summary.boxes)}; {empty} images without"
    classes = [f"{name} {count}" for name, count in looked.classes.items()]
    more = f" and {len(classes) - _MOST_CLASSES} more" if len(classes) > _MOST_CLASSES else ""
    yield f"Classes     {len(classes)}: {', '.join(classes[:_MOST_CLASSES])}{more}"
    yield f"Findings    {'none' if not summary.findings else sum(summary.findings.values())}"
    for line in finding_lines(looked.findings):
        yield f"            {line}"
    for warning in looked.warnings:
        yield f"Warning     {warning}"
    for stop in looked.stops:
        yield f"Would stop  {stop}"


def _by_split(counts: dict[str, int]) -> str:
    return ", ".join(f"{split} {counts[split]}" for split in ("train", "eval", "test") if split in counts) or "none"


def _config(name: str, looked: Survey) -> str:
    """Five lines that describe a pipeline on the data; JSON's quotes are YAML's, too."""
    data = f"format: {looked.settings.format}, path: {json.dumps(looked.settings.path, ensure_ascii=False)}"
    if looked.settings.label_map is not None:
        data += f", label_map: {json.dumps(looked.settings.label_map, ensure_ascii=False)}"
    if looked.settings.split.source == "hash":
        data += ", split: {source: hash}"
    return "\n".join(
        (
            f"name: {name}",
            f"data: {{{data}}}",
            "model: {detector: ssd_mobilenet_v2_fpnlite, pretrained: imagenet}",
            "train: {batch_size: 8}",
            "eval: {gates: {minimum: {AP50: 0.5}}}",
        )
    )
