"""A detector that looks at an image in tiles: what evaluation, export and serving use in place of the trained one.

The image is stretched to one large canvas, which is cut into overlapping tiles of the trained detector's size, and
perhaps seen once more as a whole at that size (Akyon et al. 2022, slicing aided inference). Tiles of one image go
through the detector as a batch, image after image, so that memory does not grow with the number of images.
"""

from __future__ import annotations

from typing import Final

import keras
import tensorflow as tf

from components.detector.detector import FinishedDetector, ImageDetector, preprocess
from components.detector.layers.resizing import resize_fixed
from components.detector.structures import Detections, Preprocessed
from components.detector.targets import boxes as box_ops
from components.detector.tiling_settings import TilingSettings

_CUT_PIXELS: Final = 2.0
"""A box that comes this near to an inner border of its tile is taken for a part of an object."""
_SAME_OBJECT: Final = 0.5
"""Share of the smaller one inside the other from which a part and another box are of one object."""
_CANDIDATES_EACH: Final = 4
"""Boxes looked at for each that is kept, the best of all tiles."""


def tiled(detector: FinishedDetector, tiling: TilingSettings | None) -> ImageDetector:
    """The detector as images are given to it: in tiles, or, without settings, as it is."""
    return detector if tiling is None else TiledDetector(detector, tiling)


