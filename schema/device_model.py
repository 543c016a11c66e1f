"""What a device model is: the detector without TensorFlow, in one file of a runtime for phones, edge boxes or CPUs.

``components.export`` writes it, ``serving.devices`` runs it, and an application needs nothing beside it: all that it
has to know travels inside, as the JSON text of ``DeviceMetadata`` under ``METADATA_KEY``.

Every format computes the same function. Input ``IMAGES``, float32 [1, H, W, 3], is one image on the canvas: RGB, values
0..255 as they are in the file, resized as ``DeviceMetadata.resizing`` says; the network scales them itself. Detectors
of two stages have a second input, ``VALID_SHARE``. Outputs are ``BOXES`` and ``SCORES``, every box that the network
made with its score for every class; suppression, and the way back to the original image, are the caller's
(``serving.devices.suppression`` is that, in numpy). The batch is one image.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final, Self

IMAGES: Final = "images"
"""float32 [1, H, W, 3]: see the module."""
VALID_SHARE: Final = "valid_height_width"
"""float32 [1, 2]: the share (height, width) of the canvas, 0..1, that holds image; the rest is padding. An input only
where ``DeviceMetadata.takes_valid_share``."""
BOXES: Final = "boxes"
"""float32 [1, N, Q, 4]: (ymin, xmin, ymax, xmax) in 0..1 of the canvas, neither clipped nor suppressed; Q is 1 where
classes share their boxes, else the number of classes."""
SCORES: Final = "scores"
"""float32 [1, N, C] in 0..1, by 0-based class; rows that are padding score 0."""

METADATA_KEY: Final = "object_detector"
"""Name under which a format keeps ``DeviceMetadata``: of LiteRT's metadata buffer, of the entry in ONNX's
``metadata_props``, of the path in OpenVINO's ``rt_info``."""
CARD_FILE: Final = "card.json"
"""Beside a model: what was measured of it, see ``DeviceCard``."""

SAVED_MODEL: Final = "saved_model"
"""The format of servers; the others are device models."""


@dataclasses.dataclass(frozen=True)
class DeviceFormat:
    """One format as a file.

    Attributes:
      name: in ``push.formats``.
      runtime: what runs it: ``litert``, ``onnx`` or ``openvino``, also the extra of the package that installs it.
      file: name of the model's file.
      beside: names of files that belong to it.
      is_quantized: computed in 8-bit integers, calibrated on images.
      title: for a reader.
    """

    name: str
    runtime: str
    file: str
    beside: tuple[str, ...]
    is_quantized: bool
    title: str


DEVICE_FORMATS: Final = {
    one.name: one
    for one in (
        DeviceFormat("litert", "litert", "detector.tflite", (), False, "LiteRT, float32"),
        DeviceFormat("litert_float16", "litert", "detector.tflite", (), False, "LiteRT, weights in float16"),
        DeviceFormat("litert_int8", "litert", "detector.tflite", (), True, "LiteRT, 8-bit integers"),
        DeviceFormat("onnx", "onnx", "detector.onnx", (), False, "ONNX, float32"),
        DeviceFormat("openvino", "openvino", "detector.xml", ("detector.bin",), False, "OpenVINO, float32"),
        DeviceFormat("openvino_int8", "openvino", "detector.xml", ("detector.bin",), True, "OpenVINO, 8-bit integers"),
    )
}
"""By name."""


@dataclasses.dataclass(frozen=True)
class Resizing:
    """How an image comes onto the canvas: bilinearly, without antialiasing.

    Attributes:
      height_pixels: of the canvas.
      width_pixels: of the canvas.
      min_dimension_pixels: with it the aspect ratio is kept: the shorter side becomes this long, unless the longer one
        would pass ``max_dimension_pixels``; then that becomes so long. The rest, right and below, is padding. None: the
        image is stretched to the canvas.
      max_dimension_pixels: see there; None with it.
      half_pixel_centers: whether pixels are areas, with their centers at halves, or points.
      padding_rgb: value of padding, 0..255.
    """

    height_pixels: int
    width_pixels: int
    min_dimension_pixels: int | None
    max_dimension_pixels: int | None
    half_pixel_centers: bool
    padding_rgb: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclasses.dataclass(frozen=True)
class Suppression:
    """Non-maximum suppression within each class, then the best of all classes.

    Attributes:
      score_threshold: boxes must score above it.
      iou_threshold: a box that overlaps a better one of its class by more is left out.
      max_per_class: kept of each class.
      max_total: kept of all.
    """

    score_threshold: float
    iou_threshold: float
    max_per_class: int
    max_total: int


@dataclasses.dataclass(frozen=True)
class DeviceMetadata:
    """All that an application has to know of a device model.

    Attributes:
      detector: name of the architecture.
      class_ids: 1-based ids of the label map, by 0-based class.
      class_names: by 0-based class.
      thresholds: the score from which on a detection is believed, by 0-based class; None where none was chosen.
      resizing: of images.
      suppression: of boxes.
      takes_valid_share: whether there is an input ``VALID_SHARE``.
      colors: order of the channels.
      version: of this text.
    """

    detector: str
    class_ids: tuple[int, ...]
    class_names: tuple[str, ...]
    thresholds: tuple[float, ...] | None
    resizing: Resizing
    suppression: Suppression
    takes_valid_share: bool = False
    colors: str = "RGB"
    version: int = 1

    def to_json(self) -> str:
        """As text, one line."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def of_json(cls, text: str) -> Self:
        """The inverse of ``to_json``.

        Raises:
          ValueError: it is another text, or one of a later version.
        """
        try:
            read: dict[str, Any] = dict(json.loads(text))
            if read["version"] != 1:
                raise ValueError(f"version {read['version']}, expected 1")
            thresholds = read.pop("thresholds")
            resizing = dict(read.pop("resizing"))
            red, green, blue = resizing.pop("padding_rgb")
            return cls(
                class_ids=tuple(read.pop("class_ids")),
                class_names=tuple(read.pop("class_names")),
                thresholds=None if thresholds is None else tuple(thresholds),
                resizing=Resizing(**resizing, padding_rgb=(red, green, blue)),
                suppression=Suppression(**read.pop("suppression")),
                **read,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"no metadata of a device model ({error!r}): {text[:200]}") from error


@dataclasses.dataclass(frozen=True)
class DeviceCard:
    """What was measured of a device model, and beside what.

    Attributes:
      format: its name.
      detector: name of the architecture.
      split: that it was measured on.
      images: of it.
      ap: COCO's AP there, 0..1.
      ap50: at an IoU of 0.5.
      saved_model_ap: of the SavedModel on the same images.
      size_bytes: of all its files.
      latency_ms: median of one image on the machine that measured it, without decoding.
      machine: that machine.
      is_blessed: whether it may be used.
      reasons: why not; empty when it is blessed.
    """

    format: str
    detector: str
    split: str
    images: int
    ap: float
    ap50: float
    saved_model_ap: float
    size_bytes: int
    latency_ms: float
    machine: str
    is_blessed: bool
    reasons: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The text of ``CARD_FILE``."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def of_json(cls, text: str) -> Self:
        """The inverse of ``to_json``."""
        read: dict[str, Any] = dict(json.loads(text))
        return cls(reasons=tuple(read.pop("reasons")), **read)
