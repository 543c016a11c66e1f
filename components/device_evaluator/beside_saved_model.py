"""What a device model found, put beside what the SavedModel found in the same images."""

from __future__ import annotations

import dataclasses

import numpy as np

from components.evaluator.matched_images import MatchedImages


def beside_saved_model(found: MatchedImages, saved_model: MatchedImages) -> MatchedImages:
    """The SavedModel's matches as the baseline, the device model's as the candidate.

    Args:
      found: the device model's; of its images only what it found there counts.
      saved_model: the SavedModel's, as the candidate of its evaluation. Facts of images, objects and class names are
        taken from here; what an earlier model found is left out.

    Raises:
      ValueError: the images are not the same, or the device model knows a class that the SavedModel does not.
    """
    theirs, ours = ([image.image_id for image in one.images] for one in (found, saved_model))
    if theirs != ours:
        differing = sorted(set(theirs) ^ set(ours))[:3]
        raise ValueError(
            f"{len(theirs)} images where the SavedModel was judged on {len(ours)}; only one side has "
            f"{', '.join(map(repr, differing)) or 'some of them twice'}; expected the split that the evaluation is of"
        )
    unknown = sorted(set(found.class_names) - set(saved_model.class_names))
    if unknown:
        raise ValueError(
            f"the device model knows {unknown[0]!r}, which the SavedModel's evaluation does not; expected one made of "
            "this SavedModel"
        )
    renumbered = np.array([saved_model.class_names.index(name) for name in found.class_names], np.int64)
    return dataclasses.replace(
        saved_model,
        candidate=dataclasses.replace(found.candidate, classes=renumbered[found.candidate.classes]),
        baseline=saved_model.candidate,
        # All classes count: what neither of the two finds is no difference between them.
        known_before=None,
    )
