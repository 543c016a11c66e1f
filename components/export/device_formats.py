"""Which formats of device models there are, what writes each, what it needs, and for which detectors it cannot.

A config is checked with it: it imports neither TensorFlow nor a converter.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from components.detector.names import check_detector_name
from schema.device_model import DEVICE_FORMATS, DeviceMetadata
from schema.installation import how_to_install

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Sequence

    from components.export.device_network import CanvasImage, DeviceNetwork

EXTRA: Final = "devices"
"""Of the package, that brings all that the formats need."""


class DeviceWriter(Protocol):
    """Writes one format."""

    def __call__(
        self,
        folder: pathlib.Path,
        network: DeviceNetwork,
        metadata: DeviceMetadata,
        calibration: Sequence[CanvasImage],
    ) -> None:
        """Writes the files that ``DEVICE_FORMATS`` names.

        Args:
          folder: an empty one on a local disk.
          network: what to convert.
          metadata: what goes inside.
          calibration: what a quantised format looks at; may be empty for others.
        """


@dataclasses.dataclass(frozen=True)
class _Conversion:
    """How a format is made.

    Attributes:
      writer: dotted path of a ``DeviceWriter``.
      packages: modules that its module imports, beside TensorFlow.
    """

    writer: str
    packages: tuple[str, ...]


_CONVERSIONS: Final[Mapping[str, _Conversion]] = {
    "litert": _Conversion("components.export.litert.write", ("ai_edge_litert",)),
    "litert_float16": _Conversion("components.export.litert.write_float16", ("ai_edge_litert",)),
    "litert_int8": _Conversion("components.export.litert_int8.write", ("ai_edge_litert", "ai_edge_quantizer")),
    "onnx": _Conversion("components.export.onnx.write", ("onnx", "tf2onnx")),
    "openvino": _Conversion("components.export.openvino.write", ("openvino",)),
    "openvino_int8": _Conversion("components.export.openvino_int8.write", ("openvino", "nncf")),
}
assert _CONVERSIONS.keys() == DEVICE_FORMATS.keys()


def unsupported(format_name: str, detector: str, *, is_tiled: bool = False, classifier: str | None = None) -> str:
    """Why there is no device model of a detector in a format.

    Args:
      format_name: one of ``DEVICE_FORMATS``.
      detector: one of ``names.DETECTORS``.
      is_tiled: whether it looks at images in tiles.
      classifier: what classifies its boxes in place of its own heads; None: nothing.

    Returns:
      A sentence; empty where there is one.

    Raises:
      ValueError: there is no such format or detector.
    """
    _check_format_name(format_name)
    check_detector_name(detector)
    if is_tiled:
        return (
            f"{format_name} holds the network of one canvas, and a detector that looks at images in tiles puts several "
            "together; leave out model.tiling, or the format"
        )
    if classifier is not None:
        return (
            f"{format_name} holds what a detector's own heads predict, and here a fitted classifier ({classifier}) "
            "looks at boxes after their suppression, which is the application's; train without it, or leave out the "
            "format"
        )
    return ""


def missing_packages(format_name: str) -> tuple[str, ...]:
    """What would have to be installed to write a format.

    Raises:
      ValueError: there is no such format.
    """
    _check_format_name(format_name)
    return tuple(name for name in _CONVERSIONS[format_name].packages if importlib.util.find_spec(name) is None)


def writer_of(format_name: str) -> DeviceWriter:
    """What writes a format, imported now.

    Raises:
      ValueError: there is no such format.
      ModuleNotFoundError: a package is missing; it names the extra to install.
    """
    missing = missing_packages(format_name)
    if missing:
        raise ModuleNotFoundError(
            f"{format_name} is written with {' and '.join(missing)}, not installed here: {how_to_install(EXTRA)}",
            name=missing[0],
        )
    module, _, function = _CONVERSIONS[format_name].writer.rpartition(".")
    writer: DeviceWriter = getattr(importlib.import_module(module), function)
    return writer


def _check_format_name(format_name: str) -> None:
    if format_name not in DEVICE_FORMATS:
        raise ValueError(f"no format of device models is called {format_name!r} (known: {', '.join(DEVICE_FORMATS)})")
