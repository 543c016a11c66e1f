"""Records -> batches for training and evaluation.

Work that is small is done for a whole batch at once (parsing, the transform graph, drawing augmentations, boxes): one
operation costs about 10 microseconds wherever it runs, which is much beside the millisecond a small image takes. Only
decoding and resizing run image by image, in parallel. Nothing here depends on the order in which threads finish.

Training images leave as uint8 with a colour change still to be applied (``prepare_images``): a quarter of the memory
and of the transfer to the device, which applies it faster than the host could.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from components.detector.detector import Detector
from components.detector.structures import GroundTruth
from components.image_decoding import decode_upright, decode_upright_window
from components.trainer.input.augmentation.colour import apply_colour_maps, random_colour_maps
from components.trainer.input.augmentation.geometry import (
    Geometry,
    boxes_in_window,
    part_inside_image,
    random_geometry,
    show,
)
from components.trainer.input.record_stream import ordered_records, shuffled_records
from components.trainer.input.replay import replayed_records
from components.trainer.settings import TrainSettings
from components.transform import features
from components.user_error import UserError

Features = Mapping[str, tf.Tensor | tf.RaggedTensor]
Parser = Callable[[tf.Tensor], Features]
"""Serialised records, string [B] -> the features listed in ``components.transform.features``."""
Resizer = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

_WHOLE_IMAGE = (0.0, 0.0, 1.0, 1.0)
_PREFETCHED_BATCHES = 2


class TrainingBatch(NamedTuple):
    """What one training step takes.

    Attributes:
      images: uint8 [B, H, W, 3], on the detector's canvas, colours as in the file.
      colour_maps: float32 [B, 4, 3], see ``colour.apply_colour_maps``.
      truth: ground truth in the canvas frame.
    """

    images: tf.Tensor
    colour_maps: tf.Tensor
    truth: GroundTruth


class EvaluationBatch(NamedTuple):
    """Images for ``Detector.detect`` and what is really in them, in the frame of the original image.

    Attributes:
      images: float32 [B, H, W, 3] in 0..255, on the detector's canvas.
      valid_height_width: float32 [B, 2], share of the canvas that holds image.
      height_width_pixels: int64 [B, 2] of the upright original.
      boxes_yxyx_normalized: float32 [B, M, 4]; padded rows are 0.
      classes: int64 [B, M], 0-based; padded rows are -1.
      is_crowd: bool [B, M].
      is_difficult: bool [B, M].
      areas_pixels: float32 [B, M].
    """

    images: tf.Tensor
    valid_height_width: tf.Tensor
    height_width_pixels: tf.Tensor
    boxes_yxyx_normalized: tf.Tensor
    classes: tf.Tensor
    is_crowd: tf.Tensor
    is_difficult: tf.Tensor
    areas_pixels: tf.Tensor


class _Objects(NamedTuple):
    """Padded annotations of a batch, in the frame of the original image."""

    boxes_yxyx: tf.Tensor  # float32 [B, M, 4]
    classes: tf.Tensor  # int64 [B, M], -1 is padding
    is_crowd: tf.Tensor  # bool [B, M]
    is_difficult: tf.Tensor  # bool [B, M]
    areas_pixels: tf.Tensor  # float32 [B, M]

    @classmethod
    def of(cls, parsed: Features) -> _Objects:
        def padded(key: str, default: int) -> tf.Tensor:
            values = parsed[key]
            return values.to_tensor(default) if isinstance(values, tf.RaggedTensor) else values

        return cls(
            tf.reshape(
                parsed[features.BOXES_YXYX].to_tensor(0.0),
                [tf.shape(parsed[features.HEIGHT])[0], -1, 4],
            ),
            padded(features.CLASS_INDEX, -1),
            padded(features.IS_CROWD, 0) > 0,
            padded(features.DIFFICULT, 0) > 0,
            padded(features.AREA, 0),
        )


def training_batches(
    patterns: Sequence[str],
    parse: Parser,
    detector: Detector,
    settings: TrainSettings,
    *,
    start_step: int = 0,
) -> tf.data.Dataset:
    """Endless ``TrainingBatch``es; the batch of a step depends on the settings and the step alone.

    Args:
      patterns: globs of gzipped TFRecord files of records.
      parse: makes features of records, see ``record_parser``.
      detector: gives the canvas.
      settings: batch size, seed, augmentation and input settings.
      start_step: first step to make a batch for.

    Raises:
      NoRecordsError: there are no records.
    """
    share = settings.input.replay_share
    stream = shuffled_records if share is None else functools.partial(replayed_records, share=share)
    records = stream(
        patterns,
        seed=settings.seed,
        shuffle_memory_megabytes=settings.input.shuffle_memory_megabytes,
        start=start_step * settings.batch_size,
    )
    batches = records.batch(settings.batch_size, drop_remainder=True).enumerate(start_step)
    batches = batches.map(lambda step, batch: _drawn(parse(batch), step, settings), num_parallel_calls=tf.data.AUTOTUNE)
    images = _one_by_one(batches).map(
        lambda encoded, geometry, colour_map, truth: (
            *_canvas(encoded, geometry, detector.resize),
            colour_map,
            truth,
        ),
        num_parallel_calls=settings.input.parallel_images or tf.data.AUTOTUNE,
        deterministic=True,
    )
    # The objects of a batch were padded together, so its images stack without padding.
    batches = images.batch(settings.batch_size, drop_remainder=True).map(_in_canvas_frame)
    return batches.prefetch(_PREFETCHED_BATCHES).with_options(_options())


def _drawn(
    parsed: Features, step: tf.Tensor, settings: TrainSettings
) -> tuple[tf.Tensor, Geometry, tf.Tensor, GroundTruth]:
    """Encoded images of a batch, how each is shown, and the ground truth of what is shown (in its frame)."""
    objects = _Objects.of(parsed)
    batch = settings.batch_size
    to_learn = (objects.classes >= 0) & ~objects.is_crowd & ~objects.is_difficult  # [B, M]
    if settings.augmentation is None:
        geometry = Geometry(tf.tile([_WHOLE_IMAGE], [batch, 1]), tf.zeros([batch, 2], tf.bool))
        colour_maps = tf.concat([tf.eye(3, batch_shape=[batch]), tf.zeros([batch, 1, 3])], axis=1)  # [B, 4, 3]
        min_visible = 0.0
    else:
        seeds = [tf.stack([tf.constant(settings.seed, tf.int64), 2 * step + nth]) for nth in range(2)]
        geometry = random_geometry(objects.boxes_yxyx, to_learn, seeds[0], settings.augmentation)
        colour_maps = random_colour_maps(batch, seeds[1], settings.augmentation)
        min_visible = settings.augmentation.min_visible
    boxes, visible = boxes_in_window(objects.boxes_yxyx, geometry)  # [B, M, 4], [B, M]
    in_sight = (objects.classes >= 0) & (visible > 0.0)  # [B, M]
    truth = GroundTruth(
        tf.where(in_sight[..., tf.newaxis], boxes, 0.0),
        tf.cast(tf.where(in_sight, objects.classes, -1), tf.int32),
        tf.cast(in_sight & to_learn & (visible >= min_visible), tf.float32),
        tf.ones([batch, 2]),
    )
    return parsed[features.IMAGE_ENCODED], geometry, colour_maps, truth


def _canvas(encoded: tf.Tensor, geometry: Geometry, resize: Resizer) -> tuple[tf.Tensor, tf.Tensor]:
    """One encoded image as it is shown: uint8 [H, W, 3] and the valid share of it, float32 [2]."""
    part = decode_upright_window(encoded, part_inside_image(geometry.windows_yxyx))
    canvas, share = resize(show(part, geometry))
    return tf.cast(canvas + 0.5, tf.uint8), share


def _in_canvas_frame(images: tf.Tensor, shares: tf.Tensor, colour_maps: tf.Tensor, truth: GroundTruth) -> TrainingBatch:
    boxes = truth.boxes_yxyx_normalized * tf.tile(shares, [1, 2])[:, tf.newaxis]  # [B, M, 4]
    return TrainingBatch(images, colour_maps, truth._replace(boxes_yxyx_normalized=boxes, valid_height_width=shares))


def prepare_images(detector: Detector, batch: TrainingBatch) -> tf.Tensor:
    """Applies colour changes and normalises: float32 [B, H, W, 3] for ``Detector.training_losses``."""
    images = apply_colour_maps(tf.cast(batch.images, tf.float32), batch.colour_maps)
    return detector.normalize(images)


def evaluation_batches(
    patterns: Sequence[str],
    parse: Parser,
    detector: Detector,
    batch_size: int,
    *,
    max_images: int | None = None,
) -> tf.data.Dataset:
    """``EvaluationBatch``es of a split, once and in order; the last may be smaller.

    Args:
      patterns: globs of gzipped TFRecord files of records.
      parse: makes features of records, see ``record_parser``.
      detector: gives the canvas.
      batch_size: images in a batch.
      max_images: leave out the rest.

    Raises:
      NoRecordsError: there is no file.
    """

    def parsed(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, _Objects]:
        of_batch = parse(batch)
        sizes = tf.stack([of_batch[features.HEIGHT], of_batch[features.WIDTH]], axis=-1)  # [B, 2]
        return of_batch[features.IMAGE_ENCODED], sizes, _Objects.of(of_batch)

    records = ordered_records(patterns)
    records = records if max_images is None else records.take(max_images)
    of_batches = records.batch(batch_size).map(parsed, num_parallel_calls=tf.data.AUTOTUNE)
    images = _one_by_one(of_batches).map(
        lambda encoded, size, objects: (*detector.resize(decode_upright(encoded)), size, objects),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    batches = images.batch(batch_size).map(lambda image, share, size, o: EvaluationBatch(image, share, size, *o))
    return batches.prefetch(_PREFETCHED_BATCHES).with_options(_options())


class UnusableRecordError(UserError):
    """Records from which a batch cannot be made."""


def iterate(batches: tf.data.Dataset) -> Iterator[Any]:
    """The batches of a dataset.

    Raises:
      UnusableRecordError: a batch cannot be made; the message says what to do.
    """
    try:
        yield from batches
    except tf.errors.InvalidArgumentError as error:
        raise UnusableRecordError(
            f"a batch cannot be made of the records: {error.message}. ExampleGen writes only images that decode, so "
            "these records were made by another version or damaged since: delete the folder of ExampleGen's `examples` "
            "and start the run again, which makes them anew"
        ) from error


def _one_by_one(batches: tf.data.Dataset) -> tf.data.Dataset:
    """The elements of batches. ``Dataset.unbatch`` ends the process at a batch without an object (TensorFlow 2.21)."""
    return batches.flat_map(lambda *batch: tf.data.Dataset.from_tensor_slices(batch))


def _options() -> tf.data.Options:
    options = tf.data.Options()
    # Images are decoded in parallel; splitting the work on one of them further only costs.
    options.threading.max_intra_op_parallelism = 1
    return options
