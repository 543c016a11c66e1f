"""The variants are configs, and the merged data have every box."""

from __future__ import annotations

import pathlib

import pytest
import yaml
from PIL import Image

from benchmarks.small_objects import VARIANTS, config_of, write_one_class
from components.example_gen.settings import DataSettings
from pipeline.config import check_config
from pipeline.config_document import ConfigDocument
from pipeline.doctor.survey import survey


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_a_config(variant: str) -> None:
    config = check_config(ConfigDocument(yaml.safe_dump(config_of(variant, 1, steps=7)), "variant"))
    assert config.train.steps == 7
    assert config.train.seed == 1


def test_names_differ() -> None:
    assert len({config_of(variant, 0)["name"] for variant in VARIANTS}) == len(VARIANTS)


def test_everything_is_of_one_class(tmp_path: pathlib.Path) -> None:
    source = tmp_path / "signs"
    for split in ("train", "valid", "test"):
        for kind in ("images", "labels"):
            (source / split / kind).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (40, 30), (number, 0, 0)).save(source / split / "images" / f"{split}{number}.png")
            rows = f"{number} 0.5 0.5 0.2 0.2\n2 0.2 0.2 0.1 0.1\n"
            (source / split / "labels" / f"{split}{number}.txt").write_text(rows)
    write_one_class(source, tmp_path / "merged")
    write_one_class(source, tmp_path / "merged")
    looked = survey(DataSettings(format="yolo", path=str(tmp_path / "merged")))
    assert looked.classes == {"sign": 18}
    assert {split: profile.images for split, profile in looked.profiles.items()} == {"train": 3, "eval": 3, "test": 3}
