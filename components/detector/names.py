"""The names of the detectors and of the zoo checkpoints they load; settings are checked with it: no imports."""

from __future__ import annotations

import difflib
import re
from typing import Final

SSD: Final = ("ssd_mobilenet_v2", "ssd_mobilenet_v2_fpnlite")
EFFICIENTDET: Final = tuple(f"efficientdet_d{n}" for n in range(8))
FASTER_RCNN: Final = (
    "faster_rcnn_resnet50",
    "faster_rcnn_resnet101",
    "faster_rcnn_resnet152",
    "faster_rcnn_inception_resnet_v2",
)
DETECTORS: Final = (*SSD, *EFFICIENTDET, *FASTER_RCNN)
"""Every allowed value of ``model.detector``."""


def check_detector_name(name: str) -> None:
    """Passes for one of ``DETECTORS``.

    Raises:
      ValueError: for anything else; the message has the nearest name and all of them.
    """
    if name not in DETECTORS:
        near = difflib.get_close_matches(name, DETECTORS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"no detector is called {name!r}{hint} (known: {', '.join(DETECTORS)})")


_ZOO_FOLDER = re.compile(
    r"(?P<detector>ssd_mobilenet_v2(?:_fpnlite)?|efficientdet_d[0-7]"
    r"|faster_rcnn_(?:resnet(?:50|101|152)_v1|inception_resnet_v2))"
    r"(?:_(?P<height>\d+)x(?P<width>\d+))?_coco17_(?:tpu|gpu)-\d+"
)


def zoo_folder_detector(folder_name: str) -> tuple[str, tuple[int, int] | None] | None:
    """Detector and native size of a TF2 Detection Zoo folder.

    ``"faster_rcnn_resnet50_v1_640x640_coco17_tpu-8"`` gives ``("faster_rcnn_resnet50", (640, 640))``; the size is None
    where it follows from the detector's name alone (``efficientdet_d3_coco17_tpu-32``).

    Returns:
      (detector name, (height, width) in pixels or None), or None for a folder that no detector here loads.
    """
    match = _ZOO_FOLDER.fullmatch(folder_name)
    if match is None:
        return None
    name = match["detector"].removesuffix("_v1")
    if name == "ssd_mobilenet_v2":
        # The checkpoint called 320x320 was trained, and is served, at 300x300.
        return name, (300, 300)
    return name, (int(match["height"]), int(match["width"])) if match["height"] else None
