"""Encoded images -> upright RGB pixels, as graph ops.

Training, ``evaluate`` and ``serving_default`` all decode here, so a photograph that a camera stored sideways (EXIF
orientation) has its boxes in the same, upright, frame everywhere.
"""

from __future__ import annotations

import tensorflow as tf

_HEADER_BYTES = 65536 + 64
"""Enough for the first APP segments of a JPEG: one segment is at most 65535 bytes."""
_EXIF_START_BYTES = 4096
"""EXIF has to start in this many bytes; the standard wants it first, JFIF's 18 bytes may come before."""
_EXIF_SCAN_BYTES = 2048
"""Bytes after ``Exif`` looked at for the orientation; it is among the first entries of the first directory."""
_ORIENTATION_TAG = 0x0112


def mentions_exif(encoded: tf.Tensor) -> tf.Tensor:
    """String of any shape -> bool: could there be an EXIF orientation in the file?

    One pass of a regular expression: reading the orientation costs as much as decoding a small image, and most files
    have none.
    """
    return tf.strings.regex_full_match(tf.strings.substr(encoded, 0, _EXIF_START_BYTES), r"(?s)\C*Exif\x00\x00\C*")


def is_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    """String of any shape -> bool: does the file start like a JPEG?"""
    return tf.equal(tf.strings.substr(encoded, 0, 3), b"\xff\xd8\xff")


def exif_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """EXIF orientation of a JPEG file.

    Walks the APP segments up to the one that holds EXIF (ISO/IEC 10918-1 B.1.1; EXIF 2.3, 4.5 and 4.6.4 A).

    Args:
      encoded: scalar string, a JPEG file.

    Returns:
      int32 scalar, 1..8; 1 (upright) when there is no valid orientation in the file.
    """
    header = tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, 0, _HEADER_BYTES), tf.uint8), tf.int32)  # [n]
    size = tf.size(header)

    def in_app_segment(position: tf.Tensor) -> tf.Tensor:
        # APP0..APP15 (E0..EF) or a comment (FE), and not yet EXIF.
        marker = header[position + 1]
        is_app = tf.logical_or(tf.logical_and(marker >= 0xE0, marker <= 0xEF), tf.equal(marker, 0xFE))
        return tf.logical_and(is_app, tf.logical_not(_holds_exif(header, position)))

    def more(position: tf.Tensor) -> tf.Tensor:
        inside = position + 16 < size
        return tf.cond(inside, lambda: in_app_segment(position), lambda: tf.constant(False))

    def following(position: tf.Tensor) -> tuple[tf.Tensor]:
        return (position + 2 + 256 * header[position + 2] + header[position + 3],)

    (position,) = tf.while_loop(more, following, [tf.constant(2)], parallel_iterations=1)
    found = tf.cond(position + 16 < size, lambda: _holds_exif(header, position), lambda: tf.constant(False))
    return tf.cond(found, lambda: _orientation_of_tiff(header[position + 10 :]), lambda: tf.constant(1))


