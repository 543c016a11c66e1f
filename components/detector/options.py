"""The names of the options that each detector's builder takes; settings are checked with it: no imports."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Final

from components.detector.names import EFFICIENTDET, FASTER_RCNN

_EVERY: Final = ("batch_norm_momentum", "score_threshold", "iou_threshold", "max_detections")
_SSD: Final = (*_EVERY, "alpha", "l2", "class_prior_bias", "focal_alpha", "focal_gamma")

OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "ssd_mobilenet_v2": _SSD,
    "ssd_mobilenet_v2_fpnlite": (*_SSD, "fpn_depth", "num_head_layers", "anchor_scale"),
    **dict.fromkeys(
        EFFICIENTDET,
        (*_EVERY, "bifpn_iterations", "bifpn_filters", "head_layers", "drop_connect_rate", "box_scale_factors"),
    ),
    **dict.fromkeys(
        FASTER_RCNN,
        (
            *_EVERY,
            *("blocks", "width", "proposal_depth", "seed"),
            *("keep_aspect_ratio", "smallest_anchor_pixels", "crop_size", "pool_size", "share_box_across_classes"),
            *("max_proposals", "proposal_iou_threshold", "proposals_per_step", "max_detections_per_class"),
        ),
    ),
}
"""Names allowed in ``model.options``, by detector; their documentation is that of the builders' arguments."""


def check_option_names(detector: str, options: Iterable[str]) -> None:
    """Passes when the detector has every option.

    Raises:
      ValueError: for the first that it has not; the message has the nearest name and all of them.
    """
    allowed = sorted(OPTIONS[detector])
    for option in options:
        if option not in allowed:
            near = difflib.get_close_matches(option, allowed, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"options: {detector} has no option {option!r}{hint} (it has {', '.join(allowed)})")
