"""Opens a device model of whichever format, and runs it."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Final, Protocol

import numpy as np

from schema.device_model import BOXES, DEVICE_FORMATS, IMAGES, SCORES, VALID_SHARE, DeviceMetadata
from schema.installation import how_to_install
from serving.devices.arrays import Float32
from serving.devices.errors import DeviceModelError

MODEL_FILES: Final = {one.runtime: one.file for one in DEVICE_FORMATS.values()}
"""Name of a model's file by the runtime that runs it."""
_RUNTIMES: Final = {pathlib.PurePath(file).suffix: runtime for runtime, file in MODEL_FILES.items()}
"""By the end of the file's name."""


class Runtime(Protocol):
    """A file in the memory of what runs it; safe to use from several threads.

    Attributes:
      metadata_text: what is under ``METADATA_KEY``; None: nothing.
      input_shapes: by name.
      output_names: of all outputs.
    """

    metadata_text: str | None
    input_shapes: Mapping[str, tuple[int, ...]]
    output_names: frozenset[str]

    def run(self, inputs: Mapping[str, Float32]) -> Mapping[str, Float32]:
        """Arrays by input's name -> arrays by output's name."""


class DeviceModel:
    """A device model in memory; safe to use from several threads.

    Attributes:
      path: of its file.
      runtime: what runs it: ``litert``, ``onnx`` or ``openvino``.
      metadata: what travels inside.
    """

    def __init__(self, path: pathlib.Path, runtime: str, loaded: Runtime, metadata: DeviceMetadata) -> None:
        self.path, self.runtime, self.metadata = path, runtime, metadata
        self._loaded = loaded

    def run(self, image: Float32, valid_height_width: Float32) -> tuple[Float32, Float32]:
        """Runs the network.

        Args:
          image: float32 [H, W, 3], on the canvas; see ``serving.devices.resizing``.
          valid_height_width: float32 [2], the share of the canvas that is image.

        Returns:
          Boxes float32 [N, Q, 4] and scores float32 [N, C], as ``schema.device_model`` says, for
          ``serving.devices.suppression``.
        """
        inputs = {IMAGES: image[np.newaxis]}
        if self.metadata.takes_valid_share:
            inputs[VALID_SHARE] = valid_height_width[np.newaxis]
        outputs = self._loaded.run(inputs)
        return outputs[BOXES][0], outputs[SCORES][0]


def open_device_model(
    path: str | pathlib.Path, threads: int | None = None, *, allow_bfloat16: bool = False
) -> DeviceModel:
    """Loads a device model; which format it has is told by its file.

    Args:
      path: of the file, or of the folder with it.
      threads: that compute; None: the runtime decides.
      allow_bfloat16: let OpenVINO compute in bfloat16 where the processor has it. The others do not know that.

    Raises:
      DeviceModelError: there is none, or not exactly one; it is broken, of another kind, or has no metadata; or the
        package that runs it is not installed.
    """
    file = find_model_file(pathlib.Path(path))
    runtime = _RUNTIMES[file.suffix]
    if allow_bfloat16 and runtime != "openvino":
        raise DeviceModelError(f"{file}: bfloat16 is computed by OpenVINO alone, not by {runtime}")
    try:
        _check_kind(file, runtime)
        loaded = _load(file, runtime, threads, allow_bfloat16)
        metadata = _metadata(loaded)
        _check_tensors(loaded, metadata)
    except ModuleNotFoundError as error:
        advice = how_to_install(runtime)
        raise DeviceModelError(f"{file}: needs {error.name}, which is not installed: {advice}") from error
    except DeviceModelError as error:
        raise DeviceModelError(f"{file}: {error}") from error
    except Exception as error:
        # Each runtime has errors of its own for a broken file, with the reason in their last line.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise DeviceModelError(f"{file}: cannot be loaded by {runtime}; is it whole? ({lines[-1]})") from error
    return DeviceModel(file, runtime, loaded, metadata)


def find_model_file(path: pathlib.Path) -> pathlib.Path:
    """The file of a device model, given itself or its folder.

    Raises:
      DeviceModelError: there is none, or not exactly one.
    """
    if path.is_dir():
        found = [path / name for name in MODEL_FILES.values() if (path / name).is_file()]
        if len(found) != 1:
            names = ", ".join(file.name for file in found) or "none"
            expected = " or ".join(MODEL_FILES.values())
            raise DeviceModelError(f"{path}: expected one of {expected} in it, found {names}")
        return found[0]
    if path.suffix not in _RUNTIMES:
        raise DeviceModelError(f"{path}: is no device model; expected a folder, or a file {' or '.join(_RUNTIMES)}")
    if not path.is_file():
        raise DeviceModelError(f"{path}: no such file")
    return path


def _check_kind(file: pathlib.Path, runtime: str) -> None:
    """Looks at how the file begins; ONNX has no sign of its own."""
    with file.open("rb") as opened:
        start = opened.read(64)
    is_kind = {
        "litert": start[4:8] == b"TFL3",
        "openvino": start.lstrip().startswith((b"<?xml", b"<net")),
        "onnx": start[4:8] != b"TFL3" and not start.lstrip().startswith(b"<"),
    }
    if not is_kind[runtime]:
        raise DeviceModelError(f"is no model of {runtime}; its first bytes are {start[:8]!r}")


def _load(file: pathlib.Path, runtime: str, threads: int | None, allow_bfloat16: bool) -> Runtime:
    # Here and not at the top: what is not used need not be installed.
    match runtime:
        case "litert":
            from serving.devices.litert import LiteRtRuntime

            return LiteRtRuntime(file, threads)
        case "onnx":
            from serving.devices.onnx import OnnxRuntime

            return OnnxRuntime(file, threads)
        case "openvino":
            from serving.devices.openvino import OpenVinoRuntime

            return OpenVinoRuntime(file, threads, allow_bfloat16=allow_bfloat16)
    raise ValueError(f"found the runtime {runtime!r}; expected one of {', '.join(MODEL_FILES)}")


def _metadata(loaded: Runtime) -> DeviceMetadata:
    if loaded.metadata_text is None:
        raise DeviceModelError(
            "has no metadata of a detector, so that its classes and how images are resized are not known; expected a "
            "model that this pipeline pushed"
        )
    try:
        return DeviceMetadata.of_json(loaded.metadata_text)
    except ValueError as error:
        raise DeviceModelError(str(error)) from error


def _check_tensors(loaded: Runtime, metadata: DeviceMetadata) -> None:
    """Do inputs and outputs have the names and sizes that the metadata says?"""
    expected: dict[str, tuple[int, ...]] = {
        IMAGES: (1, metadata.resizing.height_pixels, metadata.resizing.width_pixels, 3)
    }
    if metadata.takes_valid_share:
        expected[VALID_SHARE] = (1, 2)
    if dict(loaded.input_shapes) != expected:
        raise DeviceModelError(f"has the inputs {dict(loaded.input_shapes)}, expected by its metadata {expected}")
    missing = {BOXES, SCORES} - loaded.output_names
    if missing:
        raise DeviceModelError(
            f"has no output {' and '.join(sorted(missing))}, found {', '.join(sorted(loaded.output_names))}"
        )
