"""The names of the detectors; settings are checked with it: no imports."""

from __future__ import annotations

import difflib
from typing import Final

SSD: Final = ("ssd_mobilenet_v2", "ssd_mobilenet_v2_fpnlite")
EFFICIENTDET: Final = tuple(f"efficientdet_d{n}" for n in range(8))
FASTER_RCNN: Final = (
    "faster_rcnn_resnet50",
    "faster_rcnn_resnet101",
    "faster_rcnn_resnet152",
    "faster_rcnn_inception_resnet_v2",
)
RETINANET: Final = ("retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2")
DINOV3: Final = ("retinanet_dinov3_vit_small",)
DFINE: Final = ("dfine_nano", "dfine_small", "dfine_medium", "dfine_large", "dfine_xlarge")
KERAS_HUB_DETECTORS: Final = (*RETINANET, *DINOV3, *DFINE)
"""Those made of KerasHub's layers; the zoo has none of these."""
DETECTORS: Final = (*SSD, *EFFICIENTDET, *FASTER_RCNN, *KERAS_HUB_DETECTORS)
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
