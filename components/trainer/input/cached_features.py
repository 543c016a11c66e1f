"""Training batches of features that a frozen backbone made once.

The images as they are and a number of augmented copies of each go through the backbone in order, and what it makes of
them is kept with the ground truth of each copy (``feature_store``). Trainings that ask for the same features find them:
their folder is named after everything that decides about them, and nothing else (``features_key``).
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import hashlib
import json
import pathlib
import time
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.code_digest import code_digest
from components.detector.detector import Detector
from components.detector.structures import Features, GroundTruth
from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.input.feature_folders import FeatureCacheError, Held, make_room
from components.trainer.input.feature_store import BOX_COLUMNS, FeatureStore, Rows, remove_folder
from components.trainer.input.input_pipeline import iterate, prepare_images
from components.trainer.input.record_stream import count_records, matching_files, ordered_records
from components.trainer.settings import TrainSettings

Storage = Literal["float16", "float32"]

_IMAGES_AT_ONCE: Final = 8
_COMMIT_EVERY_SECONDS: Final = 10.0
"""About as much work is done again after a kill."""
_NOT_DECIDING: Final = frozenset(
    {
        "steps",
        "batch_size",
        "batch_parts",
        "devices",
        "seed",
        "optimizer",
        "class_weights",
        "sampling",
        "evaluate_every",
        "evaluate_images",
        "early_stopping_patience",
        "checkpoint_every_seconds",
        "progress_every_seconds",
        "input",
    }
)
"""Fields of ``TrainSettings`` that say nothing about features; whatever else there is counts."""
_CHUNK_BYTES: Final = 1 << 22
_PREFETCHED_BATCHES: Final = 2


class FeatureBatch(NamedTuple):
    """What one step of necks and heads takes.

    Attributes:
      features: float16 or float32 [B, h, w, C] by level.
      truth: ground truth in the canvas frame.
    """

    features: Features
    truth: GroundTruth


@dataclasses.dataclass(frozen=True)
class FeatureRequest:
    """Which features are wanted.

    Attributes:
      copies: augmented copies of each image, beside the image as it is; none where the training does not augment.
      storage: what they are stored as.
      limit_bytes: of all features below the root.
    """

    copies: int
    storage: Storage
    limit_bytes: int


def features_key(
    detector: Detector,
    records: AnnotatedRecords,
    settings: TrainSettings,
    request: FeatureRequest,
    class_names: Sequence[str],
) -> str:
    """Names the features by all that decides about them.

    That is: the backbone's weights, how images of three shapes come to lie on the canvas, the contents of the records,
    the classes, the augmentation with its copies, precision and storage, and the code. Seed, batch size, heads and
    their settings, and whatever the features are used for, may be others.

    Returns:
      16 hexadecimal digits.
    """
    weights = hashlib.blake2b(digest_size=16)
    for layer in detector.backbone_layers:
        for variable in layer.variables:
            value = np.asarray(variable)
            weights.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
    data = hashlib.blake2b(digest_size=16)
    for path in matching_files(records.patterns):
        with tf.io.gfile.GFile(path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                data.update(chunk)
    deciding = {
        "detector": detector.name,
        "code": [code_digest(module) for module in (__name__, type(detector).__module__)],
        "weights": weights.hexdigest(),
        "canvas": list(detector.image_size),
        "on_canvas": [detector.resize(tf.zeros((*size, 3)))[1].numpy().tolist() for size in ((8, 8), (8, 16), (16, 8))],
        "data": data.hexdigest(),
        "tiling": None if records.tiling is None else records.tiling.model_dump(mode="json"),
        "classes": list(class_names),
        "copies": _copies(settings, request),
        "storage": request.storage,
        "settings": settings.model_dump(mode="json", exclude=set(_NOT_DECIDING)),
        "input": settings.input.model_dump(mode="json", exclude={"parallel_images"}),
    }
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16]


class CachedFeatures:
    """Features of a split, made on the first ask, and held until ``release``.

    Args:
      root: folder of all kept features; each has its own below.
      detector: with the weights that its backbone keeps.
      records: the split.
      settings: of the training.
      request: which features.
      class_names: by 0-based class index.

    Raises:
      FeatureCacheError: there is no room for them, or a value is too large for the storage.
    """

    def __init__(
        self,
        root: str,
        detector: Detector,
        records: AnnotatedRecords,
        settings: TrainSettings,
        request: FeatureRequest,
        class_names: Sequence[str],
    ) -> None:
        key = features_key(detector, records, settings, request, class_names)
        self._held = Held(pathlib.Path(root) / f"{detector.name}-{key}")
        levels = _level_shapes(detector)
        self.store = FeatureStore(self._held.folder, levels, request.storage)
        self._levels = levels
        self._storage = request.storage
        self._share = records.share
        # Every worker keeps the features of all images, and takes its part of each batch of them.
        records = dataclasses.replace(records, share=(0, 1))
        try:
            if not self.store.progress()[1]:
                with self._held.alone():
                    if not self.store.progress()[1]:
                        _make(self.store, detector, records, settings, request)
        except BaseException:
            self.release()
            raise
        self.rows, _ = self.store.progress()
        self._held.touch()
        print(f"features of {self.rows} images are in {self.store.folder}", flush=True)

    def release(self) -> None:
        """They may be deleted when others need the room."""
        self._held.release()

    def batches(self, batch_size: int, seed: int, start_step: int = 0) -> tf.data.Dataset:
        """Endless ``FeatureBatch``es from a step on; every row once before any comes again, in a new order each time.

        The batch of a step depends on the arguments and the step alone; a worker's is its part of it.
        """
        worker, workers = self._share
        part = slice(worker * batch_size // workers, (worker + 1) * batch_size // workers)
        steps = tf.data.Dataset.counter(tf.constant(start_step, tf.int64))
        return self._mapped(steps, lambda step: shuffled_rows(int(step), batch_size, self.rows, seed)[part])

    def ordered(self, batch_size: int) -> tf.data.Dataset:
        """Every row once, in order; the last batch may be smaller."""
        starts = tf.data.Dataset.range(0, self.rows, batch_size)
        return self._mapped(starts, lambda start: range(int(start), min(int(start) + batch_size, self.rows)))

    def _mapped(self, numbers: tf.data.Dataset, rows: Any) -> tf.data.Dataset:
        storage = tf.as_dtype(self._storage)
        types = [*(storage for _ in self._levels), *(tf.float32, tf.int32, tf.float32, tf.float32)]

        def read(number: NDArray[np.int64]) -> list[NDArray[Any]]:
            found = self.store.read(list(rows(number)))
            return [*found.features.values(), *_truth(found)]

        def batch(number: tf.Tensor) -> FeatureBatch:
            parts = tf.numpy_function(read, [number], types)
            features = {}
            for part, (level, shape) in zip(parts, self._levels.items(), strict=False):
                part.set_shape((None, *shape))
                features[level] = part
            boxes, classes, weights, shares = parts[len(self._levels) :]
            boxes.set_shape((None, None, 4))
            classes.set_shape((None, None))
            weights.set_shape((None, None))
            shares.set_shape((None, 2))
            return FeatureBatch(features, GroundTruth(boxes, classes, weights, shares))

        return numbers.map(batch).prefetch(_PREFETCHED_BATCHES)


def shuffled_rows(step: int, batch_size: int, rows: int, seed: int) -> list[int]:
    """Rows of a step's batch, where each epoch is a permutation of all rows."""
    places = range(step * batch_size, (step + 1) * batch_size)
    return [int(_permutation(place // rows, rows, seed)[place % rows]) for place in places]


@functools.lru_cache(maxsize=4)
def _permutation(epoch: int, rows: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(rows)


def _truth(rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """The parts of a ``GroundTruth``, padded."""
    most = max(len(boxes) for boxes in rows.boxes)
    padded = np.zeros((len(rows.boxes), most, BOX_COLUMNS), np.float32)
    padded[..., 4] = -1.0
    for image, boxes in enumerate(rows.boxes):
        padded[image, : len(boxes)] = boxes
    return padded[..., :4], padded[..., 4].astype(np.int32), padded[..., 5], rows.valid_height_width


def _copies(settings: TrainSettings, request: FeatureRequest) -> int:
    return 0 if settings.augmentation is None else request.copies


def _level_shapes(detector: Detector) -> dict[str, tuple[int, ...]]:
    canvas = tf.TensorSpec((1, *detector.image_size, 3), tf.float32)
    traced = tf.function(lambda images: detector.features(images, training=False), autograph=False)
    outputs = traced.get_concrete_function(canvas).structured_outputs
    return {level: tuple(output.shape[1:]) for level, output in outputs.items()}


def _make(
    store: FeatureStore,
    detector: Detector,
    records: AnnotatedRecords,
    settings: TrainSettings,
    request: FeatureRequest,
) -> None:
    """Brings the store to its end from wherever it is."""
    images = count_records(ordered_records(records.patterns))
    copies = _copies(settings, request)
    rows = images * (1 + copies)
    done, _ = store.progress()
    print(
        f"features of {images} images and {copies} augmented copies of each: {rows * store.row_bytes / 1e6:.0f} MB of "
        f"{request.storage} in {store.folder}" + (f", of which {done / rows:.0%} are there" if done else ""),
        flush=True,
    )
    make_room(store.folder, rows * store.row_bytes, request.limit_bytes)
    try:
        # The images as they are, then the copies; each pass is a stream of its own, which starts at any batch.
        _pass(store, detector, records, _as_they_are(settings), request, images, first_row=0)
        if copies:
            _pass(store, detector, records, _deciding(settings), request, images * copies, first_row=images)
        with store.writer() as writer:
            writer.commit(complete=True)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        remove_folder(store.folder)
        raise FeatureCacheError(
            f"{store.folder}: the disk was full before all features were written ({rows * store.row_bytes / 1e6:.0f} "
            "MB); they were deleted. Make room, or lower transfer.copies or the canvas (model.image_size)"
        ) from error


def _deciding(settings: TrainSettings) -> TrainSettings:
    """Settings of the stream that is cached: nothing of the training that the key leaves out."""
    return TrainSettings(
        batch_size=_IMAGES_AT_ONCE,
        input=settings.input,
        progress_every_seconds=settings.progress_every_seconds,
        **{name: getattr(settings, name) for name in TrainSettings.model_fields if name not in _NOT_DECIDING},
    )


def _as_they_are(settings: TrainSettings) -> TrainSettings:
    return _deciding(settings).with_images_alike().model_copy(update={"augmentation": None})


def _pass(
    store: FeatureStore,
    detector: Detector,
    records: AnnotatedRecords,
    settings: TrainSettings,
    request: FeatureRequest,
    rows: int,
    first_row: int,
) -> None:
    """Appends so many rows, or what is missing of them; whole batches but for the last."""
    done = max(store.progress()[0] - first_row, 0)
    if done >= rows:
        return
    # Mosaic and mixup make a share of these batches: whatever is drawn from them has no end of its own.
    settings = settings.model_copy(update={"steps": -(-rows // _IMAGES_AT_ONCE)})
    # A commit comes behind a whole batch.
    batches = iterate(records.training_batches(detector, settings, done // _IMAGES_AT_ONCE))

    @functools.partial(tf.function, autograph=False, jit_compile=False)
    def features_of(images: tf.Tensor) -> Features:
        return {level: tf.cast(made, request.storage) for level, made in detector.features(images, False).items()}

    last_commit = last_line = start = time.monotonic()
    first = done
    with store.writer() as writer:
        while done < rows:
            batch = next(batches)
            count = min(_IMAGES_AT_ONCE, rows - done)
            made = {level: part.numpy()[:count] for level, part in features_of(prepare_images(detector, batch)).items()}
            if not all(np.isfinite(part).all() for part in made.values()):
                raise FeatureCacheError(
                    f"features of the backbone are no {request.storage} numbers: set transfer.storage to float32; if "
                    "it is, the start weights are at fault"
                )
            truth = GroundTruth(*(part.numpy()[:count] for part in batch.truth))
            writer.append(made, truth.valid_height_width, _real_boxes(truth))
            done += count
            now = time.monotonic()
            if now - last_commit >= _COMMIT_EVERY_SECONDS or done == rows:
                writer.commit(complete=False)
                last_commit = now
            if now - last_line >= settings.progress_every_seconds:
                last_line = now
                speed = (done - first) / (now - start)
                print(f"features: {first_row + done} images, {speed:.1f} images/s", flush=True)


def _real_boxes(truth: GroundTruth) -> list[NDArray[np.float32]]:
    """Of each image, float32 [M, ``BOX_COLUMNS``]."""
    columns = np.concatenate(
        [truth.boxes_yxyx_normalized, truth.classes[..., np.newaxis], truth.weights[..., np.newaxis]],
        axis=-1,
        dtype=np.float32,
    )  # [B, M, 6]
    return [of_image[there] for of_image, there in zip(columns, truth.classes >= 0, strict=True)]
