"""What a run on this machine would only stumble over after its data has been read, looked at before its first node."""

from __future__ import annotations

import importlib.util
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Final

from components.example_gen import files
from components.example_gen.annotations import DataError
from components.example_gen.spans import resolve_spans, target_folder
from components.export.device_formats import EXTRA, missing_packages
from components.exporter.settings import DeviceFormatName
from components.path_settings import KERAS_HUB, is_preset_folder
from pipeline.config import PipelineConfig
from pipeline.config_errors import ConfigError
from schema.device_model import DEVICE_FORMATS
from schema.installation import how_to_install
from schema.label_map import LabelMapError, read_label_map

_PROBE_BYTES: Final = 1 << 16
_RUNTIMES: Final = {"litert": "ai_edge_litert", "onnx": "onnxruntime", "openvino": "openvino"}
"""The module that runs a device model, by ``DeviceFormat.runtime``."""


def check_files(config: PipelineConfig) -> None:
    """Looks whether data, label map and start weights are there, and whether the run can write. Imports no TensorFlow.

    Raises:
      ConfigError: it cannot go on like this; the message names key, value and folder.
    """
    if not files.is_remote(config.data.path):
        try:
            resolve_spans(config.data)
        except DataError as error:
            raise ConfigError(str(error)) from error
    if config.data.of_target is not None and not files.is_remote(config.data.of_target.path):
        try:
            target_folder(config.data.of_target)
        except DataError as error:
            raise ConfigError(str(error)) from error
    if config.data.label_map is not None:
        try:
            read_label_map(config.data.label_map)
        except LabelMapError as error:
            raise ConfigError(f"data.label_map: {error}") from error
    _check_start_weights(config.model.pretrained)
    _check_writable("root", config.pipeline_root)
    _check_writable("metadata", config.metadata_path.parent)
    _check_writable("push.directory", config.push_directory)
    if config.push.device_formats:
        _check_packages(config.push.device_formats)
        _check_writable("push.devices.directory", config.device_directory)


def _check_packages(formats: Sequence[DeviceFormatName]) -> None:
    """Looks for what writes each format, and for what it is measured with."""
    for name in formats:
        runtime = _RUNTIMES[DEVICE_FORMATS[name].runtime]
        missing = list(missing_packages(name))
        if runtime not in missing and importlib.util.find_spec(runtime) is None:
            missing.append(runtime)
        if missing:
            raise ConfigError(
                f"push.formats: {name} needs {' and '.join(missing)}, not installed here: {how_to_install(EXTRA)}"
            )


def _check_writable(key: str, folder: pathlib.Path) -> None:
    """A folder that is not there is made, as the run would; one that is full takes no 64 KiB."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE_BYTES))
    except OSError as error:
        raise ConfigError(f"{key}: {folder} cannot be written: {error.strerror}; make room, or name another") from error


def _check_start_weights(pretrained: str | None) -> None:
    if pretrained is None or pretrained == "imagenet":
        return
    if pretrained.startswith(KERAS_HUB):
        preset = pretrained.removeprefix(KERAS_HUB)
        # A name and a handle are looked up by KerasHub, in the network.
        if "/" in preset and "://" not in preset and not is_preset_folder(preset):
            raise ConfigError(
                f"model.pretrained: found {pretrained!r}, but there is no folder with a config.json, which KerasHub's "
                "save_to_preset writes"
            )
        return
    if "://" in pretrained:
        if pretrained.endswith((".keras", ".h5")) and not pretrained.endswith(".weights.h5"):
            raise ConfigError(
                f"model.pretrained: found {pretrained!r}; Keras reads such a file on this machine: copy it"
            )
        return
    # A checkpoint's prefix is no file: its index is.
    if not any(pathlib.Path(path).exists() for path in (pretrained, f"{pretrained}.index")):
        raise ConfigError(
            f"model.pretrained: found {pretrained!r}, but no such file or folder"
            + ("" if pathlib.Path(pretrained).is_absolute() else f" in {pathlib.Path.cwd()}")
            + "; allowed are `imagenet`, null, and the paths that `python -m pipeline config --explain` names"
        )


def check_detector(config: PipelineConfig) -> None:
    """Builds the detector once and throws it away: sizes, options and the name of a layer are its own to judge.

    Raises:
      ConfigError: it cannot be built or adapted as configured.
    """
    import keras

    from components.detector.registry import build_detector
    from components.trainer.strategies.settings.auto import AutoSettings
    from components.trainer.strategies.strategy import build_strategy

    model, transfer = config.model, config.transfer
    try:
        detector = build_detector(model.detector, num_classes=1, image_size=model.image_size, **dict(model.options))
        if not isinstance(transfer, AutoSettings):  # which tries strategies, and says which of them do not fit
            build_strategy(transfer).prepare(detector)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"model, transfer: {model.detector} cannot be made with image_size {model.image_size} and options "
            f"{model.options.model_dump(exclude_unset=True)}, or adapted by {transfer.strategy}: {error}"
        ) from error
    finally:
        keras.backend.clear_session()
