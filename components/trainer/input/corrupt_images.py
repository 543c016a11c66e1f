"""Finds the images that do not decode.

ExampleGen looks at image headers only, so an image may turn out to be damaged when it is decoded. That costs nothing
while all is well: only when a batch fails is every image of the split decoded once, and the bad ones are named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from components.image_decoding import decode_upright
from components.trainer.input.record_stream import count_records, ordered_records, source_id
from components.user_error import UserError
from schema import features

_NAMED_AT_MOST = 20


class CorruptImagesError(UserError):
    """More images than allowed do not decode; the message names them."""


class CorruptImages:
    """The images of one split that are known not to decode.

    Args:
      patterns: globs of the split's record files.
      max_share: of the split's images that may be left out.
      report: told, in a line of text, which were found.
    """

    def __init__(self, patterns: Sequence[str], max_share: float, report: Callable[[str], None]) -> None:
        self._patterns = patterns
        self._max_share = max_share
        self._report = report
        self.source_ids: list[bytes] = []

    def find(self) -> bool:
        """Decodes every image of the split once; True when some that were not known do not decode.

        Raises:
          CorruptImagesError: they are more than the allowed share.
        """
        found = corrupt_images(self._patterns)
        if set(found) <= set(self.source_ids):
            return False
        records = count_records(ordered_records(self._patterns))
        named = ", ".join(source.decode(errors="replace") for source in found[:_NAMED_AT_MOST])
        if len(found) > _NAMED_AT_MOST:
            named += f" and {len(found) - _NAMED_AT_MOST} more"
        if len(found) > self._max_share * records:
            raise CorruptImagesError(
                f"{len(found)} of {records} images do not decode, more than train.input.max_corrupt_share "
                f"({self._max_share:.2%}) allows: {named}. Repair or remove them"
            )
        self._report(f"WARNING: {len(found)} of {records} images do not decode and are left out: {named}")
        self.source_ids = found
        return True


def corrupt_images(patterns: Sequence[str]) -> list[bytes]:
    """Source ids (not always UTF-8: file names) of the records of a split whose image does not decode."""
    specification = {features.IMAGE_ENCODED: tf.io.FixedLenFeature([], tf.string, "")}

    def pixels(number: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        encoded = tf.io.parse_single_example(record, specification)[features.IMAGE_ENCODED]
        # The size depends on the pixels, so that they have to be decoded.
        return number, tf.size(decode_upright(encoded))

    records = ordered_records(patterns)
    decoded = records.enumerate().map(pixels, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    good = {int(number) for number, _ in decoded.ignore_errors().as_numpy_iterator()}
    if len(good) == count_records(records):
        return []
    return [source_id(record).numpy() for number, record in enumerate(records) if number not in good]
