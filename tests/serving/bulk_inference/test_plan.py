"""What a run is made of."""

from __future__ import annotations

import itertools
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.bulk_inference import plan
from serving.bulk_inference.errors import BulkError
from serving.bulk_inference.plan import Plan, Settings, parts_of

SETTINGS = Settings("images", ("a b/*.jpg",), "models", 0.25, 1000)


@given(count=st.integers(1, 40_000), batch_images=st.integers(1, 600))
def test_parts_are_whole_batches_in_order(count: int, batch_images: int) -> None:
    paths = [f"{number}.jpg" for number in range(count)]
    parts = list(parts_of("images", paths, batch_images))
    assert list(itertools.chain.from_iterable(part.files for part in parts)) == paths
    assert [part.number for part in parts] == list(range(len(parts)))
    assert all(paths[part.first_id - 1] == part.files[0] for part in parts)
    assert all(len(part.files) % batch_images == 0 for part in parts[:-1])
    # Enough parts for many workers, none that is much to lose.
    assert len(parts) >= min(128, -(-count // batch_images))
    assert max(len(part.files) for part in parts) <= max(512, batch_images)


def test_files_of_records_have_numbers_apart() -> None:
    first, second = parts_of("records", ["a", "b"], 8)
    assert (first.files, first.first_id) == (("a",), 10_000_001)
    assert (second.files, second.first_id) == (("b",), 20_000_001)


def test_what_is_written_is_read(tmp_path: pathlib.Path) -> None:
    folder = str(tmp_path)
    assert plan.read_plan(folder) is None
    # A name that is no UTF-8.
    paths = ["straße.jpg", "\udcff.jpg", "c.jpg"]
    parts = list(parts_of("images", paths, 1))
    made = Plan(SETTINGS, len(parts), 3, "models/7", 7)
    plan.write_plan(folder, made, iter(parts))
    assert plan.read_plan(folder) == made
    assert [plan.read_part(folder, place) for place in plan.part_places(folder)] == parts
    assert [path.name for path in tmp_path.iterdir()] == ["plan.jsonl"]


def test_a_plan_of_something_else_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "plan.jsonl").write_text('{"settings": {"kind": "images"}}\n')
    with pytest.raises(BulkError, match="is no plan of this release"):
        plan.read_plan(str(tmp_path))
    with pytest.raises(BulkError, match="out was begun with kind 'records', now it is 'images'"):
        plan.check_same(Settings("records", ("a b/*.jpg",), "models", 0.25, 1000), SETTINGS, "out")
    plan.check_same(SETTINGS, SETTINGS, "out")
