"""A dozen images with what is there and what the model finds."""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Iterator, Sequence
from typing import Final, Self

import numpy as np
import tensorflow as tf

from components.evaluator.analysis.notable_images import best_score
from components.evaluator.matched_images import MatchedImages
from components.report.drawn_image import DrawnBox, DrawnImage, page_jpeg
from components.report.judged_images import detections_in, encoded_image, image_id, shown_split, split_folder
from components.report.section import Run, Section, TextPair, UnreadableError, reading
from schema import features

SHOWN_IMAGES: Final = 12
"""How many images the page shows."""
_LOOKED_AT: Final = 240


@dataclasses.dataclass(frozen=True)
class ExampleImages(Section):
    """Images of the split that was judged, spread over its first records, always the same ones.

    Attributes:
      split: the split.
      images: with the model's detections, where the Evaluator looked for them.
      least_score: of the detections that are drawn: with it F1 is highest. None without detections.
      problem: why there are no detections although the model was evaluated; empty otherwise.
    """

    title = "Examples"
    template = "example_images.html"

    split: str
    images: tuple[DrawnImage, ...]
    least_score: float | None
    problem: str

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Reads the artifact ``examples``, and the matches; without those what is there is shown."""
        examples_uri = run.record.uri("examples")
        if examples_uri is None:
            return None
        matches, least_score, problem = None, None, ""
        try:
            matches = run.matches
        except UnreadableError as error:
            problem = str(error)
        if matches is not None:
            least_score = best_score(matches, matches.candidate)
        folder = split_folder(run, examples_uri)
        with reading(folder):
            images = tuple(_example_image(record, matches, least_score or 0.0) for record in _chosen_records(folder))
        return cls(shown_split(run), images, least_score, problem)

    def lines(self) -> Sequence[TextPair]:
        """Nothing: images are for the page. Unless there should be detections."""
        return ((self.title, f"what the model finds could not be read: {self.problem}"),) if self.problem else ()


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


def _example_image(record: tf.train.Example, matches: MatchedImages | None, least_score: float) -> DrawnImage:
    names = record.features.feature[features.IMAGE_FILENAME].bytes_list.value
    jpeg, height_width_pixels = page_jpeg(encoded_image(record))
    truths, detections = tuple(_truths(record)), None
    if matches is not None:
        place = next((place for place, facts in enumerate(matches.images) if facts.image_id == image_id(record)), None)
        detections = () if place is None else detections_in(matches, place, least_score)
    found = "not evaluated" if detections is None else f"{len(detections)} found"
    return DrawnImage(
        names[0].decode("utf-8", "replace") if names else "",
        jpeg,
        height_width_pixels,
        truths,
        detections,
        (f"{len(truths)} there, {found}",),
    )


def _truths(record: tf.train.Example) -> Iterator[DrawnBox]:
    values = record.features.feature
    corners = zip(*(values[key].float_list.value for key in features.BOX_KEYS_YXYX), strict=True)
    for (ymin, xmin, ymax, xmax), name in zip(
        corners, values[features.OBJECT_CLASS_TEXT].bytes_list.value, strict=False
    ):
        yield DrawnBox((ymin, xmin, ymax, xmax), name.decode("utf-8", "replace"))