class TiledDetector:
    """See the module. It has the detector's variables and none of its own.

    Args:
      detector: trained on parts of images of a tile's size.
      tiling: how images are cut.
    """

    def __init__(self, detector: FinishedDetector, tiling: TilingSettings) -> None:
        self._detector = detector
        self._tiling = tiling
        self._tile_size: tuple[int, int] = detector.image_size
        height, width = (
            round(side * in_tiles) for side, in_tiles in zip(self._tile_size, tiling.sides_in_tiles, strict=True)
        )
        self.image_size: tuple[int, int] = (height, width)
        """(height, width) in pixels of the large canvas."""
        rows, columns = (
            [round(n * (whole - tile) / max(count - 1, 1)) for n in range(count)]
            for whole, tile, count in zip(self.image_size, self._tile_size, (tiling.rows, tiling.columns), strict=True)
        )
        self._corners_yx = [(y, x) for y in rows for x in columns]

    @property
    def weights(self) -> list[keras.Variable]:
        """Of the detector."""
        weights: list[keras.Variable] = self._detector.weights
        return weights

    def resize(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Stretches one image to the large canvas: uint8 or float32 [h, w, 3] -> float32 [H, W, 3], float32 [2]."""
        return resize_fixed(image, self.image_size)

    def normalize(self, images: tf.Tensor) -> tf.Tensor:
        """See ``Detector.normalize``."""
        return self._detector.normalize(images)

    def preprocess(self, images: tf.Tensor) -> Preprocessed:
        """See ``Detector.preprocess``."""
        return preprocess(self, images)

    def detect(self, preprocessed: Preprocessed) -> Detections:
        """See ``Detector.detect``."""
        rows = self._detector.options.max_detections
        specification = Detections(
            tf.TensorSpec((rows, 4), tf.float32),
            tf.TensorSpec((rows,), tf.float32),
            tf.TensorSpec((rows,), tf.int32),
            tf.TensorSpec((), tf.int32),
        )
        found: Detections = tf.map_fn(
            self._detect_in_one, preprocessed.images, fn_output_signature=specification, parallel_iterations=1
        )
        return found

    def _detect_in_one(self, canvas: tf.Tensor) -> Detections:
        """float32 [H, W, 3] -> detections without B."""
        height, width = self._tile_size
        tiles = [canvas[y : y + height, x : x + width] for y, x in self._corners_yx]
        if self._tiling.whole_image:
            tiles.append(resize_fixed(canvas, self._tile_size)[0])
        count = len(tiles)
        found = self._detector.detect(Preprocessed(tf.stack(tiles), tf.ones((count, 2))))
        places = tf.constant(self._places_yxyx())[:, tf.newaxis]  # [T, 1, 4]
        start, size = places[..., :2], places[..., 2:] - places[..., :2]  # [T, 1, 2]
        boxes = tf.tile(start, (1, 1, 2)) + found.boxes_yxyx_normalized * tf.tile(size, (1, 1, 2))  # [T, N, 4]
        numbers = tf.broadcast_to(tf.range(count)[:, tf.newaxis], tf.shape(found.scores))  # [T, N]
        # Many small steps: a GPU would only wait for each.
        with tf.device("/CPU:0"):
            return merge_tiles(
                tf.reshape(boxes, (-1, 4)),
                tf.reshape(found.scores, (-1,)),
                tf.reshape(found.classes, (-1,)),
                tf.reshape(numbers, (-1,)),
                tf.reshape(self._are_cut(found.boxes_yxyx_normalized), (-1,)),
                iou_threshold=self._detector.options.iou_threshold,
                rows=self._detector.options.max_detections,
            )

    def _places_yxyx(self) -> list[tuple[float, float, float, float]]:
        """Where the tiles lie, in 0..1 of the image."""
        (height, width), (tile_height, tile_width) = self.image_size, self._tile_size
        places = [
            (y / height, x / width, (y + tile_height) / height, (x + tile_width) / width) for y, x in self._corners_yx
        ]
        return places + [(0.0, 0.0, 1.0, 1.0)] * int(self._tiling.whole_image)

    def _are_cut(self, boxes_yxyx: tf.Tensor) -> tf.Tensor:
        """bool [T, N]: boxes (float32 [T, N, 4], in 0..1 of their tile) at a border that is none of the image."""
        places = tf.constant(self._places_yxyx())[:, tf.newaxis]  # [T, 1, 4]
        near = _CUT_PIXELS / tf.constant(self._tile_size, tf.float32)  # [2]
        at_start = (boxes_yxyx[..., :2] <= near) & (places[..., :2] > 1e-6)  # [T, N, 2]
        at_end = (boxes_yxyx[..., 2:] >= 1.0 - near) & (places[..., 2:] < 1.0 - 1e-6)  # [T, N, 2]
        return tf.reduce_any(at_start | at_end, axis=-1)


def merge_tiles(
    boxes_yxyx: tf.Tensor,
    scores: tf.Tensor,
    classes: tf.Tensor,
    tiles: tf.Tensor,
    is_cut: tf.Tensor,
    *,
    iou_threshold: float,
    rows: int,
) -> Detections:
    """One box for each object that several tiles show, best score first.

    Boxes of one tile have been through suppression there. Of different tiles, two boxes of a class are of one object
    when they overlap as suppression says; or when one of them is cut by its tile's border and either lies mostly inside
    the other. Of such a group the best score stays; and its box, unless that is cut: then the best whole box around it,
    or, when there is only parts, the box around them all.

    Args:
      boxes_yxyx: float32 [K, 4], in one frame.
      scores: float32 [K].
      classes: int32 [K]; -1 is padding.
      tiles: int32 [K]: which tile shows it.
      is_cut: bool [K]: at an inner border of that tile.
      iou_threshold: of suppression.
      rows: of the result.

    Returns:
      Detections without B.
    """
    is_real = classes >= 0
    best = tf.math.top_k(
        tf.where(is_real, scores, -1.0), tf.minimum(tf.size(scores), _CANDIDATES_EACH * rows)
    ).indices  # [k], best first, of equal ones the first
    boxes, scores, classes, tiles, is_cut, alive = (
        tf.gather(part, best) for part in (boxes_yxyx, scores, classes, tiles, is_cut, is_real)
    )
    intersections = _intersections(boxes)  # [k, k]
    areas = box_ops.area(boxes)  # [k]
    smaller = tf.minimum(areas[:, tf.newaxis], areas)  # [k, k]
    mostly_inside = intersections > _SAME_OBJECT * smaller
    part_of_it = (is_cut[:, tf.newaxis] | is_cut) & mostly_inside
    comparable = (classes[:, tf.newaxis] == classes) & (tiles[:, tf.newaxis] != tiles)
    same = comparable & ((box_ops.pairwise_iou(boxes, boxes) > iou_threshold) | part_of_it)  # [k, k]

    def unfinished(count: tf.Tensor, alive: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
        return (count < rows) & tf.reduce_any(alive)

    def next_object(
        count: tf.Tensor, alive: tf.Tensor, kept: tf.TensorArray, kept_boxes: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray, tf.TensorArray]:
        first = tf.argmax(tf.cast(alive, tf.int32), output_type=tf.int32)
        group = alive & same[first]  # [k], without the first
        whole = group & ~is_cut & (intersections[first] > _SAME_OBJECT * areas[first])  # [k], those around it
        parts = tf.where(group[:, tf.newaxis], boxes, boxes[first])  # [k, 4]
        around = tf.concat([tf.reduce_min(parts[:, :2], axis=0), tf.reduce_max(parts[:, 2:], axis=0)], axis=0)
        best_whole = tf.argmax(tf.cast(whole, tf.int32), output_type=tf.int32)
        is_completed = is_cut[first] & tf.reduce_any(whole)
        box = tf.where(is_cut[first], around, boxes[first])
        box = tf.where(is_completed, boxes[best_whole], box)
        # A sliver of an object may have little in common with what another tile makes of all of it.
        group = group | (is_completed & alive & same[best_whole])
        alive = alive & ~group & (tf.range(tf.size(alive)) != first)
        return count + 1, alive, kept.write(count, first), kept_boxes.write(count, box)

    count, _, kept, kept_boxes = tf.while_loop(
        unfinished,
        next_object,
        (
            tf.constant(0),
            alive,
            tf.TensorArray(tf.int32, rows, element_shape=()),
            tf.TensorArray(tf.float32, rows, element_shape=(4,)),
        ),
        parallel_iterations=1,
    )
    is_found = tf.range(rows) < count
    indices = kept.stack()  # [rows], 0 behind the last
    return Detections(
        tf.clip_by_value(kept_boxes.stack(), 0.0, 1.0),
        tf.where(is_found, tf.gather(scores, indices), 0.0),
        tf.where(is_found, tf.gather(classes, indices), -1),
        count,
    )


def _intersections(boxes_yxyx: tf.Tensor) -> tf.Tensor:
    """Areas that float32 [K, 4] share, float32 [K, K]."""
    top_left = tf.maximum(boxes_yxyx[:, tf.newaxis, :2], boxes_yxyx[:, :2])  # [K, K, 2]
    bottom_right = tf.minimum(boxes_yxyx[:, tf.newaxis, 2:], boxes_yxyx[:, 2:])  # [K, K, 2]
    return tf.reduce_prod(tf.maximum(bottom_right - top_left, 0.0), axis=-1)
