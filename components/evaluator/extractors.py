"""From serialized records and two models' detections to what the COCO metric compares.

TFX's Evaluator imports this module (``module_path``) and calls ``custom_extractors``. The ground truth comes straight
from the record, not through TFXIO and a schema: metadata columns need not be declared anywhere to be sliced on, and no
feature is cut or padded on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.coco_matching import ImageResult
from components.evaluator.coco_metric import RESULTS_KEY, NamedResult
from components.evaluator.eval_config import settings_of
from components.evaluator.settings import EvalSettings
from components.evaluator.slicing import slice_columns
from schema import features
from schema.exported_model import LABELS_FILE
from schema.label_map import LabelMap, LabelMapError, parse_labels_txt

Extracts = dict[str, Any]


def custom_extractors(
    eval_shared_model: tfma.types.MaybeMultipleEvalSharedModels,
    eval_config: config_pb2.EvalConfig,
    tensor_adapter_config: object = None,
) -> list[tfma.extractors.Extractor]:
    """The extractors of an object detector's evaluation, as TFX's Evaluator asks for them.

    Raises:
      ValueError: a model carries no readable ``assets/labels.txt``.
    """
    del tensor_adapter_config
    models = eval_shared_model if isinstance(eval_shared_model, list) else [eval_shared_model]
    names = [model.model_name if len(models) > 1 else "" for model in models]
    label_maps = {name: _labels_of(model.model_path) for name, model in zip(names, models, strict=True)}
    baselines = [label_maps[spec.name] for spec in eval_config.model_specs if spec.is_baseline and len(models) > 1]
    known_before = baselines[0].names if baselines else None
    settings = settings_of(eval_config)
    return [
        tfma.extractors.Extractor(
            "ExtractSerializedRecords", beam.FlatMap(_serialized_records, batch_size=settings.batch_size)
        ),
        tfma.extractors.PredictionsExtractor(eval_config, eval_shared_model),
        tfma.extractors.UnbatchExtractor(),
        tfma.extractors.Extractor("ExtractResults", _ExtractResults(settings, label_maps, known_before)),
        tfma.extractors.SliceKeyExtractor(eval_config=eval_config, materialize=False),
    ]


def _labels_of(model_path: str) -> LabelMap:
    path = f"{model_path}/{LABELS_FILE}"
    try:
        with tf.io.gfile.GFile(path) as file:
            return parse_labels_txt(file.read())
    except (tf.errors.OpError, UnicodeDecodeError, LabelMapError) as error:
        raise ValueError(
            f"{path}: cannot read the class names of the model: {error}; expected one class name a line in an exported "
            "detector"
        ) from error


def _serialized_records(extracts: Extracts, batch_size: int) -> Iterator[Extracts]:
    """Splits a batch, whose size Beam chose by time, into batches whose size bounds the memory of the model."""
    column = extracts[constants.ARROW_RECORD_BATCH_KEY].column(constants.ARROW_INPUT_COLUMN)
    records = np.asarray(column.flatten() if pa.types.is_large_list(column.type) else column.combine_chunks().flatten())
    for start in range(0, len(records), batch_size):
        yield {constants.INPUT_KEY: records[start : start + batch_size]}


class _ExtractResults(beam.PTransform):
    """Extracts with a record and predictions -> extracts with slice columns and ``NamedResult`` s."""

    def __init__(
        self, settings: EvalSettings, label_maps: Mapping[str, LabelMap], known_before: tuple[str, ...] | None
    ) -> None:
        super().__init__()
        self._settings = settings
        self._label_maps = dict(label_maps)
        self._known_before = known_before

    def expand(self, extracts: beam.PCollection) -> beam.PCollection:
        results = extracts | "CompareWithGroundTruth" >> beam.Map(
            compare_with_ground_truth,
            settings=self._settings,
            label_maps=self._label_maps,
            known_before=self._known_before,
        )
        placeholders = _placeholders(self._settings, self._label_maps)
        if not placeholders:
            return results
        return (
            results,
            extracts.pipeline | "SlicesWithFloors" >> beam.Create(placeholders),
        ) | "AddSlicesWithFloors" >> beam.Flatten()


def _vocabulary(label_maps: Mapping[str, LabelMap]) -> tuple[str, ...]:
    return tuple(sorted({name for label_map in label_maps.values() for name in label_map.names}))


def _placeholders(settings: EvalSettings, label_maps: Mapping[str, LabelMap]) -> list[Extracts]:
    """One extract without an image for every slice with a floor.

    TFMA refuses a model when a slice with a threshold does not exist; here the number of images decides what that
    means (``Gates.min_images``), so the slice has to exist.
    """
    slices = {tuple(sorted(floor.slice.items())) for floor in settings.gates.slice_floors}
    nothing = NamedResult("", _vocabulary(label_maps), None)
    return [
        {
            constants.FEATURES_KEY: {column: np.array([value], object) for column, value in values},
            RESULTS_KEY: dict.fromkeys(label_maps, nothing),
        }
        for values in sorted(slices)
    ]


def compare_with_ground_truth(
    extracts: Extracts,
    settings: EvalSettings,
    label_maps: Mapping[str, LabelMap],
    known_before: tuple[str, ...] | None = None,
) -> Extracts:
    """One image's serialized record and predictions -> its slice columns and a ``NamedResult`` of each model.

    Args:
      extracts: TFMA's ``input`` (the record) and ``predictions``: float32 [N, 6] rows (ymin, xmin, ymax, xmax in 0..1,
        1-based class id, score), -1 in padded rows; of two models a dictionary by model name.
      settings: how columns are derived.
      label_maps: what each model's class ids mean, by model name; a single model's name is empty.
      known_before: classes of the last blessed model, None without one.

    Raises:
      ValueError: the record's features do not fit together, or a model answers a class id that it has no name for.
    """
    record = _Record(np.asarray(extracts[constants.INPUT_KEY], object).item())
    class_names = record.texts(features.OBJECT_CLASS_TEXT)
    predictions = extracts[constants.PREDICTIONS_KEY]
    columns = slice_columns(
        settings,
        metadata=record.metadata(),
        class_names=class_names,
        height_pixels=record.one_integer(features.IMAGE_HEIGHT),
        width_pixels=record.one_integer(features.IMAGE_WIDTH),
    )
    vocabulary = _vocabulary(label_maps)
    unknown = set(class_names).difference(vocabulary)
    if unknown:
        vocabulary = tuple(sorted({*vocabulary, *unknown}))
    return {
        constants.FEATURES_KEY: {column: np.array(values, object) for column, values in columns.items()},
        RESULTS_KEY: {
            model_name: NamedResult(
                record.image_id,
                vocabulary,
                _result(record, predictions[model_name] if model_name else predictions, label_map, vocabulary),
                columns=tuple(columns),
                span=record.span,
                known_before=known_before,
            )
            for model_name, label_map in label_maps.items()
        },
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
