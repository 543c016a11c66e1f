"""Recognising the architecture of a zoo checkpoint from its keys, without building every detector to compare."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final


def fingerprint(keys: Iterable[str]) -> tuple[int, int]:
    """Number and CRC-32 of a set of checkpoint keys. Keys depend on the architecture alone, not on sizes or classes."""
    ordered = sorted(keys)
    return len(ordered), zlib.crc32("\n".join(ordered).encode())


FINGERPRINTS: Final[dict[str, tuple[int, int]]] = {
    "ssd_mobilenet_v2": (324, 2079279006),
    "ssd_mobilenet_v2_fpnlite": (384, 579161006),
    "efficientdet_d0": (683, 3215234246),
    "efficientdet_d1": (875, 2080713164),
    "efficientdet_d2": (939, 2707714852),
    "efficientdet_d3": (1106, 1206665145),
    "efficientdet_d4": (1284, 3014334044),
    "efficientdet_d5": (1412, 185127939),
    # D7 is D6's network at a larger size.
    "efficientdet_d6": (1572, 1534763066),
    "efficientdet_d7": (1572, 1534763066),
    "faster_rcnn_resnet50": (275, 4203843636),
    "faster_rcnn_resnet101": (530, 3912855744),
    "faster_rcnn_resnet152": (785, 861676144),
    "faster_rcnn_inception_resnet_v2": (906, 2620728762),
}
"""Of every detector's ``zoo_variables()``; a test builds the detectors and compares."""


def detectors_with_keys(keys: Iterable[str]) -> list[str]:
    """Names of the detectors whose checkpoints have exactly these keys."""
    wanted = fingerprint(keys)
    return [name for name, known in FINGERPRINTS.items() if known == wanted]
