"""A dozen images with what is there and what the model finds, as SVG drawn over the JPEG."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import posixpath
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image

from schema import features

SHOWN_IMAGES: Final = 12
"""How many images the page shows."""
SCORE_SHOWN: Final = 0.3
"""Detections with a lower score are not drawn."""
_LOOKED_AT: Final = 240
_LONGER_SIDE_PIXELS: Final = 420


@dataclasses.dataclass(frozen=True)
class DrawnBox:
    """A box to draw.

    Attributes:
      box_yxyx_normalized: (ymin, xmin, ymax, xmax) in 0..1.
      class_name: what it is.
      score: of a detection, None for ground truth.
    """

    box_yxyx_normalized: tuple[float, float, float, float]
    class_name: str
    score: float | None = None


@dataclasses.dataclass(frozen=True)
class ExampleImage:
    """One image of the grid.

    Attributes:
      file: its name.
      encoded: JPEG or PNG as in the record.
      truths: what is there.
      detections: what the model finds with at least ``SCORE_SHOWN``; None without a model.
    """

    file: str
    encoded: bytes
    truths: tuple[DrawnBox, ...]
    detections: tuple[DrawnBox, ...] | None


def example_images(examples_uri: str, split: str, model_uri: str | None) -> list[ExampleImage]:
    """Images spread over the first records of a split, always the same ones, with the model's detections.

    Args:
      examples_uri: of the ``Examples`` artifact.
      split: its split.
      model_uri: of the ``Model`` artifact (its ``Format-Serving`` folder is loaded), None to show ground truth only.
    """
    files = sorted(tf.io.gfile.glob(posixpath.join(examples_uri, f"Split-{split}", "*")))
    records = [
        tf.train.Example.FromString(serialized)
        for serialized in tf.data.TFRecordDataset(files, compression_type="GZIP").take(_LOOKED_AT).as_numpy_iterator()
    ]
    chosen = (
        [records[i] for i in np.unique(np.linspace(0, len(records) - 1, SHOWN_IMAGES).astype(int))] if records else []
    )
    encoded = [record.features.feature[features.IMAGE_ENCODED].bytes_list.value[0] for record in chosen]
    found = _detect(model_uri, encoded) if model_uri and encoded else None
    return [
        ExampleImage(
            file=_first_text(record, features.IMAGE_FILENAME),
            encoded=encoded[index],
            truths=tuple(_truths(record)),
            detections=tuple(_detections(found, index)) if found is not None else None,
        )
        for index, record in enumerate(chosen)
    ]


def _detect(model_uri: str, encoded: Sequence[bytes]) -> dict[str, npt.NDArray[Any]]:
    """Outputs of ``serving_default`` for all images."""
    model = tf.saved_model.load(posixpath.join(model_uri, "Format-Serving"))
    outputs = model.signatures["serving_default"](image_bytes=tf.constant(list(encoded)))
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def _first_text(record: tf.train.Example, key: str) -> str:
    values = record.features.feature[key].bytes_list.value
    return values[0].decode("utf-8", "replace") if values else ""


def _truths(record: tf.train.Example) -> Iterator[DrawnBox]:
    values = record.features.feature
    corners = zip(*(values[key].float_list.value for key in features.BOX_KEYS_YXYX), strict=True)
    for (ymin, xmin, ymax, xmax), name in zip(
        corners, values[features.OBJECT_CLASS_TEXT].bytes_list.value, strict=False
    ):
        yield DrawnBox((ymin, xmin, ymax, xmax), name.decode("utf-8", "replace"))


def _detections(found: dict[str, npt.NDArray[Any]], image: int) -> Iterator[DrawnBox]:
    for row in range(int(found["num_detections"][image])):
        score = float(found["detection_scores"][image, row])
        if score >= SCORE_SHOWN:
            ymin, xmin, ymax, xmax = (float(x) for x in found["detection_boxes"][image, row])
            name = found["detection_class_names"][image, row].decode("utf-8", "replace")
            yield DrawnBox((ymin, xmin, ymax, xmax), name, score)


def image_figure(image: ExampleImage) -> str:
    """``<figure>``: the image with ground truth dashed and detections in colours by class name."""
    try:
        with Image.open(io.BytesIO(image.encoded), formats=["JPEG", "PNG"]) as opened:
            opened.draft("RGB", (_LONGER_SIDE_PIXELS, _LONGER_SIDE_PIXELS))
            small = opened.convert("RGB")
    except (OSError, SyntaxError):  # Pillow's name for a damaged PNG
        return f"<figure><figcaption>{html.escape(image.file)}: cannot be decoded</figcaption></figure>"
    small.thumbnail((_LONGER_SIDE_PIXELS, _LONGER_SIDE_PIXELS))
    output = io.BytesIO()
    small.save(output, "JPEG", quality=80)
    width, height = small.size
    boxes = [_box(box, width, height) for box in (*image.truths, *reversed(image.detections or ()))]
    data = base64.b64encode(output.getvalue()).decode("ascii")
    found = "no model" if image.detections is None else f"{len(image.detections)} found"
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" role="img">'
        f'<image href="data:image/jpeg;base64,{data}" width="{width}" height="{height}"/>{"".join(boxes)}</svg>'
        f"<figcaption>{html.escape(image.file)}: {len(image.truths)} there, {found}</figcaption></figure>"
    )


def _box(box: DrawnBox, width: int, height: int) -> str:
    ymin, xmin, ymax, xmax = box.box_yxyx_normalized
    x, y, w, h = xmin * width, ymin * height, max(xmax - xmin, 0) * width, max(ymax - ymin, 0) * height
    title = html.escape(box.class_name if box.score is None else f"{box.class_name} {box.score:.2f}")
    rectangle = f'x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"'
    if box.score is None:
        # Dashes alone vanish in fog, or on a white wall.
        return f'<rect class="under" {rectangle}/><rect class="truth" {rectangle}><title>{title}</title></rect>'
    colour = f"hsl({zlib.crc32(box.class_name.encode()) % 360} 90% 65%)"
    label_y = y - 3 if y > 14 else y + 11
    return (
        f'<rect fill="none" stroke="{colour}" stroke-width="2" {rectangle}><title>{title}</title></rect>'
        f'<text class="label" x="{x + 1:.1f}" y="{label_y:.1f}" style="fill:{colour}">{title}</text>'
    )
