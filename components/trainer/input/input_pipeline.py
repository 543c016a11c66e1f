"""Records -> batches for training and evaluation.

Work that is small is done for a whole batch at once (parsing, the transform graph, drawing augmentations, boxes): one
operation costs about 10 microseconds wherever it runs, which is much beside the millisecond a small image takes. Only
decoding and resizing run image by image, in parallel. Nothing here depends on the order in which threads finish.

Training images leave as uint8 with a colour change still to be applied (``prepare_images``): a quarter of the memory
and of the transfer to the device, which applies it faster than the host could.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from components.detector.detector import Detector, ImageDetector
from components.detector.layers.resizing import resize_fixed
from components.detector.structures import GroundTruth
from components.detector.tiling_settings import TilingSettings
from components.image_decoding import decode_upright, decode_upright_window
from components.trainer.augmentation_settings import AugmentationSettings
from components.trainer.input.augmentation.colour import apply_colour_maps, random_colour_maps
from components.trainer.input.augmentation.copy_paste import ObjectBank, Pastes, paste_objects, random_pastes
from components.trainer.input.augmentation.geometry import (
    Geometry,
    boxes_in_window,
    part_inside_image,
    random_geometry,
    show,
)
from components.trainer.input.augmentation.mixing import mix, random_mixing
from components.trainer.input.augmentation.patches import hidden_shares
from components.trainer.input.augmentation.pixels import PixelChanges, change_pixels, random_pixel_changes
from components.trainer.input.augmentation.tile_windows import random_tile_windows
from components.trainer.input.batch_parts import part_of_batch
from components.trainer.input.object_bank import object_bank
from components.trainer.input.padded_objects import Features, Objects
from components.trainer.input.record_stream import ordered_records, shuffled_records
from components.trainer.input.repeat_factors import repeated_records
from components.trainer.input.replay import replayed_records
from components.trainer.settings import TrainSettings
from components.transform import features
from components.user_error import UserError

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


def training_batches(
    patterns: Sequence[str],
    parse: Parser,
    detector: Detector,
    settings: TrainSettings,
    *,
    tiling: TilingSettings | None = None,
    start_step: int = 0,
    share: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Endless ``TrainingBatch``es; the batch of a step depends on the settings and the step alone.

    Args:
      patterns: globs of gzipped TFRecord files of records.
      parse: makes features of records, see ``record_parser``.
      detector: gives the canvas.
      settings: steps, batch size, seed, augmentation and input settings.
      tiling: a batch is of parts of images of a tile's size. None: of images.
      start_step: first step to make a batch for.
      share: the worker's number and how many there are; each makes its part of every batch, [B / workers, ...].

    Raises:
      NoRecordsError: there are no records.
      NothingToPasteError: objects are to be pasted, and there are none.
    """
    replayed, threshold = settings.input.replay_share, settings.sampling.repeat_threshold
    stream = shuffled_records
    if replayed is not None:
        stream = functools.partial(replayed_records, share=replayed)
    elif threshold is not None:
        stream = functools.partial(repeated_records, threshold=threshold)
    records = stream(
        patterns,
        seed=settings.seed,
        shuffle_memory_megabytes=settings.input.shuffle_memory_megabytes,
        start=start_step * settings.batch_size,
    )
    return batches_of_records(
        records,
        ordered_records(patterns),
        parse,
        detector,
        settings,
        tiling=tiling,
        start_step=start_step,
        share=share,
    )


