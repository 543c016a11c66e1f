"""Asks a server what is in images, from Python.

    with DetectorClient("localhost:8500") as client:
        (detections,), version = client.detect([pathlib.Path("street.jpg").read_bytes()])

    async with AsyncDetectorClient("localhost:8500") as client:
        (detections,), version = await client.detect([image])

Needs numpy, protobuf, grpcio and Pillow, and no TensorFlow.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from types import ModuleType, TracebackType
from typing import Any, ClassVar, Self

import grpc
from grpc import aio

from schema import exported_model
from serving.clients import grpc_channel, image_files, messages
from serving.clients.connection import Connection, ServerError
from serving.clients.detections import ImageDetections
from serving.protocol.detections import Detection, detections_of_image

Answer = tuple[list[tuple[Detection, ...]], int]
"""Detections by image, best score first, and the version of the model that answered."""


class _Client:
    """What asking has in common, whether it waits or not; subclasses say by which module of grpc."""

    _grpc: ClassVar[ModuleType]

    def __init__(
        self,
        server: str | Connection,
        model_name: str = exported_model.MODEL_NAME,
        model_version: int | None = None,
        version_label: str = "",
    ) -> None:
        """Connects on first use.

        Args:
          server: `HOST:PORT`, or how to reach it.
          model_name: the model's name on the server.
          model_version: version to insist on; None is the one that is served.
          version_label: label of a version to insist on, in place of its number.

        Raises:
          ValueError: a version and a label are given.
        """
        if model_version is not None and version_label:
            raise ValueError(f"a version ({model_version}) and a label ({version_label!r}) exclude each other")
        self.connection = Connection(server) if isinstance(server, str) else server
        self.model_name = model_name
        self._version = model_version
        self._label = version_label
        self._channel = grpc_channel.make_channel(self.connection, self._grpc)
        self._predict = self._channel.unary_unary(
            messages.PREDICT_METHOD,
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=messages.PredictResponse.FromString,
        )

    def _request(self, images: Sequence[bytes]) -> Any:
        return messages.predict_request(images, self.model_name, self._version, self._label)


class DetectorClient(_Client):
    """A connection to one model on a server; safe to use from several threads."""

    _grpc = grpc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def detect(self, images: Sequence[bytes], score_threshold: float = 0.0) -> Answer:
        """Detects objects in encoded images, in one request.

        Args:
          images: JPEG or PNG files; sizes may differ.
          score_threshold: detections below are left out.

        Raises:
          ImageRefusedError: the server does not take one of the images.
          ServerError: no answer, or not the answer of a detector.
        """
        connection = self.connection
        try:
            response = self._predict(
                self._request(images),
                timeout=connection.timeout_seconds,
                metadata=grpc_channel.call_metadata(connection),
            )
        except grpc.RpcError as error:
            raise connection.explained(error) from error
        return _answer(response, score_threshold)

    def detect_file(self, image: image_files.ImageFile, score_threshold: float = 0.0) -> ImageDetections:
        """Detects objects in one image file that has been read.

        Raises:
          ServerError: no answer; the message names the file.
        """
        try:
            (detections,), version = self.detect([image.encoded], score_threshold)
        except ServerError as error:
            raise type(error)(f"{image.path}: {error}") from error
        return ImageDetections(str(image.path), image.upright.width, image.upright.height, version, detections)

    def detect_files(self, paths: Sequence[pathlib.Path], score_threshold: float = 0.0) -> list[ImageDetections]:
        """Detects objects in image files, one request a file.

        Raises:
          ImageFileError: a file is not an image.
          ServerError: no answer.
        """
        return [self.detect_file(image_files.read(path), score_threshold) for path in paths]


class AsyncDetectorClient(_Client):
    """The same for asyncio; to be made where the loop runs."""

    _grpc = aio

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection."""
        await self._channel.close()

    async def detect(self, images: Sequence[bytes], score_threshold: float = 0.0) -> Answer:
        """See `DetectorClient.detect`."""
        connection = self.connection
        try:
            response = await self._predict(
                self._request(images),
                timeout=connection.timeout_seconds,
                metadata=grpc_channel.call_metadata(connection),
            )
        except grpc.RpcError as error:
            raise connection.explained(error) from error
        return _answer(response, score_threshold)


def _answer(response: Any, score_threshold: float) -> Answer:
    """Arrays of a response -> detections by image."""
    missing = [name for name in exported_model.OUTPUTS if name not in response.outputs]
    if missing:
        raise ServerError(f"the model is no detector of ours: its answer has no {', '.join(missing)}")
    try:
        outputs = {name: messages.to_array(name, response.outputs[name]) for name in exported_model.OUTPUTS}
    except messages.MessageError as error:
        raise ServerError(f"the model is no detector of ours: {error}") from error
    images = []
    for image in range(len(outputs[exported_model.COUNTS])):
        rows = [found for found in detections_of_image(outputs, image) if found.score >= score_threshold]
        images.append(tuple(sorted(rows, key=lambda found: -found.score)))
    return images, response.model_spec.version.value
