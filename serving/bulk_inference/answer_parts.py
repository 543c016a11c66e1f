"""The Beam part: each worker reads, asks about and writes whole parts, and loads the model once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TypeVar

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.utils.shared import Shared

from serving.bulk_inference import part_file
from serving.bulk_inference.detectors import Detector, DetectorSource
from serving.bulk_inference.inputs import Input, inputs_of
from serving.bulk_inference.part_file import ImageAnswer
from serving.bulk_inference.plan import PartPlace, Settings, read_part

_NAMESPACE = "bulk"

_T = TypeVar("_T")


def answer_parts(
    pipeline: beam.Pipeline,
    places: Sequence[PartPlace],
    folder: str,
    settings: Settings,
    source: DetectorSource,
    batch_images: int,
) -> None:
    """Adds the work on parts to a Beam pipeline; answers are in the folder when it has run."""
    _ = (
        pipeline
        | "Parts" >> beam.Create(list(places), reshuffle=False)
        # Without it the runner would leave all parts to the worker that got the list.
        | "Spread" >> beam.Reshuffle()
        | "AnswerPart" >> beam.ParDo(AnswerPart(folder, settings, source, batch_images))
    )


class AnswerPart(beam.DoFn):
    """Writes the answers of a part; puts out nothing.

    Images become batches here and not by `BatchElements`: a batch of several parts would have to be taken apart and
    grouped by part again, and a runner that groups writes nothing before it has seen everything.
    """

    def __init__(self, folder: str, settings: Settings, source: DetectorSource, batch_images: int) -> None:
        self._folder = folder
        self._settings = settings
        self._source = source
        self._batch_images = batch_images
        self._shared = Shared()
        self._detector: Detector | None = None
        self._images = Metrics.counter(_NAMESPACE, "images")
        self._failures = Metrics.counter(_NAMESPACE, "failures")
        self._detections = Metrics.counter(_NAMESPACE, "detections")

    def setup(self) -> None:
        """Loads the model, or takes the one that another thread of this process has loaded."""
        self._detector = self._shared.acquire(self._source.open)

    def process(self, place: PartPlace) -> None:
        """Works on one part."""
        assert self._detector is not None, "Beam calls setup first"
        part, settings = read_part(self._folder, place), self._settings
        # One batch is read while another is asked about.
        inputs = inputs_of(settings.kind, part, settings.max_image_pixels, ahead=self._batch_images)
        with part_file.writing(self._folder, part.number) as write:
            for batch in _batches(inputs, self._batch_images):
                answers = _answers(self._detector, batch, settings.score_threshold)
                write(answers)
                self._images.inc(len(answers))
                self._failures.inc(sum(bool(answer.error) for answer in answers))
                self._detections.inc(sum(len(answer.detections) for answer in answers))


def _answers(detector: Detector, batch: Sequence[Input], score_threshold: float) -> list[ImageAnswer]:
    encoded = [one.image.encoded for one in batch if one.image]
    found, version = detector.detect(encoded, score_threshold) if encoded else ([], 0)
    following = iter(found)
    answers = []
    for one in batch:
        answer = next(following) if one.image else one.error
        if one.image is None or isinstance(answer, str):
            answers.append(ImageAnswer(one.image_id, one.file, one.source, error=str(answer)))
            continue
        size = one.image.width, one.image.height
        answers.append(ImageAnswer(one.image_id, one.file, one.source, *size, version, answer))
    return answers


def _batches(values: Iterator[_T], size: int) -> Iterator[list[_T]]:
    while batch := list(itertools.islice(values, size)):
        yield batch
