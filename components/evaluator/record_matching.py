"""From a record and what models found in its image to a matched image, whose columns TFMA slices by.

Records go through TFMA as they are, without TFXIO and a schema: metadata columns need not be declared anywhere to be
sliced on, and no feature is cut or padded on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import tensorflow as tf
from tensorflow_model_analysis import constants

from components.clusters import EACH_BY_ITSELF, Clusters
from components.evaluator.coco_matching import ImageResult
from components.evaluator.matched_images import ImageFacts, match_image
from components.evaluator.settings import EvalSettings
from components.evaluator.slicing import slice_columns
from schema import features
from schema.exported_model import LABELS_FILE
from schema.label_map import LabelMap, LabelMapError, parse_labels_txt

Extracts = dict[str, Any]

MATCHED_IMAGE_KEY: Final = "matched_image"
"""Key of the TFMA extract that holds the ``MatchedImage``."""


def labels_of(model_path: str) -> LabelMap:
    """The class names of an exported model.

    Raises:
      ValueError: the model carries no readable ``assets/labels.txt``.
    """
    path = f"{model_path}/{LABELS_FILE}"
    try:
        with tf.io.gfile.GFile(path) as file:
            return parse_labels_txt(file.read())
    except (tf.errors.OpError, UnicodeDecodeError, LabelMapError) as error:
        raise ValueError(
            f"{path}: cannot read the class names of the model: {error}; expected one class name a line in an exported "
            "detector"
        ) from error


def match_record(
    extracts: Extracts,
    settings: EvalSettings,
    label_maps: Mapping[str, LabelMap],
    clusters: Clusters = EACH_BY_ITSELF,
) -> Extracts:
    """One image's serialized record and predictions -> its slice columns and its ``MatchedImage``.

    Args:
      extracts: TFMA's ``input`` (the record) and ``predictions``: float32 [N, 6] rows (ymin, xmin, ymax, xmax in 0..1,
        1-based class id, score), -1 in padded rows; of two models a dictionary by model name.
      settings: how columns are derived.
      label_maps: what each model's class ids mean, by model name.
      clusters: which images belong together.

    Raises:
      ValueError: the record's features do not fit together, or a model answers a class id that it has no name for.
    """
    record = _Record(np.asarray(extracts[constants.INPUT_KEY], object).item())
    class_names = record.texts(features.OBJECT_CLASS_TEXT)
    predictions = extracts[constants.PREDICTIONS_KEY]
    if len(label_maps) == 1:  # TFMA does not name the only model
        predictions = dict.fromkeys(label_maps, predictions)
    height_pixels, width_pixels = (record.one_integer(key) for key in (features.IMAGE_HEIGHT, features.IMAGE_WIDTH))
    metadata = record.metadata()
    columns = slice_columns(
        settings,
        metadata=metadata,
        class_names=class_names,
        height_pixels=height_pixels,
        width_pixels=width_pixels,
    )
    vocabulary = sorted({*(name for label_map in label_maps.values() for name in label_map.names), *class_names})
    file = "".join(record.texts(features.IMAGE_FILENAME)[:1])
    facts = ImageFacts(
        record.image_id,
        file,
        height_pixels,
        width_pixels,
        {column: tuple(values) for column, values in columns.items() if values},
        clusters.of_image(record.image_id, file, metadata),
        record.span,
    )
    results = {
        model: _result(record, predictions[model], label_map, vocabulary) for model, label_map in label_maps.items()
    }
    return {
        constants.INPUT_KEY: b"",  # the record has been read; without any input TFMA warns for each image
        constants.FEATURES_KEY: {column: np.array(values, object) for column, values in columns.items()},
        MATCHED_IMAGE_KEY: match_image(facts, vocabulary, results),
    }


class _Record:
    """The features of one ``tf.train.Example``."""

    def __init__(self, serialized: bytes) -> None:
        self._features = tf.train.Example.FromString(serialized).features.feature
        # File names need not be UTF-8. Text that is shown may lose such bytes, what tells images apart may not.
        source_id = b"".join(self._features[features.IMAGE_SOURCE_ID].bytes_list.value[:1])
        self.image_id = source_id.decode("utf-8", "surrogateescape")

    def texts(self, key: str) -> list[str]:
        return [value.decode("utf-8", "replace") for value in self._features[key].bytes_list.value]

    def floats(self, key: str) -> Sequence[float]:
        return self._features[key].float_list.value

    def flags(self, key: str, count: int) -> list[bool]:
        """One flag an object; all False where the record has none."""
        return [bool(value) for value in self._features[key].int64_list.value] or [False] * count

    def one_integer(self, key: str) -> int:
        values = self._features[key].int64_list.value
        if len(values) != 1:
            raise ValueError(f"record {self.image_id!r}: feature {key!r} has {len(values)} integers, expected one")
        return int(values[0])

    @property
    def span(self) -> int | None:
        """The span that the image is of, None where it tells none."""
        return next(iter(self._features[features.meta_key(features.SPAN_COLUMN)].int64_list.value), None)

    def metadata(self) -> dict[str, str]:
        """Metadata columns and their values as text; a column without a value is left out."""
        return {
            key.removeprefix(features.META_PREFIX): text
            for key in self._features
            if key.startswith(features.META_PREFIX)
            for text in self._any_text(key)
        }

    def _any_text(self, key: str) -> list[str]:
        feature = self._features[key]
        numbers: Iterable[float] = (*feature.int64_list.value, *feature.float_list.value)
        return [*self.texts(key), *(f"{number:g}" if number % 1 else str(int(number)) for number in numbers)][:1]


def _result(record: _Record, detections: Any, label_map: LabelMap, vocabulary: Sequence[str]) -> ImageResult:
    """One model's detections, float32 [N, 6] rows (ymin, xmin, ymax, xmax, class id, score), beside the truth."""
    rows = np.asarray(detections, np.float64).reshape(-1, 6)  # [N, 6]
    index_of_name = {name: index for index, name in enumerate(vocabulary)}
    index_of_id = {class_id: index_of_name[name] for class_id, name in label_map} | {-1: -1}
    try:
        found = [index_of_id[int(class_id)] for class_id in rows[:, 4]]
    except KeyError as error:
        raise ValueError(
            f"record {record.image_id!r}: the model's `evaluate` signature answered class id {error.args[0]}, expected "
            f"ids of its {LABELS_FILE} ({min(label_map.ids)}..{max(label_map.ids)}), or -1 for padding"
        ) from error
    names = record.texts(features.OBJECT_CLASS_TEXT)
    try:
        return ImageResult.from_normalized(
            height_pixels=record.one_integer(features.IMAGE_HEIGHT),
            width_pixels=record.one_integer(features.IMAGE_WIDTH),
            detection_boxes_yxyx_normalized=rows[:, :4],
            detection_scores=rows[:, 5],
            detection_classes=found,
            truth_boxes_yxyx_normalized=np.stack([record.floats(key) for key in features.BOX_KEYS_YXYX], axis=-1),
            truth_classes=[index_of_name[name] for name in names],
            truth_areas_pixels=record.floats(features.OBJECT_AREA) or None,
            truth_is_crowd=record.flags(features.OBJECT_IS_CROWD, len(names)),
            truth_is_ignored=record.flags(features.OBJECT_DIFFICULT, len(names)),
        )
    except ValueError as error:
        raise ValueError(f"record {record.image_id!r}: object features do not fit together: {error}") from error
