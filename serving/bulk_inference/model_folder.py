"""The exported model that a run asks: which version of a folder, its classes, and a copy where it can be loaded."""

from __future__ import annotations

import dataclasses
import pathlib
import posixpath
import re
import tempfile

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from schema.exported_model import LABELS_FILE, SAVED_MODEL_FILE, TOLERANT_SIGNATURE
from schema.label_map import LabelMap, LabelMapError, parse_labels_txt
from schema.text import decode
from serving.bulk_inference import files
from serving.bulk_inference.errors import BulkError
from serving.models.version_folder import check_variables


@dataclasses.dataclass(frozen=True)
class ModelFolder:
    """An exported model.

    Attributes:
      path: its folder.
      version: the number that the folder is called; 0: it is called something else.
    """

    path: str
    version: int

    def labels(self) -> LabelMap:
        """The classes.

        Raises:
          BulkError: its file of labels is not there or broken.
        """
        path = files.join(self.path, LABELS_FILE)
        try:
            return parse_labels_txt(decode(files.read_bytes(path)))
        except (OSError, UnicodeDecodeError, LabelMapError) as error:
            raise BulkError(f"{path}: cannot be read as the classes of the model: {error}") from error

    def check(self) -> None:
        """Looks whether it can be asked for images that fail alone, without loading it.

        Raises:
          BulkError: it cannot, or files are missing.
        """
        path = files.join(self.path, SAVED_MODEL_FILE)
        try:
            if files.is_local(self.path):
                check_variables(pathlib.Path(self.path))
            saved = saved_model_pb2.SavedModel.FromString(files.read_bytes(path))
        except (OSError, ValueError, DecodeError) as error:
            raise BulkError(f"{path}: cannot be read as a model: {error}") from error
        signatures = {name for graph in saved.meta_graphs for name in graph.signature_def}
        if TOLERANT_SIGNATURE not in signatures:
            there = ", ".join(sorted(name for name in signatures if not name.startswith("__"))) or "none"
            raise BulkError(
                f"{path}: has no signature {TOLERANT_SIGNATURE} (found: {there}), under which a damaged image fails "
                "alone; export the model anew, or serve it and ask it by --server"
            )

    def local_path(self) -> pathlib.Path:
        """Where it can be loaded from: its own folder, or a copy on this machine, which is made now.

        Raises:
          tf.errors.OpError: it cannot be copied.
        """
        if files.is_local(self.path):
            return pathlib.Path(self.path)
        copy = pathlib.Path(tempfile.mkdtemp(prefix="bulk-model-")) / str(self.version)
        for folder, _, names in tf.io.gfile.walk(self.path):
            target = copy / posixpath.relpath(folder, self.path)
            target.mkdir(parents=True, exist_ok=True)
            for name in names:
                tf.io.gfile.copy(files.join(folder, name), str(target / name))
        return copy


def find_model(path: str) -> ModelFolder:
    """The model in a folder, or the newest complete version in a folder of versions.

    Raises:
      BulkError: there is none.
    """
    path = path.rstrip("/") or path
    expected = f"expected a folder with {SAVED_MODEL_FILE}, or one of numbered versions that have it"
    if tf.io.gfile.exists(files.join(path, SAVED_MODEL_FILE)):
        name = posixpath.basename(path)
        return ModelFolder(path, int(name) if _is_version(name) else 0)
    if not tf.io.gfile.isdir(path):
        raise BulkError(f"--model: {path} is no folder; {expected}")
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(path)]
    for name in sorted(filter(_is_version, names), key=int, reverse=True):
        version = files.join(path, name)
        if tf.io.gfile.exists(files.join(version, SAVED_MODEL_FILE)):
            return ModelFolder(version, int(name))
    found = ", ".join(sorted(names)[:8]) or "nothing"
    raise BulkError(f"--model: {path} holds no model; {expected}, found {found}")


def _is_version(name: str) -> bool:
    return re.fullmatch("[0-9]{1,18}", name) is not None
