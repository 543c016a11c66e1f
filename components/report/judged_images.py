"""Images of the split that was judged, from the records that hold them and the matches that tell what was found."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Sequence

import numpy as np
import tensorflow as tf

from components.evaluator.matched_images import MatchedImages
from components.report.drawn_image import DrawnBox, DrawnImage, page_jpeg
from components.report.section import Run, reading
from schema import features

Mark = Callable[[int], str]
"""Row of an object or of a detection -> what is said before its class; empty for most."""

_FALLBACK_SPLIT = "eval"


def shown_split(run: Run) -> str:
    """The split that was judged; ``eval`` when the run did not get there."""
    return run.record.judged_split or _FALLBACK_SPLIT


def split_folder(run: Run, examples_uri: str) -> str:
    """Folder of the records of the judged split."""
    return posixpath.join(examples_uri, f"Split-{shown_split(run)}")


def read_encoded(run: Run, image_ids: Collection[str]) -> dict[str, bytes]:
    """The image files by image id; ids that no record has are left out.

    Raises:
      UnreadableError: the records are damaged or gone.
    """
    examples_uri = run.record.uri("examples")
    wanted, found = set(image_ids), dict[str, bytes]()
    if examples_uri is None or not wanted:
        return found
    folder = split_folder(run, examples_uri)
    with reading(folder):
        tf.io.gfile.stat(folder)  # a folder that is gone is an error, an empty one is not
        files = sorted(tf.io.gfile.glob(posixpath.join(folder, "*")))
        for serialized in tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator():
            record = tf.train.Example.FromString(serialized)
            name = image_id(record)
            if name in wanted:
                found[name] = encoded_image(record)
                if len(found) == len(wanted):
                    break
    return found


def image_id(record: tf.train.Example) -> str:
    """What tells the image apart, as the Evaluator has it."""
    values = record.features.feature[features.IMAGE_SOURCE_ID].bytes_list.value
    return b"".join(values[:1]).decode("utf-8", "surrogateescape")


def encoded_image(record: tf.train.Example) -> bytes:
    """The image file."""
    value: bytes = record.features.feature[features.IMAGE_ENCODED].bytes_list.value[0]
    return value


def detections_in(
    images: MatchedImages, place: int, least_score: float, mark: Mark = lambda row: ""
) -> tuple[DrawnBox, ...]:
    """What the candidate finds in an image with at least a score, and what is marked whatever its score."""
    found = images.candidate
    # A model may answer boxes of NaN, which nobody can draw.
    rows = np.flatnonzero((found.images == place) & np.isfinite(found.boxes_yxyx_pixels).all(axis=-1)).tolist()
    return tuple(
        DrawnBox(
            _normalized(images, place, found.boxes_yxyx_pixels[row]),
            images.class_names[int(found.classes[row])],
            float(found.scores[row]),
            mark(row),
        )
        for row in rows
        if found.scores[row] >= least_score or mark(row)
    )


def truths_in(images: MatchedImages, place: int, mark: Mark = lambda row: "") -> tuple[DrawnBox, ...]:
    """What is annotated in an image."""
    truths = images.truths
    return tuple(
        DrawnBox(
            _normalized(images, place, truths.boxes_yxyx_pixels[row]),
            images.class_names[int(truths.classes[row])],
            mark=mark(row),
        )
        for row in np.flatnonzero(truths.images == place).tolist()
    )


def drawn_image(
    images: MatchedImages,
    place: int,
    encoded: bytes,
    truths: tuple[DrawnBox, ...],
    detections: tuple[DrawnBox, ...],
    remarks: tuple[str, ...],
) -> DrawnImage:
    """An image of the matches with its boxes."""
    jpeg, height_width_pixels = page_jpeg(encoded)
    return DrawnImage(images.images[place].file, jpeg, height_width_pixels, truths, detections, remarks)


def _normalized(
    images: MatchedImages, place: int, box_yxyx_pixels: Sequence[float]
) -> tuple[float, float, float, float]:
    facts = images.images[place]
    ymin, xmin, ymax, xmax = (float(value) for value in box_yxyx_pixels)
    height, width = max(1, facts.height_pixels), max(1, facts.width_pixels)
    return ymin / height, xmin / width, ymax / height, xmax / width
