"""Images that a network in 8-bit integers is calibrated on: some of the training split, every class alike.

The range of an activation is what these images bring about, so that rare classes must be among them, and one image is
nearly as good as a hundred of its kind. The same records give the same images, in however many files they are.
"""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import tensorflow as tf

from components.detector.detector import Detector
from components.export.device_network import CanvasImage
from components.image_decoding import decode_upright
from schema import features

_PARSED_AT_ONCE: Final = 256
_EMPTY: Final = b""
"""The class of images without objects."""


def calibration_images(files: Sequence[str], detector: Detector, *, count: int, seed: int) -> list[CanvasImage]:
    """Chooses images as ``choose`` does and brings them to the canvas.

    Args:
      files: gzipped TFRecords, as the ExampleGen writes them and ``record_reading.record_files`` finds them.
      detector: whose ``resize`` is used.
      count: images at most.
      seed: other seeds choose other images.

    Raises:
      ValueError: the files hold no records.
    """
    classes = {source_id: names for source_id, names, _ in _records(files)}
    if not classes:
        raise ValueError(f"no records to calibrate on in {', '.join(files) or 'no files'}")
    chosen = dict.fromkeys(choose(classes, count=count, seed=seed))
    found: dict[bytes, CanvasImage] = {}
    for source_id, _, encoded in _records(files):
        if source_id in chosen:
            pixels, share = detector.resize(decode_upright(encoded))
            found[source_id] = CanvasImage(pixels.numpy(), share.numpy())
    return [found[source_id] for source_id in chosen]


def choose(classes: Mapping[bytes, frozenset[bytes]], *, count: int, seed: int) -> list[bytes]:
    """Images in which every class is there as often as can be.

    Class by class, always the one that fewest of the chosen images show, an image that shows it is added. Images
    without objects are a class, too.

    Args:
      classes: by image, the names of the classes that it shows.
      count: images at most.
      seed: decides which of equal ones.

    Returns:
      Images, in the order that they were chosen in.
    """
    ranks = {image: hashlib.sha256(b"%d/%b" % (seed, image)).digest() for image in classes}
    waiting: dict[bytes, list[bytes]] = collections.defaultdict(list)
    for image in sorted(classes, key=ranks.__getitem__, reverse=True):
        for name in classes[image] or {_EMPTY}:
            waiting[name].append(image)
    shown: collections.Counter[bytes] = collections.Counter()
    chosen: dict[bytes, None] = {}
    while waiting and len(chosen) < count:
        rarest = min(waiting, key=lambda name: (shown[name], name))
        image = waiting[rarest].pop()
        if not waiting[rarest]:
            del waiting[rarest]
        if image not in chosen:
            chosen[image] = None
            shown.update(classes[image] or {_EMPTY})
    return list(chosen)


def _records(files: Sequence[str]) -> Iterator[tuple[bytes, frozenset[bytes], bytes]]:
    """Source id, names of the classes and encoded image of every record."""
    specification = {
        features.IMAGE_SOURCE_ID: tf.io.FixedLenFeature([], tf.string),
        features.IMAGE_ENCODED: tf.io.FixedLenFeature([], tf.string),
        features.OBJECT_CLASS_TEXT: tf.io.RaggedFeature(tf.string, row_splits_dtype=tf.int64),
    }
    for batch in tf.data.TFRecordDataset(list(files), compression_type="GZIP").batch(_PARSED_AT_ONCE):
        parsed = tf.io.parse_example(batch, specification)
        yield from zip(
            parsed[features.IMAGE_SOURCE_ID].numpy().tolist(),
            (frozenset(names) for names in parsed[features.OBJECT_CLASS_TEXT].to_list()),
            parsed[features.IMAGE_ENCODED].numpy().tolist(),
            strict=True,
        )
