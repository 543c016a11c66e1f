"""The matches of an evaluation on disk: Parquet, one row an image, written by Beam's workers and read as one table.

Columns: what the image is (``image_id``, ``file``, ``height_pixels``, ``width_pixels``, ``slice_columns``, ``cluster``,
``span``), ``class_names`` that its class indices mean, and the fields of ``Truths`` and ``Detections`` under the prefix
``truth_``, ``candidate_`` and ``baseline_``, a list each. Boxes are (ymin, xmin, ymax, xmax) in pixels, one after the
other.
"""

from __future__ import annotations

import dataclasses
import io
import json
import posixpath
from collections.abc import Iterator, Sequence
from typing import Any, Final

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from components.atomic_files import write_atomically
from components.evaluator.matched_images import (
    Detections,
    ImageFacts,
    MatchedImage,
    MatchedImages,
    Truths,
    join_images,
)

MATCHES_FOLDER: Final = "matches"
"""Folder of the files within the artifact ``evaluation``."""
CANDIDATE: Final = "candidate"
BASELINE: Final = "baseline"

_SUFFIX: Final = ".parquet"
_KNOWN_BEFORE: Final = b"known_before"
_BOXES: Final = "boxes_yxyx_pixels"
_IMAGES: Final = "images"
_TYPES: Final[dict[str, pa.DataType]] = {
    "classes": pa.int64(),
    "scores": pa.float64(),
    _BOXES: pa.float64(),
    "areas_pixels": pa.float64(),
    "ranks": pa.int64(),
    "area_bits": pa.uint8(),
    "matched_counting": pa.uint64(),
    "matched_ignored": pa.uint64(),
    "is_crowd": pa.bool_(),
    "is_ignored": pa.bool_(),
}


_FACTS: Final[dict[str, pa.DataType]] = {
    "image_id": pa.binary(),
    "file": pa.binary(),
    "height_pixels": pa.int64(),
    "width_pixels": pa.int64(),
    "slice_columns": pa.list_(pa.struct([("column", pa.string()), ("value", pa.string())])),
    "cluster": pa.binary(),
    "span": pa.int64(),
    "class_names": pa.list_(pa.string()),
}


class WriteMatches(beam.PTransform):
    """Writes ``MatchedImage`` s into ``<folder>/matches-00000-of-00001.parquet`` and so on."""

    def __init__(self, folder: str, models: Sequence[str], known_before: Sequence[str] | None) -> None:
        """Args: the folder, the models in every image, and the classes of the last blessed model."""
        super().__init__()
        self._folder = folder
        self._models = tuple(models)
        self._schema = _schema(models).with_metadata({_KNOWN_BEFORE: json.dumps(known_before).encode()})

    def expand(self, images: beam.PCollection) -> beam.PCollection:
        rows = images | "ToRow" >> beam.Map(row_of, models=self._models)
        return rows | "Write" >> beam.io.WriteToParquet(
            posixpath.join(self._folder, "matches"), self._schema, codec="zstd", file_name_suffix=_SUFFIX
        )


def write_matches(folder: str, images: MatchedImages) -> None:
    """Writes what is already in one place as ``WriteMatches`` writes it, into one file."""
    tables: dict[str, Truths | Detections] = {"truth": images.truths, CANDIDATE: images.candidate}
    if images.baseline is not None:
        tables[BASELINE] = images.baseline
    schema = _schema([name for name in tables if name != "truth"])
    known_before = None if images.known_before is None else list(images.known_before)
    rows = [_facts_row(facts, images.class_names) for facts in images.images]
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in _FACTS.items()}
    for prefix, table in tables.items():
        # Row by row of the table they lie image by image.
        ends = np.searchsorted(table.images, np.arange(len(images.images) + 1))  # [I + 1]
        for name in _columns(type(table)):
            values = getattr(table, name)
            offsets = ends * (4 if name == _BOXES else 1)
            columns[f"{prefix}_{name}"] = pa.ListArray.from_arrays(
                pa.array(offsets, pa.int32()), pa.array(values.reshape(-1), _TYPES[name])
            )
    written = pa.table(columns, schema.with_metadata({_KNOWN_BEFORE: json.dumps(known_before).encode()}))
    buffer = io.BytesIO()
    pq.write_table(written, buffer, compression="zstd")
    tf.io.gfile.makedirs(folder)
    write_atomically(posixpath.join(folder, f"matches-00000-of-00001{_SUFFIX}"), buffer.getvalue())


