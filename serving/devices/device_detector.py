"""Encoded images -> detections, by a device model.

    detector = DeviceDetector.open("pushed/onnx/3")
    (detections,), version = detector.detect([pathlib.Path("street.jpg").read_bytes()])

The same as `serving.clients.detector_client.DetectorClient` with a server; needs numpy, Pillow and the runtime.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Self

from schema.exported_model import UNREADABLE_IMAGE
from serving.clients import image_files
from serving.clients.errors import ImageRefusedError
from serving.devices import suppression
from serving.devices.arrays import UInt8
from serving.devices.resizing import to_canvas
from serving.devices.runtime import DeviceModel, open_device_model
from serving.devices.suppression import Found
from serving.protocol.detections import Answer, Detection


class DeviceDetector:
    """A device model with what belongs before and behind it; safe to use from several threads.

    Attributes:
      model: that answers.
      metadata: of the model.
      version: the number that the model's folder is called; 0: it is called something else.
    """

    def __init__(self, model: DeviceModel) -> None:
        self.model, self.metadata = model, model.metadata
        folder = model.path.resolve().parent.name
        self.version = int(folder) if folder.isascii() and folder.isdecimal() else 0

    @classmethod
    def open(cls, path: str | pathlib.Path, threads: int | None = None, *, allow_bfloat16: bool = False) -> Self:
        """Loads a device model; see ``open_device_model``.

        Raises:
          DeviceModelError: it cannot be used.
        """
        return cls(open_device_model(path, threads, allow_bfloat16=allow_bfloat16))

    def detect(self, images: Sequence[bytes], score_threshold: float | None = None) -> Answer:
        """Detects objects in encoded images, one after the other.

        Args:
          images: JPEG, PNG, GIF or BMP files; sizes may differ. JPEG files are turned by their EXIF orientation.
          score_threshold: detections below are left out. None: the model's own threshold of each class, or 0.5 for all
            of them where it has none. 0 keeps everything.

        Returns:
          Detections by image, best score first, with boxes in 0..1 of the upright image; and ``version``.

        Raises:
          ImageRefusedError: one of them does not decode; names its index.
        """
        answers = []
        for index, encoded in enumerate(images):
            try:
                found = self.find(image_files.decode(encoded))
            except image_files.ImageFileError as error:
                raise ImageRefusedError(f"{UNREADABLE_IMAGE} at index {index} ({error})") from error
            detections = self.detections(found)
            answers.append(tuple(one for one in detections if one.is_believed(score_threshold)))
        return answers, self.version

    def find(self, image: UInt8) -> Found:
        """Detects objects in one image, all that the model's suppression leaves.

        Args:
          image: uint8 [h, w, 3], RGB, upright.

        Returns:
          Boxes in 0..1 of the image, best score first; classes are 0-based.
        """
        settings = self.metadata.suppression
        canvas, share = to_canvas(image, self.metadata.resizing)
        boxes, scores = self.model.run(canvas, share)
        found = suppression.suppress(
            boxes,
            scores,
            score_threshold=settings.score_threshold,
            iou_threshold=settings.iou_threshold,
            max_per_class=settings.max_per_class,
            max_total=settings.max_total,
            window_yxyx=suppression.canvas_window(share),
        )
        return suppression.to_original_frame(found, share)

    def detections(self, found: Found) -> tuple[Detection, ...]:
        """What was found, with the names and thresholds of classes."""
        metadata = self.metadata
        return tuple(
            Detection(
                metadata.class_ids[index],
                metadata.class_names[index],
                score,
                (ymin, xmin, ymax, xmax),
                None if metadata.thresholds is None else metadata.thresholds[index],
            )
            for (ymin, xmin, ymax, xmax), score, index in zip(*(part.tolist() for part in found), strict=True)
        )
