"""Which layers of a detector learn, and how fast each does: settings to flags and factors."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import keras

from components.detector.detector import Detector
from components.trainer.strategies.settings.fine_tune import LearningLayers

_PARTS: Final = ("backbone", "heads")
_WHAT_LEARNS: Final = set(LearningLayers.model_fields)


def set_trainable(detector: Detector, layers: LearningLayers, *, freeze_batch_norm: bool = False) -> None:
    """Sets ``trainable`` of every layer, whatever it was before.

    Layers that do not learn also leave their batch normalisation's moving statistics alone.

    Args:
      detector: what is to learn.
      layers: which of its layers.
      freeze_batch_norm: leave out the backbone's batch normalisation.

    Raises:
      ValueError: ``layers`` names none of the detector's, or nothing is left that learns.
    """
    backbone = detector.backbone_layers
    first = _first_trainable(backbone, layers.trainable)
    for layer in _single(detector):
        layer.trainable = True
    for layer in backbone[:first]:
        for single in _single(layer):
            single.trainable = False
    for key, trainable in (("learn", True), ("freeze", False)):
        for pattern in getattr(layers, key):
            for layer in _matching(detector, pattern, f"transfer.{key}"):
                layer.trainable = trainable
    if freeze_batch_norm:
        for layer in backbone:
            for single in _single(layer):
                if isinstance(single, keras.layers.BatchNormalization):
                    single.trainable = False
    if not detector.trainable_variables:
        raise ValueError(f"transfer: nothing is left to learn with {layers.model_dump(include=_WHAT_LEARNS)}")


def learning_rate_factors(detector: Detector, rates: Mapping[str, float], backbone_input_rate: float) -> list[float]:
    """Factors on the learning rate, one for each of ``detector.trainable_variables``.

    Args:
      detector: with its flags set.
      rates: factors by ``backbone``, ``heads`` or regular expression; the first that fits a layer counts.
      backbone_input_rate: factor of the backbone's first layer; it grows geometrically to 1 at the last (discriminative
        fine-tuning: Howard and Ruder 2018, section 3.2).

    Raises:
      ValueError: an expression fits no layer.
    """
    depths: dict[int, float] = {}
    backbone = detector.backbone_layers
    for number, layer in enumerate(backbone):
        depths.update((id(single), number / max(len(backbone) - 1, 1)) for single in _single(layer))

    factors: dict[int, float] = {}
    layers = list(_with_variables(detector))
    for part, rate in rates.items():
        chosen = (
            [layer for layer in layers if (id(layer) in depths) == (part == "backbone")]
            if part in _PARTS
            else _matching(detector, part, "transfer.learning_rates", _PARTS)
        )
        for layer in chosen:
            factors.setdefault(id(layer), rate)

    of_variables: dict[int, float] = {}
    for layer in layers:
        by_depth = backbone_input_rate ** (1.0 - depths.get(id(layer), 1.0))
        factor = factors.get(id(layer), 1.0) * by_depth
        of_variables.update((id(variable), factor) for variable in _own_variables(layer))
    return [of_variables[id(variable)] for variable in detector.trainable_variables]


def _first_trainable(layers: Sequence[keras.layers.Layer], trainable: str | float) -> int:
    """Index of the first backbone layer that learns; the number of layers when none does."""
    if trainable == "all":
        return 0
    if trainable == "heads":
        return len(layers)
    if isinstance(trainable, float | int):
        return len(layers) - math.ceil(trainable * len(layers))
    names = [layer.name for layer in layers]
    if trainable in names:
        return names.index(trainable)
    near = difflib.get_close_matches(trainable, names, n=1)
    raise ValueError(
        f"transfer.trainable: the backbone has no layer {trainable!r}"
        + (f"; did you mean {near[0]!r}?" if near else "")
        + f" (it has {len(names)}, from {names[0]!r} to {names[-1]!r}; `all`, `heads` or a share from 0 to 1 also work)"
    )


def _matching(detector: Detector, pattern: str, key: str, words: Sequence[str] = ()) -> list[keras.layers.Layer]:
    """The layers with variables in whose path the expression is found; ``words`` might have been meant, too.

    Raises:
      ValueError: there is none.
    """
    layers = {layer.path: layer for layer in _with_variables(detector)}
    found = [layer for path, layer in layers.items() if re.search(pattern, path)]
    if not found:
        near = difflib.get_close_matches(pattern, [*words, *layers], n=3, cutoff=0.3) or sorted(layers)[:3]
        raise ValueError(
            f"{key}: {pattern!r} is found in no path of the detector's {len(layers)} layers with weights; near are "
            + ", ".join(map(repr, near))
        )
    return found


def _single(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """The layers within, at every depth (which the public ``layers`` does not give), without mere containers.

    A container's flag would hide those of what it contains.
    """
    for each in layer._flatten_layers():
        if _own_variables(each) or not list(each._flatten_layers(include_self=False, recursive=False)):
            yield each


def _with_variables(detector: Detector) -> Iterator[keras.layers.Layer]:
    return (layer for layer in _single(detector) if _own_variables(layer))


def _own_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Those that belong to no layer within: the public ``variables`` hold these, too."""
    return [*layer._trainable_variables, *layer._non_trainable_variables]
