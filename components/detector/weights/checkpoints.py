"""Reading what a detector can start from: which file it is, which variables it holds, and under which names.

Whatever the format, the result is the same: arrays by their key in a TF2 Detection Zoo checkpoint.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import pathlib
import re
import tempfile
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

import h5py
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf import trackable_object_graph_pb2

from components.detector.names import KERAS_HUB_DETECTORS
from components.detector.options import OPTIONS
from components.path_settings import KERAS_HUB
from components.user_error import UserError
from schema.exported_model import DESCRIPTION_FILE, SAVED_MODEL_FILE, WEIGHTS_FILE
from schema.label_map import LabelMap

if TYPE_CHECKING:
    from components.detector.detector import Detector

VALUE_SUFFIX: Final = "/.ATTRIBUTES/VARIABLE_VALUE"
_OBJECT_GRAPH: Final = "_CHECKPOINTABLE_OBJECT_GRAPH"

ACCEPTED: Final = (
    "a folder of the TF2 Detection Zoo, a checkpoint prefix such as .../checkpoint/ckpt-0, a SavedModel folder of the "
    "zoo, a pushed version, a .weights.h5 or .keras file of a detector, a no_top .h5 file of keras.applications, "
    "'kerashub:' before a preset's name or folder, or 'imagenet'"
)

_SHARED_AGAIN: Final = re.compile(
    r"layer-\d+|layers|variables|(non_)?trainable_variables|metrics|regularization_losses|keras_api|signatures"
)
"""Edges that Keras adds to a SavedModel's object graph, which lead to variables that already have a name."""


