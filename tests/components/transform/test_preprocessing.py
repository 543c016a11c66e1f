"""The preprocessing_fn through TFX's own Transform, and applied as the Trainer applies it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import tensorflow as tf

from components.transform import features as transformed
from components.transform import outputs
from components.transform.class_names import NoObjectsError
from schema import features

Run = Callable[..., str]
Apply = Callable[..., dict[str, tf.Tensor]]
Record = Callable[..., tf.train.Example]


def test_classes_are_alphabetical_boxes_clean_and_images_untouched(
    run_transform: Run, apply_transform: Apply, record: Record
) -> None:
    records = [
        record("a", [("zebra", (0.1, 0.2, 0.5, 0.6)), ("ant", (0.5, -0.1, 0.2, 0.4))]),
        record("b"),
        record("c", [("zebra", (0.1, 0.1, 0.1, 0.9)), ("zebra", (0.0, 0.0, 1.0, 1.0))]),
    ]
    directory = run_transform(records)

    assert list(outputs.class_names(directory)) == [(1, "ant"), (2, "zebra")]

    batch = apply_transform(directory, records)
    assert batch[transformed.IMAGE_ENCODED].numpy().tolist() == [b"\x7fnot decoded"] * 3
    assert batch[transformed.SOURCE_ID].numpy().tolist() == [b"a", b"b", b"c"]
    assert batch[transformed.HEIGHT].numpy().tolist() == [100] * 3
    assert batch[transformed.CLASS_INDEX].to_list() == [[1, 0], [], [1]]
    boxes = batch[transformed.BOXES_YXYX]
    assert boxes.dtype == tf.float32
    assert boxes.row_lengths().numpy().tolist() == [2, 0, 1]
    expected = [[0.1, 0.2, 0.5, 0.6], [0.2, 0.0, 0.5, 0.4], [0.0, 0.0, 1.0, 1.0]]
    assert boxes.values.numpy() == pytest.approx(tf.constant(expected).numpy())
    # The records hold none of the optional lists.
    assert batch[transformed.IS_CROWD].to_list() == [[0, 0], [], [0]]
    assert batch[transformed.DIFFICULT].to_list() == [[0, 0], [], [0]]
    assert batch[transformed.AREA].values.numpy() == pytest.approx([0.16 * 20000, 0.12 * 20000, 20000], rel=1e-5)

    for part in (records[1:2], []):
        empty = apply_transform(directory, part)
        assert empty[transformed.BOXES_YXYX].values.shape == (0, 4)
        assert empty[transformed.CLASS_INDEX].nrows() == len(part)


def test_given_label_map_keeps_its_ids_and_leaves_other_classes_out(
    run_transform: Run, apply_transform: Apply, record: Record
) -> None:
    full = (0.0, 0.0, 0.5, 0.5)
    records = [
        record(
            "a",
            [("car", full), ("tram", full), ("bus", full)],
            optional={features.OBJECT_IS_CROWD: [0, 0, 1], features.OBJECT_AREA: [7.0, 8.0, 9.0]},
        ),
    ]
    directory = run_transform(records, {"label_map": [[1, "person"], [3, "car"], [6, "bus"]]})
    assert list(outputs.class_names(directory)) == [(1, "person"), (3, "car"), (6, "bus")]
    batch = apply_transform(directory, records)
    assert batch[transformed.CLASS_INDEX].to_list() == [[2, 5]]
    assert batch[transformed.IS_CROWD].to_list() == [[0, 1]]
    assert batch[transformed.AREA].to_list() == [[7.0, 9.0]]


def test_a_split_without_objects_says_so(run_transform: Run, record: Record) -> None:
    with pytest.raises(Exception, match="no object with a usable box") as raised:
        run_transform([record("a"), record("b")])
    causes = [raised.value, raised.value.__cause__]
    assert any(isinstance(cause, NoObjectsError) for cause in causes)
