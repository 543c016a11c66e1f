"""Which images are chosen to calibrate on, and what becomes of them."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from components.detector.detector import Detector
from components.export.calibration import calibration_images, choose
from components.image_decoding import decode_upright

_images = st.dictionaries(
    st.binary(min_size=1, max_size=4), st.frozensets(st.sampled_from([b"car", b"bus", b"van"])), max_size=30
)


@given(classes=_images, count=st.integers(0, 12), seed=st.integers(0, 3), order=st.randoms())
def test_as_many_as_asked_for_each_once_whatever_their_order(classes, count, seed, order) -> None:
    chosen = choose(classes, count=count, seed=seed)
    assert len(chosen) == len(set(chosen)) == min(count, len(classes))
    assert set(chosen) <= set(classes)
    mixed = list(classes.items())
    order.shuffle(mixed)
    assert choose(dict(mixed), count=count, seed=seed) == chosen


@given(classes=_images, count=st.integers(4, 12), seed=st.integers(0, 3))
def test_no_class_is_left_out_while_there_is_room(classes, count, seed) -> None:
    shown = frozenset().union(*(classes[image] for image in choose(classes, count=count, seed=seed)))
    assert shown == frozenset().union(*classes.values())


def test_a_rare_class_and_empty_images_are_as_good_as_a_common_one() -> None:
    classes = {b"%d" % n: frozenset([b"car"]) for n in range(100)}
    classes |= {b"bus %d" % n: frozenset([b"bus"]) for n in range(4)}
    classes |= {b"empty %d" % n: frozenset() for n in range(100)}
    chosen = choose(classes, count=30, seed=0)
    kinds = [sum(image.startswith(start) for image in chosen) for start in (b"bus", b"empty")]
    assert kinds == [4, 13]
    assert choose(classes, count=30, seed=1) != chosen


def test_images_are_decoded_and_resized_as_the_detector_does(
    tmp_path: pathlib.Path,
    make_detector: Callable[[], Detector],
    make_record: Callable[..., bytes],
    make_square: Callable[..., tuple],
) -> None:
    detector = make_detector()
    squares = {str(number): make_square(number) for number in range(8)}
    files = [str(tmp_path / f"{shard}.gz") for shard in range(2)]
    for shard, file in enumerate(files):
        with tf.io.TFRecordWriter(file, "GZIP") as writer:
            for name, (encoded, box, class_index) in list(squares.items())[shard::2]:
                writer.write(make_record(encoded, name, [box], [class_index]))
    images = calibration_images(files, detector, count=4, seed=0)
    chosen = choose(
        {name.encode(): frozenset([b"red" if index == 0 else b"green"]) for name, (_, _, index) in squares.items()},
        count=4,
        seed=0,
    )
    for image, name in zip(images, chosen, strict=True):
        pixels, share = detector.resize(decode_upright(squares[name.decode()][0]))
        np.testing.assert_array_equal(image.pixels, pixels)
        np.testing.assert_array_equal(image.valid_height_width, share)
        assert image.pixels.dtype == np.float32
    assert len(calibration_images(files[:1], detector, count=99, seed=0)) == 4


def test_no_records_are_an_error(tmp_path: pathlib.Path, make_detector: Callable[[], Detector]) -> None:
    with tf.io.TFRecordWriter(str(tmp_path / "0.gz"), "GZIP"):
        pass
    with pytest.raises(ValueError, match=r"no records to calibrate on in .*0\.gz"):
        calibration_images([str(tmp_path / "0.gz")], make_detector(), count=4, seed=0)
