from __future__ import annotations

import collections

import pytest

from components.example_gen.annotations import DataError, Item, Source
from components.example_gen.settings import SplitSettings
from components.example_gen.splits import (
    SplitPolicy,
    hash_fraction,
    split_of_name,
    split_of_path,
    splits_of_files,
    splits_of_folders,
)

HASH_OF_A_NAME = 0.8035010488500651
"""Pinned: a changed hash would move images between splits from one release to the next."""


def item(name: str, split: str | None = None, **metadata) -> Item:
    return Item(name, name, split, "/data", (0, 0), metadata, name)


def sources(*splits: str | None) -> list[Source]:
    return [Source("/data", split or "unnamed", split) for split in splits]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("instances_val2017.json", "eval"),
        ("train.csv", "train"),
        ("valid", "eval"),
        ("_annotations.coco.json", None),
        ("constraint.json", None),
        ("train_val.json", None),
        ("custom_Train.json", "train"),
        ("VALIDATION-set.csv", "eval"),
        ("trainval.txt", "train"),
    ],
)
def test_split_of_name(name: str, split: str | None) -> None:
    assert split_of_name(name) == split


def test_split_of_path() -> None:
    assert split_of_path("Test/valid/_annotations.coco.json") == "eval"
    assert split_of_path("training_data/labels.json") is None


def test_a_word_in_a_folders_name_counts_where_it_makes_the_division_complete() -> None:
    complete = {"train_annot_folder": "train", "Valid_annots/deep": "eval", "test_annots": "test"}
    assert splits_of_folders(complete) == complete
    assert splits_of_folders(["test_drive", "train"]) == {"test_drive": None, "train": "train"}
    files = {"train_data/a.json": "train", "val_data/a.json": "eval"}
    assert splits_of_files(files) == files
    assert splits_of_files(["test_data/a.json"]) == {"test_data/a.json": None}


def test_given_splits_are_kept() -> None:
    policy = SplitPolicy.of_data(SplitSettings(), sources("train", "eval", "test"))
    assert policy.split_names == ["train", "eval", "test"]
    assert [policy.assign(item("x", split)) for split in ("train", "eval", "test")] == ["train", "eval", "test"]


def test_a_given_test_split_stays_one_when_the_rest_is_hashed() -> None:
    policy = SplitPolicy.of_data(SplitSettings(), sources("train", "test"))
    assert policy.split_names == ["train", "eval", "test"]
    assert policy.assign(item("x", "test")) == "test"
    assert {policy.assign(item(f"{i}", "train")) for i in range(50)} == {"train", "eval"}


def test_hash_keeps_the_ratios_and_never_changes() -> None:
    settings = SplitSettings(source="hash", ratios={"train": 7, "eval": 2, "test": 1})
    policy = SplitPolicy.of_data(settings, sources("train"))
    counts = collections.Counter(policy.assign(item(f"{i}.jpg", "train")) for i in range(2000))
    assert counts["train"] == pytest.approx(1400, rel=0.05)
    assert counts["eval"] == pytest.approx(400, rel=0.15)
    assert hash_fraction("images/ä 1.jpg", "") == pytest.approx(HASH_OF_A_NAME, abs=1e-12)
    assert hash_fraction("images/ä 1.jpg", "other") != hash_fraction("images/ä 1.jpg", "")


@pytest.mark.parametrize("settings", [SplitSettings(group_by="video"), SplitSettings(group_pattern=r"(.*)_f\d+")])
def test_groups_stay_together(settings: SplitSettings) -> None:
    policy = SplitPolicy.of_data(settings, sources(None))
    for video in range(30):
        splits = {policy.assign(item(f"v{video}_f{frame}.jpg", video=video)) for frame in range(10)}
        assert len(splits) == 1
    assert len({policy.assign(item(f"v{video}_f0.jpg", video=video)) for video in range(30)}) == 2


def test_only_what_is_hashed_needs_a_group() -> None:
    policy = SplitPolicy.of_data(SplitSettings(group_by="video"), sources("train", "test"))
    assert policy.lacks_group(item("x", "train", weather="fog"))
    assert not policy.lacks_group(item("x", "train", video=7))
    assert not policy.lacks_group(item("x", "test"))
    with pytest.raises(DataError, match=r"no image has a metadata column 'video' \(found: none\)"):
        policy.check_group([])


def test_given_must_be_given() -> None:
    with pytest.raises(DataError, match=r"the data names \['train'\]; expected train and eval"):
        SplitPolicy.of_data(SplitSettings(source="given"), sources("train"))


@pytest.mark.parametrize("named", [("train", "eval"), ("train", "eval", "test")])
@pytest.mark.parametrize("ratios", [{"train": 8, "eval": 2}, {"train": 8, "eval": 1, "test": 1}])
def test_what_the_data_names_no_split_for_is_named_instead(named: tuple[str, ...], ratios: dict[str, float]) -> None:
    partly = sources(*named, None, None)
    for source in ("auto", "given"):
        message = "for a part of it only: not for /data/unnamed, /data/unnamed .* set data.split.source to `hash`"
        with pytest.raises(DataError, match=message):
            SplitPolicy.of_data(SplitSettings(source=source, ratios=ratios), partly)
    hashed = SplitPolicy.of_data(SplitSettings(source="hash", ratios=ratios), partly)
    assert hashed.split_names == list(ratios)


def test_given_splits_are_the_only_ones() -> None:
    ratios = {"train": 8, "eval": 1, "test": 1}
    assert SplitPolicy.of_data(SplitSettings(ratios=ratios), sources("train", "eval")).split_names == ["train", "eval"]
