"""Starting a detector from existing weights: the TF2 Detection Zoo's, ImageNet's, or those of an earlier run."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from components.detector.options import OPTIONS, options_of
from components.detector.structures import ClassRows
from components.detector.targets.boxes import ScaleFactors
from components.detector.weights import checkpoints, zoo_fingerprints
from components.detector.weights.checkpoints import Checkpoint, CheckpointError
from components.detector.weights.coco_classes import COCO_LABEL_MAP, NUM_IDS
from components.detector.weights.zoo_pipeline_config import scale_factors_beside
from schema.label_map import LabelMap

if TYPE_CHECKING:
    from components.detector.detector import Detector

Array = NDArray[np.floating[Any]]

_SHOWN = 3
"""How many variables an error message lists."""


@dataclasses.dataclass(frozen=True)
class RestoreReport:
    """What became of every variable. Names are keys of zoo checkpoints.

    Attributes:
      source: what was read, in words.
      restored: variables that hold the source's values.
      reinitialized: variables that keep their fresh values, because the classes are others.
      missing: variables of the detector that a source of backbone weights does not hold; they keep fresh values.
      unused: what the source holds besides a detector: optimizer slots, counters.
      kept_classes: names of the classes whose rows were taken over into variables listed as re-initialised.
      box_scale_factors: of the source's box coder, where they differ from the detector's and weights were converted.
    """

    source: str
    restored: tuple[str, ...]
    reinitialized: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    kept_classes: tuple[str, ...] = ()
    box_scale_factors: ScaleFactors | None = None

    def __str__(self) -> str:
        lines = [f"weights from {self.source}: {len(self.restored)} variables restored"]
        if self.reinitialized:
            kept = f", rows kept of {', '.join(self.kept_classes)}" if self.kept_classes else ""
            lines.append(f"  {len(self.reinitialized)} re-initialised for the new classes{kept}:")
            lines += [f"    {key}" for key in self.reinitialized]
        if self.box_scale_factors:
            lines.append(f"  box encodings converted from scales {self.box_scale_factors} of its pipeline.config")
        if self.missing:
            lines.append(f"  {len(self.missing)} not in the source, freshly initialised (first: {self.missing[0]})")
        if self.unused:
            lines.append(f"  {len(self.unused)} entries of the source left over (first: {self.unused[0]})")
        return "\n".join(lines)

    def listing(self) -> str:
        """Every variable, a line each, behind what became of it."""
        groups = {
            "restored": self.restored,
            "re-initialised": self.reinitialized,
            "not in the source": self.missing,
            "left over": self.unused,
        }
        return "\n".join(f"{group}\t{key}" for group, keys in groups.items() for key in keys)


def restore(
    detector: Detector,
    source: str,
    *,
    pretrained_classes: Literal["new", "map"] = "new",
    label_map: LabelMap | None = None,
    source_label_map: LabelMap | None = None,
) -> RestoreReport:
    """Sets a detector's variables from a source of weights. Checks everything before it sets anything.

    Class-specific variables are taken over when the source has the same classes (the same number of them, and the same
    names where both are known). Otherwise they start afresh, or with ``map`` take over the rows of classes that both
    label maps name; rows of other classes stay fresh. Where one class head is linear and the other goes by cosines,
    what does not mean the same in both starts afresh, too (``_scores_alike``).

    Args:
      detector: made by ``registry.build_detector``.
      source: see ``checkpoints.ACCEPTED``.
      pretrained_classes: what to do when the classes differ.
      label_map: the detector's classes; class i of the detector is the one with id i + 1.
      source_label_map: the source's classes, where it does not say itself. Zoo checkpoints with 90 classes are taken
        to be COCO's.

    Returns:
      What was restored, re-initialised and left over.

    Raises:
      CheckpointError: the source cannot be read or is of another architecture or size; the message says what fits.
    """
    located = checkpoints.locate(source)
    if located.kind == "imagenet" or _is_backbone_file(located, detector):
        return _restore_backbone(detector, located.path)
    checkpoint = checkpoints.open_checkpoint(located, source, detector)
    variables = detector.zoo_variables()
    _check_architecture(detector, checkpoint)
    class_rows = detector.class_rows()
    if advice := detector.contradicted_options(checkpoint.shapes):
        raise CheckpointError(f"{checkpoint.source}: {advice}")
    _check_shapes(detector, checkpoint, class_rows)
    if not checkpoint.has_heads:
        for key in sorted(checkpoint.shapes):
            variables[key].assign(checkpoint.read(key))
        return RestoreReport(
            source=f"{source} ({checkpoint.kind})",
            restored=tuple(sorted(checkpoint.shapes)),
            missing=tuple(sorted(variables.keys() - checkpoint.shapes.keys())),
        )
    old_classes = _num_classes(checkpoint, class_rows)
    old_map = source_label_map or checkpoint.label_map
    if old_map is None and old_classes == NUM_IDS and located.kind in ("zoo", "saved_model"):
        old_map = COCO_LABEL_MAP
    same = old_classes == detector.num_classes and (old_map is None or label_map is None or old_map == label_map)
    common: dict[int, int] = {}
    if not same and pretrained_classes == "map":
        common = _common_classes(checkpoint, old_map, label_map)
    try:
        scales = scale_factors_beside(located.path) if located.kind in ("zoo", "saved_model") else None
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    restored, reinitialized = [], []
    for key in sorted(checkpoint.shapes):
        if key in class_rows and not _scores_alike(key, checkpoint, detector):
            reinitialized.append(key)
        elif same or key not in class_rows:
            variables[key].assign(checkpoint.read(key))
            restored.append(key)
        else:
            if common:
                rows = _with_rows(np.array(variables[key]), checkpoint.read(key), class_rows[key], common)
                variables[key].assign(rows)
            reinitialized.append(key)
    converted = scales is not None and detector.convert_box_encodings(scales)
    return RestoreReport(
        source=f"{source} ({checkpoint.kind})",
        restored=tuple(restored),
        reinitialized=tuple(reinitialized),
        unused=checkpoint.others,
        kept_classes=tuple(name for class_id, name in label_map or () if class_id - 1 in common),
        box_scale_factors=scales if converted else None,
    )


def heads_anchors(detector: Detector, source: str) -> dict[str, Any] | None:
    """The anchors that the heads in a source of weights have learnt with, as options; None where it has no such heads.

    Zoo checkpoints have the published ones. A bare ``.weights.h5`` does not say; it is taken to be like the detector.

    Args:
      detector: made by ``registry.build_detector``.
      source: see ``checkpoints.ACCEPTED``.

    Raises:
      CheckpointError: the source cannot be read.
    """
    located = checkpoints.locate(source)
    if located.kind == "imagenet" or _is_backbone_file(located, detector):
        return None
    if located.kind == "keras_hub":
        has_heads = checkpoints.open_checkpoint(located, source, detector).has_heads
        return dict(detector.options.published_anchors) if has_heads else None
    if located.kind in ("zoo", "saved_model"):
        return dict(detector.options.published_anchors)
    if located.kind not in ("pushed", "keras"):
        return detector.options.anchors
    recipe = (
        checkpoints.pushed_recipe(located.path)[0]
        if located.kind == "pushed"
        else checkpoints.keras_file_recipe(located.path)
    )
    if OPTIONS.get(recipe["name"]) is not type(detector.options):
        return None
    names = detector.options.published_anchors
    return options_of(detector.name, {name: recipe.get(name) for name in names}).anchors


def _is_backbone_file(located: checkpoints.Located, detector: Detector) -> bool:
    """Whether a Keras file holds a network of keras.applications alone."""
    if located.kind == "keras":
        return not checkpoints.keras_file_recipe(located.path)
    if located.kind != "weights":
        return False
    backbone = {id(variable) for layer in detector.backbone_layers for variable in layer.variables}
    return len(checkpoints.weights_file_shapes(located.path)) == len(backbone) < len(detector.variables)


def _restore_backbone(detector: Detector, weights: str) -> RestoreReport:
    try:
        set_variables = {id(variable) for variable in detector.load_imagenet_backbone(weights)}
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    held = {id(variable) for variable in detector.variables}
    ours = {key: id(variable) for key, variable in detector.zoo_variables().items() if id(variable) in held}
    return RestoreReport(
        source=f"{weights} (backbone of keras.applications)",
        restored=tuple(sorted(key for key, variable in ours.items() if variable in set_variables)),
        missing=tuple(sorted(key for key, variable in ours.items() if variable not in set_variables)),
    )


def _check_architecture(detector: Detector, checkpoint: Checkpoint) -> None:
    held = {id(variable) for variable in detector.variables}
    variables = detector.zoo_variables()
    needed = {key for key, variable in variables.items() if id(variable) in held} if checkpoint.has_heads else set()
    found = set(checkpoint.shapes)
    missing, left_over = sorted(needed - found), sorted(found - variables.keys())
    if not missing and not left_over:
        return
    fits = zoo_fingerprints.detectors_with_keys(found)
    advice = f"it fits model.detector: {' or '.join(fits)}" if fits else "it fits no detector here"
    differences = [f"lacks {len(missing)} variables (first: {missing[0]})"] if missing else []
    differences += [f"has {len(left_over)} that the detector lacks (first: {left_over[0]})"] if left_over else []
    raise CheckpointError(
        f"{checkpoint.source}: this {checkpoint.kind} is not of {detector.recipe['name']} as configured: it "
        f"{' and '.join(differences)}; {advice}"
    )


def _check_shapes(detector: Detector, checkpoint: Checkpoint, class_rows: dict[str, ClassRows]) -> None:
    wrong = []
    for key, variable in detector.zoo_variables().items():
        ours, theirs = tuple(variable.shape), checkpoint.shapes.get(key, tuple(variable.shape))
        of_classes = key in class_rows and len(ours) == len(theirs) and ours[:-1] == theirs[:-1]
        if ours != theirs and not of_classes:
            wrong.append(f"{key} is {list(theirs)}, expected {list(ours)}")
    if wrong:
        raise CheckpointError(
            f"{checkpoint.source}: the layers are those of {detector.recipe['name']}, but {len(wrong)} variables have "
            f"other shapes: {'; '.join(wrong[:_SHOWN])}{'; ...' if len(wrong) > _SHOWN else ''}. Set model.options to "
            "the width and depth it was trained with"
        )


def _scores_alike(key: str, checkpoint: Checkpoint, detector: Detector) -> bool:
    """Whether a class-specific variable of the source means something in the detector.

    Between a linear class head and one by cosines only directions do: a linear kernel's columns are a good start for
    cosines. Biases stand beside logits of another size, and lengths that cosines never looked at are none of a linear
    kernel's.
    """
    if checkpoint.class_head == detector.options.class_head or "/_class_predictor_layers/" not in key:
        return True
    return detector.options.class_head == "cosine" and not key.endswith("/bias")


def _num_classes(checkpoint: Checkpoint, class_rows: dict[str, ClassRows]) -> int:
    """Number of classes of a checkpoint, which all its class-specific variables must agree on."""
    counts = {
        key: checkpoint.shapes[key][-1] / (rows.groups * rows.values) - rows.background
        for key, rows in class_rows.items()
    }
    if len(set(counts.values())) != 1 or not min(counts.values()).is_integer():
        raise CheckpointError(f"{checkpoint.source}: its variables disagree on the number of classes: {counts}")
    return int(min(counts.values()))


def _common_classes(checkpoint: Checkpoint, old: LabelMap | None, new: LabelMap | None) -> dict[int, int]:
    """0-based new class -> 0-based old class, for names that both maps hold."""
    if old is None or new is None:
        side = "the source" if old is None else "the detector"
        raise CheckpointError(
            f"{checkpoint.source}: pretrained_classes is 'map', but the label map of {side} is not known; give it, or "
            "use 'new'"
        )
    by_name = {name: class_id - 1 for class_id, name in old}
    return {class_id - 1: by_name[name] for class_id, name in new if name in by_name}


def _with_rows(fresh: Array, source: Array, rows: ClassRows, common: dict[int, int]) -> Array:
    """The fresh array with background and common classes taken from the source's."""
    view = fresh.reshape(*fresh.shape[:-1], rows.groups, -1, rows.values).copy()  # [..., groups, columns, values]
    old = source.reshape(*source.shape[:-1], rows.groups, -1, rows.values)
    view[..., : rows.background, :] = old[..., : rows.background, :]
    for new_class, old_class in common.items():
        view[..., rows.background + new_class, :] = old[..., rows.background + old_class, :]
    return view.reshape(fresh.shape)


