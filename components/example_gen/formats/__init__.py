"""Annotation formats, one file each."""

from __future__ import annotations

from collections.abc import Callable

from components.example_gen.annotations import AnnotationFormat
from components.example_gen.settings import DataSettings


def make_format(settings: DataSettings) -> AnnotationFormat:
    """The format that ``data.format`` or ``data.target.format`` names."""
    from components.example_gen.formats.coco import Coco
    from components.example_gen.formats.csv_table import CsvTable
    from components.example_gen.formats.image_folder import ImageFolder
    from components.example_gen.formats.pascal_voc import PascalVoc
    from components.example_gen.formats.tfrecord import TFRecord
    from components.example_gen.formats.yolo import Yolo

    formats: dict[str, Callable[[DataSettings], AnnotationFormat]] = {
        "pascal_voc": PascalVoc,
        "coco": Coco,
        "yolo": Yolo,
        "csv": CsvTable,
        "tfrecord": TFRecord,
        "images": ImageFolder,
    }
    return formats[settings.format](settings)
