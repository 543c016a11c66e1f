"""What the page is told: about the model, and about an image."""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, Protocol

from PIL import Image

from serving.clients import image_files
from serving.clients.detections import ImageDetections
from serving.clients.drawing import class_colour
from serving.clients.errors import ImageRefusedError, ServerError
from serving.protocol.detections import Detection

_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""Pillow's names of what browsers show (MPO is read as JPEG); not what it starts another program for, such as EPS."""
_MAX_PIXELS: Final = 64_000_000
"""As the embedded server takes them by default."""
_LONGEST_NAME: Final = 200


class Asks(Protocol):
    """What is used of `DetectorClient`; safe to use from several threads."""

    def detect(
        self, images: Sequence[bytes], score_threshold: float = 0.0
    ) -> tuple[list[tuple[Detection, ...]], int]: ...


@dataclasses.dataclass(frozen=True)
class Reply:
    """An answer over HTTP; `document` goes as JSON."""

    status: HTTPStatus
    document: dict[str, Any]


def failure(status: HTTPStatus, kind: str, message: str) -> Reply:
    """An answer that says why there is none.

    Args:
      status: of HTTP.
      kind: `server`: the model server did not answer, and may later; `image`: this image is not taken, another may be;
        `request`: it was not the page that asked, or it asked for what is not there.
      message: for the person before the page.
    """
    return Reply(status, {"error": message, "kind": kind})


class PageAnswers:
    """Asks a model server for the page."""

    def __init__(self, client: Asks, model: str, server: str, score_threshold: float, max_image_mib: int) -> None:
        """Asks nothing yet.

        Args:
          client: of the model server.
          model: its name there, to be shown.
          server: its address, to be shown.
          score_threshold: where the page's sliders stand at first.
          max_image_mib: size of the largest image file that is taken.
        """
        self._client = client
        self._model = model
        self._server = server
        self._score_threshold = score_threshold
        self.max_image_mib = max_image_mib
        self._probe = _grey_jpeg()

    def model(self) -> Reply:
        """Who answers. The model server is asked about a small grey image: whether it answers, and by which version."""
        version, error = None, None
        try:
            _, version = self._client.detect([self._probe])
        except ImageRefusedError:
            # It answers, and may want larger ones.
            pass
        except ServerError as failed:
            error = str(failed)
        document = {
            "model": self._model,
            "server": self._server,
            "version": version or None,
            "error": error,
            "score_threshold": self._score_threshold,
            "max_image_mib": self.max_image_mib,
        }
        return Reply(HTTPStatus.OK, document)

    def detect(self, encoded: bytes, name: str = "image") -> Reply:
        """What is in an image; every detection, however low its score, since the sliders are the page's.

        Args:
          encoded: the image file.
          name: what it is called.
        """
        name = name[:_LONGEST_NAME]
        try:
            image = image_files.encode(encoded, _MAX_PIXELS, _FORMATS)
        except image_files.ImageFileError as error:
            return failure(HTTPStatus.BAD_REQUEST, "image", f"{name}: {error}")
        started = time.monotonic()
        try:
            (detections,), version = self._client.detect([image.encoded], score_threshold=0.0)
        except ImageRefusedError as error:
            return failure(HTTPStatus.UNPROCESSABLE_ENTITY, "image", f"{name}: {error}")
        except ServerError as error:
            return failure(HTTPStatus.BAD_GATEWAY, "server", str(error))
        seconds = time.monotonic() - started
        document = ImageDetections(name, image.width, image.height, version, detections).to_json()
        classes = {found.class_name for found in detections}
        colours = {found: "#{:02x}{:02x}{:02x}".format(*class_colour(found)) for found in classes}
        document |= {"model_version": version or None, "model_seconds": round(seconds, 4), "colours": colours}
        return Reply(HTTPStatus.OK, document)


def _grey_jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(buffer, "JPEG")
    return buffer.getvalue()
