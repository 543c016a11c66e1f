"""Which anchors a detector is trained with: those of the settings, of its start weights, or what suits the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.data_profile import SIDE_BINS_PER_OCTAVE, SplitProfile
from components.detector.detector import Detector
from components.detector.options import options_of
from components.detector.targets.anchor_fit import BoxSizes, anchor_fit, fitted_options
from components.detector.tiled_detector import tiled
from components.detector.weights import zoo
from components.detector.weights.checkpoints import CheckpointError
from components.trainer.settings import ModelSettings
from components.trainer.training_plan import ChosenAnchors, MatchableBoxes


def choose_anchors(
    detector: Detector, settings: ModelSettings, profile: SplitProfile, blessed_model: str | None = None
) -> ChosenAnchors | None:
    """Gives a freshly built detector its anchors (``model.anchors``); the same data give the same ones.

    Returns None, and does nothing, for a detector that has no anchors.

    Args:
      detector: of the settings.
      settings: the section ``model``.
      profile: of the training images.
      blessed_model: SavedModel folder of the last blessed model, where the training starts from it.

    Raises:
      CheckpointError: the pretrained weights cannot be read.
    """
    if not detector.options.has_anchors:
        return None
    sizes = _box_sizes(detector, settings, profile)
    if settings.options.gives_anchors:
        origin, anchors = "of model.options", settings.options.anchors
    elif settings.anchors == "options":
        origin, anchors = "as published", settings.options.anchors
    else:
        learnt = _learnt(detector, settings, blessed_model) if settings.anchors == "auto" else None
        if learnt is not None:
            origin, anchors = learnt
        elif sizes is None:
            origin, anchors = "as published, for want of boxes", settings.options.anchors
        else:
            origin, anchors = "for the boxes of the training images", fitted_options(detector, sizes).anchors
    published = options_of(detector.name, {})
    # None stays None: what is not said is published, as in zoo checkpoints.
    if anchors != published.anchors:
        detector.use_anchors(detector.options.model_copy(update=anchors))
    return ChosenAnchors(
        origin=origin,
        options=anchors,
        matched_iou=detector.matched_iou,
        published=sizes and MatchableBoxes(*anchor_fit(detector, published, sizes)),
        used=sizes and MatchableBoxes(*anchor_fit(detector, detector.options, sizes)),
    )


def _box_sizes(detector: Detector, settings: ModelSettings, profile: SplitProfile) -> BoxSizes | None:
    """Of the boxes as the detector sees them; None without boxes."""
    # What is cut into tiles is stretched first, whatever the detector does with an image.
    is_padded = detector.keeps_aspect_ratio and settings.tiling is None
    by_class = profile.padded_box_sides if is_padded else profile.box_sides
    if not by_class:
        return None
    sizes = BoxSizes.of_bins(by_class, SIDE_BINS_PER_OCTAVE, tiled(detector, settings.tiling).image_size)
    height, width = detector.image_size
    return sizes._replace(heights=np.minimum(sizes.heights, height), widths=np.minimum(sizes.widths, width))


def _learnt(
    detector: Detector, settings: ModelSettings, blessed_model: str | None
) -> tuple[str, dict[str, Any]] | None:
    """Where the heads of the start weights come from and the anchors they have learnt with; None without such heads."""
    if blessed_model is not None:
        try:
            anchors = zoo.heads_anchors(detector, blessed_model)
        except CheckpointError:  # which the start weights will tell of, and not start from
            anchors = None
        if anchors is not None:
            return "of the last blessed model", anchors
    if settings.pretrained is None:
        return None
    anchors = zoo.heads_anchors(detector, settings.pretrained)
    return None if anchors is None else ("of the start weights' heads", anchors)
