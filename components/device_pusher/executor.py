"""Executor of the DevicePusher: copies the blessed formats, each of them whole or not at all."""

from __future__ import annotations

import json
import posixpath
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.atomic_files import write_atomically, write_folder_atomically
from components.device_pusher.keys import (
    DEVICE_EVALUATION,
    DEVICE_MODELS,
    DIRECTORY,
    PUSHED_DEVICES,
    PUSHED_FILE,
    PUSHED_MODEL,
)
from schema.device_model import CARD_FILE, DEVICE_FORMATS, DeviceCard, DeviceFormat


class Executor(base_executor.BaseExecutor):
    """See ``DevicePusher``."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See ``DevicePusherSpec`` for inputs and output. A format that was refused is no error."""
        self._log_startup(input_dict, output_dict, exec_properties)
        models = artifact_utils.get_single_uri(input_dict[DEVICE_MODELS])
        evaluation = artifact_utils.get_single_uri(input_dict[DEVICE_EVALUATION])
        version = _pushed_version(artifact_utils.get_single_instance(input_dict[PUSHED_MODEL]))
        pushed: dict[str, str] = {}
        for device_format in DEVICE_FORMATS.values() if version else ():
            name = device_format.name
            card = posixpath.join(evaluation, name, CARD_FILE)
            if _is_blessed(card):
                destination = posixpath.join(exec_properties[DIRECTORY], name, version)
                _push(device_format, posixpath.join(models, name), card, destination)
                pushed[name] = destination
        output = artifact_utils.get_single_uri(output_dict[PUSHED_DEVICES])
        write_atomically(posixpath.join(output, PUSHED_FILE), (json.dumps(pushed, indent=2) + "\n").encode())


def _pushed_version(pushed_model: types.Artifact) -> str:
    """The version that TFX's Pusher gave the SavedModel; empty where it pushed none."""
    if pushed_model.get_int_custom_property("pushed") != 1:
        return ""
    return posixpath.basename(pushed_model.get_string_custom_property("pushed_destination").rstrip("/"))


def _is_blessed(card: str) -> bool:
    """Whether there is a card, and it says so."""
    if not tf.io.gfile.exists(card):
        return False
    with tf.io.gfile.GFile(card) as file:
        return DeviceCard.of_json(file.read()).is_blessed


def _push(device_format: DeviceFormat, model: str, card: str, destination: str) -> None:
    """Copies model and card; a version of this number that is there is replaced: it is of the same SavedModel."""

    def fill(partial: str) -> None:
        for name in (*device_format.beside, device_format.file):
            tf.io.gfile.copy(posixpath.join(model, name), posixpath.join(partial, name))
        tf.io.gfile.copy(card, posixpath.join(partial, CARD_FILE))

    write_folder_atomically(destination, fill)
