"""Every architecture as small as it gets, for tests of what all of them have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_FASTER_RCNN: Final = {
    "width": 0.25,
    "smallest_anchor_pixels": 16.0,
    "proposal_depth": 64,
    "max_proposals": 64,
    "proposals_per_step": 32,
}
TINY_DETECTORS: Final[Mapping[str, Mapping[str, Any]]] = {
    "ssd_mobilenet_v2": {"alpha": 0.35},
    "ssd_mobilenet_v2_fpnlite": {"alpha": 0.35, "fpn_depth": 32, "num_head_layers": 1, "anchor_scale": 2.0},
    # The first fusion of levels brings them to one depth; the second is as all further ones are.
    "efficientdet_d0": {"drop_connect_rate": 0.0, "bifpn_iterations": 2, "head_layers": 1},
    # Faster R-CNN with a deeper ResNet is the same code with more blocks.
    "faster_rcnn_resnet50": {**_FASTER_RCNN, "blocks": (1, 1, 1, 1)},
    "retinanet_resnet50_fpn": {"blocks": (1, 1, 1, 1), "stage_filters": (64, 16, 16, 16), "head_layers": 1},
    "retinanet_dinov3_vit_small": {"num_layers": 2, "hidden_dim": 32, "num_heads": 2, "head_layers": 1},
    "dfine_nano": {
        "width": 0.25,
        "hidden_dim": 32,
        "decoder_layers": 2,
        "num_queries": 60,
        "denoising_queries": 8,
        "seed": 3,
    },
    "faster_rcnn_inception_resnet_v2": {**_FASTER_RCNN, "blocks": (1, 1, 1)},
}
"""Options by detector."""