def _holds_exif(header: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    """Is the segment that starts at ``position`` an APP1 segment with EXIF data?"""
    return tf.logical_and(
        tf.equal(header[position + 1], 0xE1),
        tf.reduce_all(tf.equal(header[position + 4 : position + 10], [*b"Exif\0\0"])),
    )


def _orientation_of_tiff(tiff: tf.Tensor) -> tf.Tensor:
    """Orientation in the first directory of a TIFF header, int32 [n] of byte values -> int32 scalar, 1 if none."""
    tiff = tf.pad(tiff[:_EXIF_SCAN_BYTES], [[0, 16]])
    little_endian = tf.equal(tiff[0], ord("I"))

    def uint16(at: tf.Tensor | int) -> tf.Tensor:
        first, second = tiff[at], tiff[at + 1]
        return tf.where(little_endian, first + 256 * second, 256 * first + second)

    last_start = tf.size(tiff) - 16
    # Directory offsets are 32 bit; a valid one of this size has its two upper bytes empty.
    directory = tf.where(little_endian, uint16(4), uint16(6))
    directory = tf.minimum(directory, last_start)
    entries = tf.minimum(uint16(directory), (last_start - directory) // 12)
    starts = directory + 2 + 12 * tf.range(entries)  # [entries]
    first, second = tf.gather(tiff, starts), tf.gather(tiff, starts + 1)  # [entries]
    tags = tf.where(little_endian, first + 256 * second, 256 * first + second)
    first, second = tf.gather(tiff, starts + 8), tf.gather(tiff, starts + 9)
    values = tf.where(little_endian, first + 256 * second, 256 * first + second)
    orientation = tf.reduce_max(tf.where(tf.equal(tags, _ORIENTATION_TAG), values, 0), axis=0)
    # reduce_max of no entries is the smallest int32.
    return tf.where(tf.logical_and(orientation >= 1, orientation <= 8), orientation, 1)


def turn_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Undoes an EXIF orientation: [h, w, 3] -> [h, w, 3], or [w, h, 3] for orientations 5..8."""
    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    # Stored rows run upwards in 3, 4, 7 (as columns) and 8; stored columns run leftwards in 2, 3, 6 and 7.
    upside_down = tf.reduce_any(tf.equal(orientation, [3, 4, 7, 8]))
    mirrored = tf.reduce_any(tf.equal(orientation, [2, 3, 6, 7]))
    image = tf.cond(upside_down, lambda: tf.reverse(image, [0]), lambda: image)
    return tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image)


def decode_upright(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG, PNG, GIF (first frame) or BMP file; greyscale, palette, alpha, 16 bit and CMYK become 8-bit RGB.

    Args:
      encoded: scalar string, the file.

    Returns:
      uint8 [h, w, 3].

    Raises:
      tf.errors.InvalidArgumentError: when run on bytes that are no image.
    """
    return _upright(_decode(encoded), encoded)


def decode_upright_if_readable(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """What ``decode_upright`` gives, or one black pixel for bytes that are no image.

    No op catches another's error, but a tf.data pipeline leaves out the elements that fail: here it has one, and the
    black pixel behind it. That costs little beside the decoding.

    Args:
      encoded: scalar string, the file.

    Returns:
      uint8 [h, w, 3], and bool: whether it is an image.
    """
    one = tf.data.Dataset.from_tensors(encoded).map(lambda file: (_decode(file), True)).ignore_errors()
    pixel = tf.data.Dataset.from_tensors((tf.zeros((1, 1, 3), tf.uint8), False))
    options = tf.data.Options()
    # Rewriting and tuning such a pipeline takes longer than running it.
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    first = one.concatenate(pixel).take(1).with_options(options)
    image, is_readable = first.get_single_element()
    return _upright(image, encoded), is_readable


def _decode(encoded: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    image.set_shape((None, None, 3))
    return image


def _upright(image: tf.Tensor, encoded: tf.Tensor) -> tf.Tensor:
    """uint8 [h, w, 3] as stored, and the file -> uint8 [h, w, 3]."""
    turned = tf.logical_and(mentions_exif(encoded), is_jpeg(encoded))
    image = tf.cond(turned, lambda: turn_upright(image, exif_orientation(encoded)), lambda: image)
    image.set_shape((None, None, 3))
    return image


def decode_upright_window(encoded: tf.Tensor, window_yxyx_normalized: tf.Tensor) -> tf.Tensor:
    """The part of ``decode_upright(encoded)`` in a window; of a JPEG nothing else is decoded.

    Args:
      encoded: scalar string, the file.
      window_yxyx_normalized: float32 [4] within 0..1 of the upright image.

    Returns:
      uint8 [h, w, 3].

    Raises:
      tf.errors.InvalidArgumentError: when run on bytes that are no image.
    """
    partly = tf.reduce_any(tf.not_equal(window_yxyx_normalized, [0.0, 0.0, 1.0, 1.0]))
    direct = tf.logical_and(is_jpeg(encoded), tf.logical_and(partly, tf.logical_not(mentions_exif(encoded))))
    part = tf.cond(
        direct,
        lambda: tf.io.decode_and_crop_jpeg(
            encoded, window_pixels(tf.io.extract_jpeg_shape(encoded)[:2], window_yxyx_normalized), channels=3
        ),
        lambda: crop(decode_upright(encoded), window_yxyx_normalized),
    )
    part.set_shape((None, None, 3))
    return part


def window_pixels(height_width: tf.Tensor, window_yxyx_normalized: tf.Tensor) -> tf.Tensor:
    """A normalised window in whole pixels, at least one: int32 [2], float32 [4] -> int32 [4] (y, x, height, width)."""
    size = tf.cast(height_width, tf.float32)
    start = tf.minimum(tf.cast(tf.round(window_yxyx_normalized[:2] * size), tf.int32), height_width - 1)
    stop = tf.cast(tf.round(window_yxyx_normalized[2:] * size), tf.int32)
    return tf.concat([start, tf.clip_by_value(stop - start, 1, height_width - start)], axis=0)


def crop(image: tf.Tensor, window_yxyx_normalized: tf.Tensor) -> tf.Tensor:
    """Cuts a normalised window out of [h, w, 3]."""
    y, x, height, width = tf.unstack(window_pixels(tf.shape(image)[:2], window_yxyx_normalized))
    return image[y : y + height, x : x + width]
