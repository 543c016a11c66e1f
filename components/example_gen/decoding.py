"""Decoding an image once, as training and serving do.

ExampleGen is the door: a file that their decoder cannot read becomes a finding here, with its name, and nothing behind
the door has to look again. The pixels are dropped; the record keeps the file.
"""

from __future__ import annotations

import tensorflow as tf

from components.example_gen.images import BadImageError, ImageHeader, does_not_decode, reason_of_damage
from components.image_decoding import decode_upright


def check_decodes(encoded: bytes, header: ImageHeader) -> int:
    """Decodes an image and drops the pixels.

    Args:
      encoded: the file as it goes into the record: upright.
      header: what ``read_header`` said.

    Returns:
      The largest value of the pixels, 0..255: how bright the brightest is.

    Raises:
      BadImageError: the pixels cannot be decoded, or are not as many as the header says.
    """
    try:
        height, width, brightest = _size_and_brightest(encoded).numpy().tolist()
    except tf.errors.InvalidArgumentError as error:
        raise does_not_decode(encoded, header.format, reason_of_damage(encoded)) from error
    if (height, width) != (header.height_pixels, header.width_pixels):
        found = f"{height} x {width} pixels decode, the header says {header.height_pixels} x {header.width_pixels}"
        raise BadImageError("unsupported_image", found)
    return int(brightest)


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def _size_and_brightest(encoded: tf.Tensor) -> tf.Tensor:
    """Scalar string -> int32 [3]: height and width of the upright pixels, and their largest value."""
    pixels = decode_upright(encoded)
    return tf.concat([tf.shape(pixels)[:2], tf.cast(tf.reduce_max(pixels), tf.int32)[tf.newaxis]], axis=0)