class CheckpointError(UserError):
    """Weights that cannot be used; the message names the source, what was found, and what would fit."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """An opened source of a whole detector's weights.

    Attributes:
      source: what the user wrote.
      kind: what it turned out to be, in words.
      shapes: of the detector's variables, by zoo key.
      read: the array of a zoo key.
      label_map: the classes it was trained on, None where the source does not say.
      others: keys that are no part of the detector (optimizer slots, counters).
      class_head: how its last layer scores classes (see ``DetectorOptions``); the zoo's are linear.
      has_heads: False where it is of a backbone, with or without a pyramid; the rest of the detector stays fresh.
    """

    source: str
    kind: str
    shapes: dict[str, tuple[int, ...]]
    read: Callable[[str], NDArray[Any]]
    label_map: LabelMap | None
    others: tuple[str, ...] = ()
    class_head: Literal["linear", "cosine"] = "linear"
    has_heads: bool = True


@dataclasses.dataclass(frozen=True)
class Located:
    """A source and how it has to be read."""

    kind: Literal["imagenet", "zoo", "saved_model", "pushed", "weights", "keras", "keras_hub"]
    path: str


def locate(source: str) -> Located:
    """Finds out what a source is.

    Raises:
      CheckpointError: it does not exist, or is nothing that can be read.
    """
    if source == "imagenet":
        return Located("imagenet", source)
    if source.startswith(KERAS_HUB):
        return Located("keras_hub", source.removeprefix(KERAS_HUB))
    prefix = re.sub(r"\.(index|data-\d+-of-\d+)$", "", source.rstrip("/"))
    exists = tf.io.gfile.exists
    if exists(prefix + ".index"):
        return Located("zoo", prefix)
    if not exists(prefix):
        raise CheckpointError(f"{source}: no such file or folder; expected {ACCEPTED}")
    if not tf.io.gfile.isdir(prefix):
        return _locate_file(source)
    if exists(f"{prefix}/{DESCRIPTION_FILE}"):
        return Located("pushed", prefix)
    for folder in (f"{prefix}/checkpoint", prefix):
        indices = sorted(tf.io.gfile.glob(f"{folder}/ckpt-*.index")) if tf.io.gfile.isdir(folder) else []
        if indices:
            newest = max(indices, key=lambda path: int(re.findall(r"\d+", pathlib.Path(path).name)[0]))
            return Located("zoo", newest.removesuffix(".index"))
    for folder in (f"{prefix}/saved_model", prefix):
        if exists(f"{folder}/{SAVED_MODEL_FILE}"):
            return Located("saved_model", folder)
    versions = [name.rstrip("/") for name in tf.io.gfile.listdir(prefix)]
    versions = [name for name in versions if name.isdigit() and exists(f"{prefix}/{name}/{DESCRIPTION_FILE}")]
    if versions:
        return Located("pushed", f"{prefix}/{max(versions, key=int)}")
    raise CheckpointError(f"{source}: found neither a checkpoint nor a SavedModel in this folder; expected {ACCEPTED}")


def _locate_file(source: str) -> Located:
    if source.endswith(".weights.h5"):
        return Located("weights", source)
    if source.endswith(".keras"):
        return Located("keras", source)
    if source.endswith((".h5", ".hdf5")):
        return Located("imagenet", source)
    raise CheckpointError(f"{source}: not a file of weights; expected {ACCEPTED}")


def open_tf_checkpoint(source: str, prefix: str, kind: str = "TF2 Detection Zoo checkpoint") -> Checkpoint:
    """Opens an object-based TensorFlow checkpoint of the TF Object Detection API.

    Raises:
      CheckpointError: it cannot be read, or is not object-based (the TF1 zoo's are not).
    """
    try:
        reader = tf.train.load_checkpoint(prefix)
        all_shapes = reader.get_variable_to_shape_map()
    except (tf.errors.OpError, ValueError) as error:
        raise CheckpointError(f"{source}: cannot be read as a TensorFlow checkpoint: {error}") from error
    keys = {key.removesuffix(VALUE_SUFFIX): key for key in all_shapes if key.endswith(VALUE_SUFFIX)}
    if not keys:
        raise CheckpointError(
            f"{source}: a checkpoint with {len(all_shapes)} variables in the old name-based format; the TF1 zoo's "
            "models are other architectures, expected one of the TF2 zoo"
        )
    if not any(key.startswith("model/") for key in keys) and _OBJECT_GRAPH in all_shapes:
        keys |= _keys_by_object_graph(reader.get_tensor(_OBJECT_GRAPH))
    model = {key: stored for key, stored in keys.items() if _is_of_model(key)}
    used = set(model.values())
    return Checkpoint(
        source=source,
        kind=kind,
        shapes={key: tuple(all_shapes[stored]) for key, stored in model.items()},
        read=lambda key: reader.get_tensor(model[key]),
        label_map=None,
        others=tuple(sorted(key for key, stored in keys.items() if stored not in used)),
    )


def _is_of_model(key: str) -> bool:
    return key.startswith("model/") and "/.OPTIMIZER_SLOT/" not in key


def _keys_by_object_graph(serialized: bytes) -> dict[str, str]:
    """``model/...`` -> stored key, following the object graph from the root's ``_model`` (as SavedModels call it)."""
    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(serialized)
    children = {child.local_name: child.node_id for child in graph.nodes[0].children}
    root = children.get("_model", children.get("model"))
    if root is None:
        return {}
    keys: dict[str, str] = {}
    seen = {root}
    queue = collections.deque([(root, "model")])
    while queue:  # breadth first, in the graph's order: how checkpoints choose the name of an object with several
        node_id, path = queue.popleft()
        node = graph.nodes[node_id]
        for value in node.attributes:
            if value.name == "VARIABLE_VALUE":
                keys[path] = value.checkpoint_key
        for child in node.children:
            if child.node_id not in seen and not _SHARED_AGAIN.fullmatch(child.local_name):
                seen.add(child.node_id)
                queue.append((child.node_id, f"{path}/{child.local_name}"))
    return keys


def open_checkpoint(located: Located, source: str, like: Detector) -> Checkpoint:
    """Opens any source but ImageNet weights.

    Args:
      located: of :func:`locate`.
      source: what the user wrote, for messages.
      like: the detector to fill. A bare ``.weights.h5`` is taken to be like it; only the number of classes and the kind
        of class head may differ.

    Raises:
      CheckpointError: the source cannot be read.
    """
    if located.kind == "keras_hub":
        return _open_preset(source, located.path, like)
    if located.kind == "zoo":
        return open_tf_checkpoint(source, located.path)
    if located.kind == "saved_model":
        return open_tf_checkpoint(source, f"{located.path}/variables/variables", "SavedModel of the TF2 Detection Zoo")
    with tempfile.TemporaryDirectory() as folder:
        weights = pathlib.Path(folder) / "detector.weights.h5"
        if located.kind == "pushed":
            tf.io.gfile.copy(f"{located.path}/{WEIGHTS_FILE}", str(weights))
            recipe, label_map = pushed_recipe(located.path)
            classifier = pushed_classifier(located.path)
            kind = f"pushed version without its {classifier} classifier" if classifier else "pushed version"
            return _open_weights(source, kind, weights, recipe, label_map, like)
        if located.kind == "keras":
            recipe = keras_file_recipe(located.path)
            with zipfile.ZipFile(located.path) as archive:
                weights.write_bytes(archive.read("model.weights.h5"))
            return _open_weights(source, "saved detector", weights, recipe, None, like)
        tf.io.gfile.copy(located.path, str(weights))
        recipe = like.recipe | {"num_classes": _num_classes_in(weights, like, source)}
        open_as = functools.partial(_open_weights, source, "weights of a detector", weights, label_map=None, like=like)
        try:
            return open_as(recipe=recipe)
        except CheckpointError:
            # Keras names the layers in it by their class, and a class head of the other kind has another one.
            other = "linear" if like.options.class_head == "cosine" else "cosine"
            try:
                return open_as(recipe=recipe | {"class_head": other})
            except CheckpointError:
                pass
            raise


def _open_preset(source: str, preset: str, like: Detector) -> Checkpoint:
    """Loads a preset of KerasHub, which only detectors made of its layers can start from."""
    from components.detector.weights import keras_hub_preset  # seconds, for those who start from one

    if not isinstance(like, keras_hub_preset.PresetReader):
        raise CheckpointError(
            f"{source}: presets of KerasHub fit {', '.join(KERAS_HUB_DETECTORS)}, not model.detector: {like.name}"
        )
    try:
        model = keras_hub_preset.load_preset(preset)
        keras_hub_preset.check_images(preset, like)
        variables = like.preset_variables(model)
    except ValueError as error:
        raise CheckpointError(f"{source}: does not fit {like.name}: {error}") from error
    num_classes = like.preset_classes(model)
    return Checkpoint(
        source=source,
        kind=f"preset of KerasHub, {type(model).__name__}",
        shapes={key: tuple(variable.shape) for key, variable in variables.items()},
        read=lambda key: np.asarray(variables[key]),
        label_map=None if num_classes is None else keras_hub_preset.coco_label_map(num_classes),
        has_heads=num_classes is not None,
    )


def pushed_recipe(folder: str) -> tuple[dict[str, Any], LabelMap]:
    """The arguments of ``registry.build_detector`` and the classes of a pushed version.

    Raises:
      CheckpointError: its description cannot be read.
    """
    path = f"{folder}/{DESCRIPTION_FILE}"
    try:
        with tf.io.gfile.GFile(path) as file:
            description = json.load(file)
        recipe = {
            "name": description["detector"],
            "num_classes": description["num_classes"],
            "image_size": description["image_size"],
            **description["options"],
        }
        ids, names = zip(*description["label_map"], strict=True)
        return recipe, LabelMap(ids, names)
    except (tf.errors.OpError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read as the description of a pushed version: {error!r}") from error


def pushed_classifier(folder: str) -> str | None:
    """What classifies the boxes of a pushed version in place of its own heads (``Detector.classifier``)."""
    with tf.io.gfile.GFile(f"{folder}/{DESCRIPTION_FILE}") as file:
        classifier: str | None = json.load(file).get("classifier")
    return classifier


def keras_file_recipe(path: str) -> dict[str, Any]:
    """The recipe inside a ``.keras`` file; empty when the model in it is no detector of ours.

    Raises:
      CheckpointError: not a ``.keras`` file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
    except (OSError, KeyError, zipfile.BadZipFile, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: cannot be read as a .keras file: {error}") from error
    if not str(config.get("registered_name", "")).startswith("detector>"):
        return {}
    recipe: dict[str, Any] = config["config"]
    return recipe


def _open_weights(
    source: str,
    kind: str,
    weights: pathlib.Path,
    recipe: dict[str, Any],
    label_map: LabelMap | None,
    like: Detector,
) -> Checkpoint:
    """Reads a ``.weights.h5`` through a detector of the recipe, which knows which variable is which."""
    if OPTIONS.get(recipe["name"]) is not type(like.options):
        raise CheckpointError(f"{source}: this {kind} is of model.detector: {recipe['name']}, not of {like.name}")
    try:
        twin = type(like).from_config(recipe)
        twin.load_weights(weights)
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise CheckpointError(f"{source}: not the weights of {recipe['name']} with {recipe}: {error}") from error
    held = {id(variable) for variable in twin.variables}
    variables = {key: variable for key, variable in twin.zoo_variables().items() if id(variable) in held}
    return Checkpoint(
        source=source,
        kind=f"{kind} ({recipe['name']})",
        shapes={key: tuple(variable.shape) for key, variable in variables.items()},
        read=lambda key: np.asarray(variables[key]),
        label_map=label_map,
        class_head=twin.options.class_head,
    )


def weights_file_shapes(path: str | pathlib.Path) -> list[tuple[int, ...]]:
    """Shapes of all variables in a Keras ``.weights.h5``.

    Raises:
      CheckpointError: not an HDF5 file.
    """
    shapes: list[tuple[int, ...]] = []

    def visit(_: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            shapes.append(tuple(item.shape))

    try:
        with h5py.File(path) as file:
            file.visititems(visit)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read as HDF5: {error}") from error
    return shapes


def _num_classes_in(weights: pathlib.Path, like: Detector, source: str) -> int:
    """Number of classes of a weights file: which lengths of class biases it has instead of ours."""
    ours = collections.Counter(tuple(variable.shape) for variable in like.variables)
    theirs = collections.Counter(weights_file_shapes(weights))
    new = [shape for shape in theirs - ours if len(shape) == 1]
    variables = like.zoo_variables()
    replaced = set((ours - theirs).keys())
    if not new and not replaced:
        return like.num_classes
    counts = set()
    for key, rows in like.class_rows().items():
        if tuple(variables[key].shape) not in replaced or len(variables[key].shape) != 1:
            continue
        per_group = [shape[0] // rows.groups for shape in new if shape[0] % rows.groups == 0]
        counts |= {(length - rows.background) / rows.values for length in per_group}
    counts = {count for count in counts if count >= 1 and count == int(count)}
    for count in sorted(counts):
        twin = like.from_config(like.recipe | {"num_classes": int(count)})
        if collections.Counter(tuple(variable.shape) for variable in twin.variables) == theirs:
            return int(count)
    raise CheckpointError(
        f"{source}: {sum(theirs.values())} variables that are not those of {like.name} with any number of "
        f"classes ({sum(ours.values())} variables); it needs the model.detector and model.options it was saved with"
    )
