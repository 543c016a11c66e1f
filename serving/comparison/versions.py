"""A version to be asked: on a server, or in this process from its folder."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from schema import exported_model
from serving.clients import errors
from serving.clients.connection import Connection
from serving.clients.detector_client import DetectorClient
from serving.models import version_folder
from serving.models.cpp_session import CppSession
from serving.protocol.detections import Detection, detections_of_image

Ask = Callable[[bytes], tuple[Detection, ...]]
"""Detections in one encoded image, best score first; raises `ImageRefusedError`."""


class VersionError(Exception):
    """A version cannot be asked; the message says which and why."""


class ImageRefusedError(Exception):
    """A version does not take this image; another may be fine."""


@contextlib.contextmanager
def on_server(connection: Connection, model_name: str, version: int) -> Iterator[Ask]:
    """A version that a server has in memory.

    Raises:
      OSError: a file of the connection's TLS, or the environment's proxy, cannot be used.

    Asking raises:
      VersionError: the server does not answer, or has no such version.
    """
    with DetectorClient(connection, model_name, version) as client:

        def ask(encoded: bytes) -> tuple[Detection, ...]:
            try:
                (detections,), _ = client.detect([encoded], score_threshold=0.0)
            except errors.ServerError as error:
                kind = ImageRefusedError if isinstance(error, errors.ImageRefusedError) else VersionError
                raise kind(f"version {version} of {model_name}: {error}") from error
            return detections

        yield ask


@contextlib.contextmanager
def in_process(base_path: pathlib.Path, version: int) -> Iterator[Ask]:
    """A version in a folder of versions, loaded as TF Serving loads it.

    Raises:
      VersionError: it is not there, or cannot be loaded.
    """
    complete = version_folder.complete_versions(base_path)
    if version not in complete:
        there = ", ".join(map(str, complete)) or "none"
        raise VersionError(f"{base_path}: holds no complete version {version}; complete are: {there}")
    try:
        version_folder.check_variables(complete[version])
        session = CppSession(complete[version])
    except (ValueError, tf.errors.OpError) as error:
        raise VersionError(f"{complete[version]}: cannot be loaded: {error}") from error
    with session:

        def ask(encoded: bytes) -> tuple[Detection, ...]:
            images = np.array([encoded], object)  # [1]
            try:
                outputs = session.run(
                    exported_model.SERVING_SIGNATURE, {exported_model.IMAGE_BYTES: images}, exported_model.OUTPUTS
                )
            except tf.errors.OpError as error:
                raise ImageRefusedError(f"version {version}: {error.message}") from error
            except KeyError as error:
                raise VersionError(f"{complete[version]}: is no export of a detector: it has no {error}") from error
            return detections_of_image(outputs, 0)

        yield ask
