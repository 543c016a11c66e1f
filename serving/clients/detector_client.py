"""Asks a server what is in images, from Python.

    with DetectorClient("localhost:8500") as client:
        (detections,), version = client.detect([pathlib.Path("street.jpg").read_bytes()])

    async with AsyncDetectorClient("http://localhost:8501") as client:
        (detections,), version = await client.detect([image])

`HOST:PORT` is asked over gRPC, a URL by TF Serving's REST API. Needs numpy, Pillow and, over gRPC, protobuf and grpcio;
no TensorFlow.
"""

from __future__ import annotations

import asyncio
import pathlib
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np

from schema import exported_model
from serving.clients import image_files
from serving.clients.attempts import Attempts
from serving.clients.connection import Connection
from serving.clients.detections import ImageDetections
from serving.clients.errors import AwayError, ServerError
from serving.clients.transport import AsyncTransport, ModelChoice, Predicted, Transport
from serving.protocol.detections import Answer, detections_of_image


class DetectorClient:
    """A connection to one model on a server; safe to use from several threads."""

    def __init__(
        self,
        server: str | Connection,
        model_name: str = exported_model.MODEL_NAME,
        model_version: int | None = None,
        version_label: str = "",
    ) -> None:
        """Connects on first use.

        Args:
          server: `HOST:PORT`, a URL, or how to reach it.
          model_name: the model's name on the server.
          model_version: version to insist on; None is the one that is served.
          version_label: label of a version to insist on, in place of its number.

        Raises:
          ValueError: a version and a label are given, or the address is none.
          OSError: a file of TLS, or the environment's proxy, cannot be used.
        """
        self.connection = Connection(server) if isinstance(server, str) else server
        self.model = ModelChoice(model_name, model_version, version_label)
        self._transport = _transport(self.connection, self.model)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self._transport.close()

    def detect(self, images: Sequence[bytes], score_threshold: float | None = None) -> Answer:
        """Detects objects in encoded images, in one request.

        Args:
          images: JPEG or PNG files; sizes may differ.
          score_threshold: detections below are left out. None: the model's own threshold of each class, or 0.5 for
            all of them where it has none. 0 keeps everything that it answers.

        Raises:
          ImageRefusedError: the server does not take one of the images.
          ServerError: no answer, or not the answer of a detector.
        """
        attempts = Attempts(self.connection.timeout_seconds, retries=self.connection.retries)
        while True:
            try:
                predicted = self._transport.predict(images, attempts.seconds_left())
            except AwayError as error:
                time.sleep(attempts.pause_seconds(error))
            else:
                return _answer(predicted, len(images), score_threshold)

    def detect_file(self, image: image_files.ImageFile, score_threshold: float | None = None) -> ImageDetections:
        """Detects objects in one image file that has been read.

        Raises:
          ServerError: no answer; the message names the file.
        """
        try:
            (detections,), version = self.detect([image.encoded], score_threshold)
        except ServerError as error:
            raise type(error)(f"{image.path}: {error}") from error
        return ImageDetections(str(image.path), image.upright.width, image.upright.height, version, detections)

    def detect_files(
        self, paths: Sequence[pathlib.Path], score_threshold: float | None = None
    ) -> list[ImageDetections]:
        """Detects objects in image files, one request a file.

        Raises:
          ImageFileError: a file is not an image.
          ServerError: no answer.
        """
        return [self.detect_file(image_files.read(path), score_threshold) for path in paths]


class AsyncDetectorClient:
    """The same for asyncio; to be made where the loop runs."""

    def __init__(
        self,
        server: str | Connection,
        model_name: str = exported_model.MODEL_NAME,
        model_version: int | None = None,
        version_label: str = "",
    ) -> None:
        """See `DetectorClient`."""
        self.connection = Connection(server) if isinstance(server, str) else server
        self.model = ModelChoice(model_name, model_version, version_label)
        self._transport = _async_transport(self.connection, self.model)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection."""
        await self._transport.close()

    async def detect(self, images: Sequence[bytes], score_threshold: float | None = None) -> Answer:
        """See `DetectorClient.detect`."""
        attempts = Attempts(self.connection.timeout_seconds, retries=self.connection.retries)
        while True:
            try:
                predicted = await self._transport.predict(images, attempts.seconds_left())
            except AwayError as error:
                await asyncio.sleep(attempts.pause_seconds(error))
            else:
                return _answer(predicted, len(images), score_threshold)


def _transport(connection: Connection, model: ModelChoice) -> Transport:
    # What is not used is not loaded: gRPC takes a while, and REST is there where it is not.
    if connection.rest:
        from serving.clients.rest_transport import RestTransport

        return RestTransport(connection, model)
    from serving.clients.grpc_transport import GrpcTransport

    return GrpcTransport(connection, model)


def _async_transport(connection: Connection, model: ModelChoice) -> AsyncTransport:
    if connection.rest:
        from serving.clients.rest_transport import AsyncRestTransport

        return AsyncRestTransport(connection, model)
    from serving.clients.grpc_transport import AsyncGrpcTransport

    return AsyncGrpcTransport(connection, model)


def _answer(predicted: Predicted, image_count: int, score_threshold: float | None) -> Answer:
    """Arrays of an answer -> detections by image."""
    missing = [name for name in exported_model.OUTPUTS if name not in predicted.outputs]
    if missing:
        raise ServerError(f"the model is no detector of ours: its answer has no {', '.join(missing)}")
    if image_count == 0:
        return [], predicted.version
    scores, counts = predicted.outputs[exported_model.SCORES], predicted.outputs[exported_model.COUNTS]
    padded = (image_count, scores.shape[1] if scores.ndim > 1 else 0)  # [B, N]
    shapes = ((*padded, 4), padded, padded, padded, padded[:1])
    expected = dict(zip(exported_model.OUTPUTS, shapes, strict=True)) | {exported_model.THRESHOLDS: padded}
    for name, shape in expected.items():
        if name in predicted.outputs and predicted.outputs[name].shape != shape:
            found = list(predicted.outputs[name].shape)
            raise ServerError(f"the model is no detector of ours: {name} has the shape {found}, expected {list(shape)}")
    if np.any((counts < 0) | (counts > padded[1])):
        raise ServerError(f"the model is no detector of ours: {counts.tolist()} detections in {padded[1]} rows")
    images = []
    for image in range(image_count):
        found = [
            detection
            for detection in detections_of_image(predicted.outputs, image)
            if detection.is_believed(score_threshold)
        ]
        images.append(tuple(sorted(found, key=lambda detection: -detection.score)))
    return images, predicted.version