def inspect(source: str) -> str:
    """What a checkpoint holds and which detectors it fits, as text.

    Raises:
      CheckpointError: it cannot be read.
    """
    located = checkpoints.locate(source)
    if located.kind in ("zoo", "saved_model"):
        prefix = located.path if located.kind == "zoo" else f"{located.path}/variables/variables"
        checkpoint = checkpoints.open_tf_checkpoint(source, prefix)
        fits = zoo_fingerprints.detectors_with_keys(checkpoint.shapes.keys())
        numbers = sum(int(np.prod(shape)) for shape in checkpoint.shapes.values())
        lines = [f"{source}: {checkpoint.kind}", f"{len(checkpoint.shapes)} variables, {numbers:,} values"]
        lines.append(f"fits model.detector: {', '.join(fits) or 'none of the detectors here'}")
        lines += [f"  {key}\t{list(shape)}" for key, shape in sorted(checkpoint.shapes.items())]
        lines += [f"not part of the detector: {', '.join(checkpoint.others)}"] if checkpoint.others else []
        return "\n".join(lines)
    if located.kind == "imagenet":
        return f"{source}: weights of a keras.applications network for the backbone"
    if located.kind == "keras_hub":
        from components.detector.weights.keras_hub_preset import describe  # seconds, as for ``open_checkpoint``

        try:
            return f"{source}: {describe(located.path)}"
        except ValueError as error:
            raise CheckpointError(f"{source}: {error}") from error
    if located.kind == "pushed":
        recipe, label_map = checkpoints.pushed_recipe(located.path)
        classifier = checkpoints.pushed_classifier(located.path)
        return f"{source}: pushed version of {_in_words(recipe)}\nclasses: {', '.join(label_map.names)}" + (
            f"\nits boxes are classified by {classifier}, which no training starts from" if classifier else ""
        )
    recipe = checkpoints.keras_file_recipe(located.path) if located.kind == "keras" else {}
    if recipe:
        return f"{source}: saved detector, {_in_words(recipe)}"
    shapes = checkpoints.weights_file_shapes(located.path) if located.kind == "weights" else []
    held = f"Keras weights ({len(shapes)} variables)" if shapes else "a Keras model that is no detector"
    return f"{source}: {held}; the file does not say which network they are of"


def _in_words(recipe: dict[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in recipe.items())
