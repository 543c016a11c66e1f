"""Who is asked what is in images: a model in this process, or a server."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import shutil
import time
import weakref
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
import tensorflow as tf

from schema.exported_model import IMAGE_BYTES, IMAGE_ERRORS, OUTPUTS, TOLERANT_SIGNATURE
from serving.bulk_inference.errors import BulkError
from serving.bulk_inference.model_folder import ModelFolder
from serving.clients import server_options
from serving.clients.errors import ImageRefusedError, ServerError
from serving.models.cpp_session import CppSession
from serving.protocol.detections import Detection, detections_of_image

_LOG = logging.getLogger(__name__)
_PAUSES_SECONDS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0)
"""Before a server is asked again; when it stays away the run ends, and can be resumed."""

Answer = tuple[Detection, ...] | str
"""What was found in an image, or the reason why that is not known."""


class Detector(Protocol):
    """Answers for batches of images; safe to use from several threads."""

    def detect(self, images: Sequence[bytes], score_threshold: float) -> tuple[list[Answer], int]:
        """An answer an image, in their order, and the version of the model that gave them.

        Raises:
          BulkError: none can be had, for these images or others.
        """


class DetectorSource(Protocol):
    """What it takes to have a detector; goes to the workers."""

    def open(self) -> Detector:
        """Loads or connects.

        Raises:
          BulkError: it cannot be done.
        """


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """A model that every worker process loads."""

    model: ModelFolder

    def open(self) -> Detector:
        """See `DetectorSource`."""
        return _LoadedModel(self.model)


@dataclasses.dataclass(frozen=True)
class ServerSource:
    """A server that every worker process asks; `options` are those of `serving.clients.server_options`."""

    options: argparse.Namespace

    def open(self) -> Detector:
        """See `DetectorSource`."""
        return _Server(self.options)


class _LoadedModel:
    """Under TensorFlow's C++ loader, as TF Serving has it."""

    def __init__(self, model: ModelFolder) -> None:
        self._model = model
        try:
            path = model.local_path()
            self._session = CppSession(path)
        except tf.errors.OpError as error:
            raise BulkError(f"{model.path}: cannot be loaded: {error.message}") from error
        if str(path) != model.path:
            shutil.rmtree(path.parent)
        # Beam lets go of what its workers share, and does not say so.
        weakref.finalize(self, self._session.close)

    def detect(self, images: Sequence[bytes], score_threshold: float) -> tuple[list[Answer], int]:
        """See `Detector`."""
        encoded = np.array(images, object)  # [B]
        try:
            outputs = self._session.run(TOLERANT_SIGNATURE, {IMAGE_BYTES: encoded}, (*OUTPUTS, IMAGE_ERRORS))
        except tf.errors.OpError as error:
            raise BulkError(f"{self._model.path}: failed for a batch of {len(images)}: {error.message}") from error
        answers: list[Answer] = []
        for image, reason in enumerate(outputs[IMAGE_ERRORS].tolist()):
            found = detections_of_image(outputs, image)
            answers.append(reason.decode() or tuple(one for one in found if one.score >= score_threshold))
        return answers, self._model.version


class _Server:
    """By `DetectorClient`."""

    def __init__(self, options: argparse.Namespace) -> None:
        try:
            self._client = server_options.make_client(options)
        except server_options.ServerOptionsError as error:
            raise BulkError(str(error)) from error
        self._has_answered = False
        weakref.finalize(self, self._client.close)

    def detect(self, images: Sequence[bytes], score_threshold: float) -> tuple[list[Answer], int]:
        """See `Detector`: a batch that the server refuses is asked image by image."""
        try:
            found, version = self._ask(images, score_threshold)
        except ImageRefusedError as error:
            if len(images) == 1:
                return [str(error)], 0
            alone = [self.detect([image], score_threshold) for image in images]
            return [answers[0] for answers, _ in alone], max(version for _, version in alone)
        return list(found), version

    def _ask(self, images: Sequence[bytes], score_threshold: float) -> tuple[list[tuple[Detection, ...]], int]:
        # A server that has answered once is restarted or busy when it does not; one that never did is no server.
        pauses = iter(_PAUSES_SECONDS if self._has_answered else ())
        while True:
            try:
                answer = self._client.detect(images, score_threshold)
            except ImageRefusedError:
                raise
            except ServerError as error:
                pause = next(pauses, None)
                if pause is None:
                    raise BulkError(str(error)) from error
                _LOG.warning("%s; asking again in %g s", error, pause)
                time.sleep(pause)
                continue
            self._has_answered = True
            return answer