def read_matches(folder: str) -> MatchedImages:
    """Reads what ``WriteMatches`` wrote.

    Raises:
      ValueError: the folder holds no such files, or they are damaged.
    """
    files = sorted(tf.io.gfile.glob(posixpath.join(folder, f"*{_SUFFIX}")))
    if not files:
        raise ValueError(f"{folder}: holds no *{_SUFFIX}; expected the matches of an Evaluator")
    images: list[MatchedImage] = []
    known_before: list[str] | None = None
    models: tuple[str, ...] = (CANDIDATE,)
    for path in files:
        try:
            with tf.io.gfile.GFile(path, "rb") as file:
                table = pq.read_table(pa.BufferReader(file.read()))
            images += _images_of(table)
        except (pa.ArrowException, KeyError) as error:
            raise ValueError(f"{path}: is no file of matches: {error}") from error
        known_before = json.loads((table.schema.metadata or {}).get(_KNOWN_BEFORE, b"null"))
        models = _models_of(table)
    return join_images(images, CANDIDATE, BASELINE if BASELINE in models else None, known_before)


def row_of(image: MatchedImage, models: Sequence[str]) -> dict[str, Any]:
    """One image as a row of the table."""
    row = _facts_row(image.facts, image.class_names)
    tables: list[tuple[str, Truths | Detections]] = [
        ("truth", image.truths),
        *((model, image.detections[model]) for model in models),
    ]
    for prefix, table in tables:
        for name in _columns(type(table)):
            row[f"{prefix}_{name}"] = getattr(table, name).reshape(-1)
    return row


def _facts_row(facts: ImageFacts, class_names: Sequence[str]) -> dict[str, Any]:
    return {
        # File names need not be UTF-8; what tells images apart must survive.
        "image_id": facts.image_id.encode("utf-8", "surrogateescape"),
        "file": facts.file.encode("utf-8", "surrogateescape"),
        "height_pixels": facts.height_pixels,
        "width_pixels": facts.width_pixels,
        "slice_columns": [
            {"column": column, "value": value} for column, values in facts.columns.items() for value in values
        ],
        "cluster": facts.cluster.encode("utf-8", "surrogateescape"),
        "span": facts.span,
        "class_names": list(class_names),
    }


def _columns(table: type[Truths] | type[Detections]) -> list[str]:
    """The fields that are kept: a row is an image, whose number says nothing."""
    return [field.name for field in dataclasses.fields(table) if field.name != _IMAGES]


def _schema(models: Sequence[str]) -> pa.Schema:
    tables: list[tuple[str, type[Truths] | type[Detections]]] = [
        ("truth", Truths),
        *((model, Detections) for model in models),
    ]
    return pa.schema(
        [
            *_FACTS.items(),
            *((f"{prefix}_{name}", pa.list_(_TYPES[name])) for prefix, table in tables for name in _columns(table)),
        ]
    )


def _models_of(table: pa.Table) -> tuple[str, ...]:
    return tuple(model for model in (CANDIDATE, BASELINE) if f"{model}_scores" in table.column_names)


def _images_of(table: pa.Table) -> Iterator[MatchedImage]:
    models = _models_of(table)
    truths = _arrays(table, "truth", Truths)
    detections = {model: _arrays(table, model, Detections) for model in models}
    facts = table.select(
        [name for name in table.column_names if not name.startswith(("truth_", *(f"{model}_" for model in models)))]
    )
    for place, row in enumerate(facts.to_pylist()):
        columns: dict[str, tuple[str, ...]] = {}
        for pair in row["slice_columns"]:
            columns[pair["column"]] = (*columns.get(pair["column"], ()), pair["value"])
        yield MatchedImage(
            ImageFacts(
                row["image_id"].decode("utf-8", "surrogateescape"),
                row["file"].decode("utf-8", "surrogateescape"),
                row["height_pixels"],
                row["width_pixels"],
                columns,
                row["cluster"].decode("utf-8", "surrogateescape"),
                row["span"],
            ),
            tuple(row["class_names"]),
            Truths(**_row_of_arrays(truths, place)),
            {model: Detections(**_row_of_arrays(arrays, place)) for model, arrays in detections.items()},
        )


def _arrays(
    table: pa.Table, prefix: str, kind: type[Truths] | type[Detections]
) -> dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Values of all images and where each image's begin, by field."""
    arrays = {}
    for name in _columns(kind):
        column = table[f"{prefix}_{name}"].combine_chunks()
        values = column.flatten().to_numpy(zero_copy_only=False)
        offsets = column.offsets.to_numpy() - column.offsets[0].as_py()
        arrays[name] = (values.reshape(-1, 4), offsets // 4) if name == _BOXES else (values, offsets)
    return arrays


def _row_of_arrays(
    arrays: dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]], place: int
) -> dict[str, np.ndarray[Any, Any]]:
    row = {name: values[offsets[place] : offsets[place + 1]] for name, (values, offsets) in arrays.items()}
    return {_IMAGES: np.zeros(len(row[_BOXES]), np.int64), **row}
