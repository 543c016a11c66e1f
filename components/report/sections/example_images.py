"""A dozen images with what is there and what the model finds, as SVG drawn over the JPEG."""

from __future__ import annotations

import base64
import dataclasses
import io
import posixpath
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image

from components.report.section import Run, Section, TextPair, UnreadableError, reading
from schema import exported_model, features

SHOWN_IMAGES: Final = 12
"""How many images the page shows."""
SCORE_SHOWN: Final = 0.3
"""Detections with a lower score are not drawn."""
_LOOKED_AT: Final = 240
_LONGER_SIDE_PIXELS: Final = 420
_FALLBACK_SPLIT: Final = "eval"

Outputs = dict[str, npt.NDArray[Any]]


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

    @property
    def title(self) -> str:
        """The class, with the score of a detection."""
        return self.class_name if self.score is None else f"{self.class_name} {self.score:.2f}"

    @property
    def hue(self) -> int:
        """The class's colour, in degrees."""
        return zlib.crc32(self.class_name.encode("utf-8", "replace")) % 360


@dataclasses.dataclass(frozen=True)
class ExampleImage:
    """One image of the grid.

    Attributes:
      file: its name.
      jpeg: the image made small; empty when it cannot be decoded.
      height_width_pixels: of the small image.
      truths: what is there.
      detections: what the model finds with at least ``SCORE_SHOWN``; None without a model.
    """

    file: str
    jpeg: bytes
    height_width_pixels: tuple[int, int]
    truths: tuple[DrawnBox, ...]
    detections: tuple[DrawnBox, ...] | None

    @property
    def data_url(self) -> str:
        """The small image inside its own address."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.jpeg).decode('ascii')}"

    @property
    def boxes(self) -> Sequence[tuple[DrawnBox, dict[str, float]]]:
        """Boxes in the order they are drawn (the surest detection on top), each with its place in pixels."""
        height, width = self.height_width_pixels
        placed = []
        for box in (*self.truths, *reversed(self.detections or ())):
            ymin, xmin, ymax, xmax = box.box_yxyx_normalized
            place = {"x": xmin * width, "y": ymin * height}
            placed.append((box, {**place, "w": max(xmax - xmin, 0) * width, "h": max(ymax - ymin, 0) * height}))
        return placed

    @property
    def caption(self) -> str:
        """The file, and how much is there and found."""
        found = "no model" if self.detections is None else f"{len(self.detections)} found"
        return f"{self.file}: {len(self.truths)} there, {found}"


@dataclasses.dataclass(frozen=True)
class ExampleImages(Section):
    """Images of the split that was judged, spread over its first records, always the same ones.

    Attributes:
      split: the split.
      images: with the model's detections, where there is a model.
      problem: why there are no detections although there is a model; empty otherwise.
    """

    title = "Examples"
    template = "example_images.html"
    score_shown = SCORE_SHOWN

    split: str
    images: tuple[ExampleImage, ...]
    problem: str

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Reads the artifacts ``examples`` and ``model``. With a model that cannot be used, ground truth is shown."""
        examples_uri, model_uri = run.record.uri("examples"), run.record.uri("model")
        if examples_uri is None:
            return None
        split, problem = run.record.judged_split or _FALLBACK_SPLIT, ""
        folder = posixpath.join(examples_uri, f"Split-{split}")
        with reading(folder):
            chosen = _chosen_records(folder)
            encoded = [record.features.feature[features.IMAGE_ENCODED].bytes_list.value[0] for record in chosen]
        found = None
        try:
            found = _detect(model_uri, encoded) if model_uri and encoded else None
        except UnreadableError as error:
            problem = str(error)
        with reading(folder):
            images = tuple(_example_image(record, found, index) for index, record in enumerate(chosen))
        return cls(split, images, problem)

    def lines(self) -> Sequence[TextPair]:
        """Nothing: images are for the page. Unless there should be detections."""
        return ((self.title, f"the model could not be read: {self.problem}"),) if self.problem else ()


def _chosen_records(folder: str) -> list[tf.train.Example]:
    tf.io.gfile.stat(folder)  # a folder that is gone is an error, an empty one is not
    files = sorted(tf.io.gfile.glob(posixpath.join(folder, "*")))
    records = [
        tf.train.Example.FromString(serialized)
        for serialized in tf.data.TFRecordDataset(files, compression_type="GZIP").take(_LOOKED_AT).as_numpy_iterator()
    ]
    if not records:
        return []
    return [records[index] for index in np.unique(np.linspace(0, len(records) - 1, SHOWN_IMAGES).astype(int))]


def _detect(model_uri: str, encoded: Sequence[bytes]) -> Outputs:
    """Outputs of the served signature for all images."""
    folder = posixpath.join(model_uri, "Format-Serving")
    with reading(folder):
        model = tf.saved_model.load(folder)
        outputs = model.signatures[exported_model.SERVING_SIGNATURE](
            **{exported_model.IMAGE_BYTES: tf.constant(list(encoded))}
        )
        return {name: tensor.numpy() for name, tensor in outputs.items()}


def _example_image(record: tf.train.Example, found: Outputs | None, index: int) -> ExampleImage:
    feature = record.features.feature
    names = feature[features.IMAGE_FILENAME].bytes_list.value
    jpeg, height_width_pixels = small_jpeg(feature[features.IMAGE_ENCODED].bytes_list.value[0])
    return ExampleImage(
        file=names[0].decode("utf-8", "replace") if names else "",
        jpeg=jpeg,
        height_width_pixels=height_width_pixels,
        truths=tuple(_truths(record)),
        detections=tuple(_detections(found, index)) if found is not None else None,
    )


def small_jpeg(encoded: bytes) -> tuple[bytes, tuple[int, int]]:
    """The image with at most ``_LONGER_SIDE_PIXELS``, and its height and width; nothing when it does not decode."""
    try:
        with Image.open(io.BytesIO(encoded), formats=["JPEG", "PNG"]) as opened:
            opened.draft("RGB", (_LONGER_SIDE_PIXELS, _LONGER_SIDE_PIXELS))
            small = opened.convert("RGB")
    except (OSError, SyntaxError):  # Pillow's name for a damaged PNG
        return b"", (0, 0)
    small.thumbnail((_LONGER_SIDE_PIXELS, _LONGER_SIDE_PIXELS))
    output = io.BytesIO()
    small.save(output, "JPEG", quality=80)
    return output.getvalue(), (small.height, small.width)


def _truths(record: tf.train.Example) -> Iterator[DrawnBox]:
    values = record.features.feature
    corners = zip(*(values[key].float_list.value for key in features.BOX_KEYS_YXYX), strict=True)
    for (ymin, xmin, ymax, xmax), name in zip(
        corners, values[features.OBJECT_CLASS_TEXT].bytes_list.value, strict=False
    ):
        yield DrawnBox((ymin, xmin, ymax, xmax), name.decode("utf-8", "replace"))


def _detections(found: Outputs, image: int) -> Iterator[DrawnBox]:
    for row in range(int(found[exported_model.COUNTS][image])):
        score = float(found[exported_model.SCORES][image, row])
        if score >= SCORE_SHOWN:
            ymin, xmin, ymax, xmax = (float(x) for x in found[exported_model.BOXES][image, row])
            name = found[exported_model.CLASS_NAMES][image, row].decode("utf-8", "replace")
            yield DrawnBox((ymin, xmin, ymax, xmax), name, score)
