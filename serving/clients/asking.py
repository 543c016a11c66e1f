"""Works through many image files: several requests at once, several images in one, and nothing lost on the way."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from serving.clients import image_files
from serving.clients.detections import ImageDetections
from serving.clients.errors import ImageRefusedError, ServerError
from serving.clients.image_files import ImageFile, ImageFileError
from serving.protocol.detections import Answer


class Detector(Protocol):
    """Who is asked: `DetectorClient`, or a model in this process."""

    def detect(self, images: Sequence[bytes], score_threshold: float | None = None) -> Answer:
        """See `DetectorClient.detect`.

        Raises:
          ImageRefusedError: one of the images is not taken.
          ServerError: there is no answer.
        """


@dataclasses.dataclass(frozen=True)
class Asked:
    """A file that was asked about.

    Attributes:
      path: of the file.
      image: as it was read; None: it is none.
      result: what was found; None: there is no answer.
      error: why there is none.
      is_lost: no server answers: the next file would fare no better.
    """

    path: pathlib.Path
    image: ImageFile | None = None
    result: ImageDetections | None = None
    error: str = ""
    is_lost: bool = False


def ask(
    detector: Detector,
    paths: Sequence[pathlib.Path],
    *,
    score_threshold: float | None,
    batch_images: int = 1,
    concurrency: int = 1,
    is_over: Callable[[], bool] = lambda: False,
) -> Iterator[Asked]:
    """Asks about files, and gives the answers in the order of the files as they come.

    A file that is no image, or that the server refuses, fails alone. When no server answers, what was not asked is left
    out; when the caller stops iterating, so is it, and requests on their way are waited for.

    Args:
      detector: connected, or loaded.
      paths: of image files.
      score_threshold: detections below are left out; None: see `DetectorClient.detect`.
      batch_images: images in a request.
      concurrency: requests at once.
      is_over: is looked at before every request.
    """
    batches = [paths[start : start + batch_images] for start in range(0, len(paths), batch_images)]
    waiting: collections.deque[concurrent.futures.Future[list[Asked]]] = collections.deque()
    following = iter(batches)
    with concurrent.futures.ThreadPoolExecutor(concurrency) as pool:
        is_lost = False
        while True:
            while len(waiting) < concurrency and not is_lost and not is_over():
                batch = next(following, None)
                if batch is None:
                    break
                waiting.append(pool.submit(_ask_batch, detector, batch, score_threshold))
            if not waiting:
                return
            for asked in waiting.popleft().result():
                is_lost = is_lost or asked.is_lost
                yield asked


def _ask_batch(detector: Detector, paths: Sequence[pathlib.Path], score_threshold: float | None) -> list[Asked]:
    """One request, or one for each file where the server refuses one of them."""
    read: dict[pathlib.Path, ImageFile] = {}
    failed: dict[pathlib.Path, Asked] = {}
    for path in paths:
        try:
            read[path] = image_files.read(path)
        except ImageFileError as error:
            failed[path] = Asked(path, error=str(error))
    answers = _ask_images(detector, list(read.values()), score_threshold) if read else {}
    return [failed.get(path) or answers[path] for path in paths]


def _ask_images(
    detector: Detector, images: Sequence[ImageFile], score_threshold: float | None
) -> dict[pathlib.Path, Asked]:
    try:
        found, version = detector.detect([image.encoded for image in images], score_threshold)
    except ImageRefusedError as error:
        if len(images) == 1:
            return {images[0].path: Asked(images[0].path, images[0], error=f"{images[0].path}: {error}")}
        alone: dict[pathlib.Path, Asked] = {}
        for image in images:
            alone |= _ask_images(detector, [image], score_threshold)
        return alone
    except ServerError as error:
        return {image.path: Asked(image.path, image, error=str(error), is_lost=True) for image in images}
    return {
        image.path: Asked(
            image.path,
            image,
            ImageDetections(str(image.path), image.upright.width, image.upright.height, version, detections),
        )
        for image, detections in zip(images, found, strict=True)
    }