def batches_of_records(
    records: tf.data.Dataset,
    to_cut_from: tf.data.Dataset,
    parse: Parser,
    detector: Detector,
    settings: TrainSettings,
    *,
    tiling: TilingSettings | None = None,
    start_step: int = 0,
    share: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """``TrainingBatch``es of records in the order in which they come.

    Args:
      records: scalar strings.
      to_cut_from: scalar strings: the records whose objects are pasted into the others.
      parse: as there.
      detector: as there.
      settings: as there.
      tiling: as there.
      start_step: what the first batch is drawn for.
      share: as there.

    Raises:
      NothingToPasteError: as there.
    """
    augmentation = settings.augmentation
    # A tile is cut out of a canvas that the image was stretched to.
    resize = detector.resize if tiling is None else functools.partial(resize_fixed, image_size=detector.image_size)
    bank = None
    if augmentation is not None and augmentation.copy_paste:
        images = _one_by_one(to_cut_from.batch(settings.batch_size).map(lambda r: _to_cut(parse(r))))
        bank = object_bank(
            images,
            resize,
            augmentation,
            seed=settings.seed,
            shown_share_yx=(1.0, 1.0) if tiling is None else tiling.tile_share_yx,
        )
    batches = records.batch(settings.batch_size, drop_remainder=True).enumerate(start_step)
    batches = batches.map(
        lambda step, batch: (_drawn(parse(batch), step, settings, tiling, bank),), num_parallel_calls=tf.data.AUTOTUNE
    )
    # Every worker reads all the small encoded images, in the same order. It decodes its own, and all of them only where
    # images are made of several.
    mixed = augmentation is not None and augmentation.images_mixed > 1
    if not mixed:
        batches = batches.map(lambda images: (part_of_batch(images, *share),))
    canvases = _one_by_one(batches).map(
        lambda image: (_canvas(image, resize, augmentation), image),
        num_parallel_calls=settings.input.parallel_images or tf.data.AUTOTUNE,
        deterministic=True,
    )
    # The objects of a batch were padded together, so its images stack without padding.
    batches = canvases.batch(settings.batch_size // (1 if mixed else share[1]), drop_remainder=True)
    batches = batches.map(
        lambda canvas, image: _training_batch(canvas, image, settings), num_parallel_calls=tf.data.AUTOTUNE
    )
    if mixed:
        batches = batches.map(lambda batch: part_of_batch(batch, *share))
    return batches.prefetch(_PREFETCHED_BATCHES).with_options(_options())


class _Image(NamedTuple):
    """The images of a batch (or, without B, one), and all that happens to them."""

    step: tf.Tensor  # int64 [B], the same for all
    encoded: tf.Tensor  # string [B]
    geometry: Geometry
    pastes: Pastes
    pixel_changes: PixelChanges
    colour_maps: tf.Tensor  # float32 [B, 4, 3]
    truth: GroundTruth  # in the frame of what is shown


class _Canvas(NamedTuple):
    """The images of a batch (or, without B, one) as the detector gets them."""

    images: tf.Tensor  # uint8 [B, H, W, 3]
    valid_height_width: tf.Tensor  # float32 [B, 2]
    patches_yxyx: tf.Tensor  # float32 [B, K + 1, 4], 0..1 of the canvas: what was pasted, then what was erased


def _to_cut(parsed: Features) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """What ``object_bank`` needs to know of the images of a batch."""
    objects = Objects.of(parsed)
    sizes = tf.stack([parsed[features.HEIGHT], parsed[features.WIDTH]], axis=-1)  # [B, 2]
    return parsed[features.IMAGE_ENCODED], sizes, objects.boxes_yxyx, objects.classes, objects.are_to_learn


def _seed(settings: TrainSettings, step: tf.Tensor, nth: int) -> tf.Tensor:
    """int64 [2], another one for each of the two things that are drawn for every batch."""
    return tf.stack([tf.constant(settings.seed, tf.int64), 2 * step + nth])


def _drawn(
    parsed: Features, step: tf.Tensor, settings: TrainSettings, tiling: TilingSettings | None, bank: ObjectBank | None
) -> _Image:
    """What happens to each image, and the ground truth of what is shown."""
    objects = Objects.of(parsed)
    batch, augmentation = settings.batch_size, settings.augmentation
    pastes, pixel_changes = Pastes.none(batch), PixelChanges.none(batch)
    min_visible = _min_visible(settings, tiling)
    boxes, are_to_learn = objects.boxes_yxyx, objects.are_to_learn  # [B, M, 4], [B, M]
    tiles = tf.tile([_WHOLE_IMAGE], [batch, 1])  # [B, 4]
    if tiling is not None:
        tile_seed = tf.random.fold_in(_seed(settings, step, 0), 2)
        tiles = random_tile_windows(boxes, are_to_learn, tile_seed, tiling, min_visible)
        boxes, visible = boxes_in_window(boxes, Geometry.of_windows(tiles))
        are_to_learn &= visible >= min_visible
    if augmentation is None:
        geometry = Geometry.of_windows(tiles)
        colour_maps = tf.concat([tf.eye(3, batch_shape=[batch]), tf.zeros([batch, 1, 3])], axis=1)  # [B, 4, 3]
    else:
        seeds = [_seed(settings, step, nth) for nth in range(2)]
        geometry = random_geometry(boxes, are_to_learn, seeds[0], augmentation).inside(tiles)
        colour_maps = random_colour_maps(batch, seeds[1], augmentation)
        if augmentation.blur or augmentation.noise or augmentation.jpeg or augmentation.erase:
            pixel_changes = random_pixel_changes(batch, tf.random.fold_in(seeds[1], 1), augmentation)
        if bank is not None:
            pastes = random_pastes(batch, tf.random.fold_in(seeds[1], 2), bank, augmentation)
    boxes, visible = boxes_in_window(objects.boxes_yxyx, geometry)  # [B, M, 4], [B, M]
    in_sight = (objects.classes >= 0) & (visible > 0.0)  # [B, M]
    truth = GroundTruth(
        tf.where(in_sight[..., tf.newaxis], boxes, 0.0),
        tf.cast(tf.where(in_sight, objects.classes, -1), tf.int32),
        tf.cast(in_sight & objects.are_to_learn & (visible >= min_visible), tf.float32),
        tf.ones([batch, 2]),
    )
    steps = tf.fill([batch], step)
    return _Image(steps, parsed[features.IMAGE_ENCODED], geometry, pastes, pixel_changes, colour_maps, truth)


def _min_visible(settings: TrainSettings, tiling: TilingSettings | None) -> float:
    """Share of an object in sight from which it is learnt: tiles cut objects, whether or not augmentation does."""
    if settings.augmentation is None and tiling is None:
        return 0.0
    return (settings.augmentation or AugmentationSettings()).min_visible


def _canvas(image: _Image, resize: Resizer, augmentation: AugmentationSettings | None) -> _Canvas:
    """One image, decoded, shown, pasted into and changed."""
    part = decode_upright_window(image.encoded, part_inside_image(image.geometry.windows_yxyx))
    canvas, share = resize(show(part, image.geometry))
    pixels = tf.cast(canvas + 0.5, tf.uint8)
    if augmentation is None:
        return _Canvas(pixels, share, tf.zeros([1, 4]))
    pixels, pasted = paste_objects(pixels, share, image.pastes)
    pixels, erased = change_pixels(pixels, share, image.pixel_changes, augmentation)
    return _Canvas(pixels, share, tf.concat([pasted, erased[tf.newaxis]], axis=0))


def _training_batch(canvas: _Canvas, image: _Image, settings: TrainSettings) -> TrainingBatch:
    """Canvases with the ground truth in their frame; mosaics and mixups of them."""
    images, share = canvas.images, canvas.valid_height_width
    boxes = image.truth.boxes_yxyx_normalized * tf.tile(share, [1, 2])[:, tf.newaxis]  # [B, M, 4]
    truth = image.truth._replace(boxes_yxyx_normalized=boxes, valid_height_width=share)
    augmentation = settings.augmentation
    if augmentation is not None:
        if augmentation.copy_paste or augmentation.erase:
            truth = _under_patches(truth, canvas.patches_yxyx, image.pastes.classes, augmentation.min_visible)
        if augmentation.images_mixed > 1:
            step = image.step[0]
            seed = tf.random.fold_in(_seed(settings, step, 1), 3)
            active = step < round(augmentation.mixing_until * settings.steps)
            mixing = random_mixing(share, seed, augmentation, active)
            images, truth = mix(images, truth, mixing, augmentation)
    return TrainingBatch(images, image.colour_maps, truth)


def _under_patches(
    truth: GroundTruth, patches_yxyx: tf.Tensor, pasted_classes: tf.Tensor, min_visible: float
) -> GroundTruth:
    """The truth with what was pasted, [B, M + K]; what patches hide too much of is ignored."""
    pasted = tf.shape(pasted_classes)[1]
    order = tf.concat([tf.zeros_like(truth.classes[0]), 1 + tf.range(pasted)], axis=0)  # [M + K]
    lies_on = 1 + tf.range(pasted + 1) > order[:, tf.newaxis]  # [M + K, K + 1]
    boxes = tf.concat([truth.boxes_yxyx_normalized, patches_yxyx[:, :-1]], axis=1)  # [B, M + K, 4]
    weights = tf.concat([truth.weights, tf.cast(pasted_classes >= 0, tf.float32)], axis=1)  # [B, M + K]
    visible = 1.0 - hidden_shares(boxes, patches_yxyx, lies_on)  # [B, M + K]
    return truth._replace(
        boxes_yxyx_normalized=boxes,
        classes=tf.concat([truth.classes, pasted_classes], axis=1),
        weights=tf.where(visible >= min_visible, weights, 0.0),
    )


def prepare_images(detector: Detector, batch: TrainingBatch) -> tf.Tensor:
    """Applies colour changes and normalises: float32 [B, H, W, 3] for ``Detector.training_losses``."""
    images = apply_colour_maps(tf.cast(batch.images, tf.float32), batch.colour_maps)
    return detector.normalize(images)


def evaluation_batches(
    patterns: Sequence[str],
    parse: Parser,
    detector: ImageDetector,
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

    def parsed(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, Objects]:
        of_batch = parse(batch)
        sizes = tf.stack([of_batch[features.HEIGHT], of_batch[features.WIDTH]], axis=-1)  # [B, 2]
        return of_batch[features.IMAGE_ENCODED], sizes, Objects.of(of_batch)

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
