"""Pairs of batches: what needs annotations is done to the annotated ones alone; a step has its batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.input.record_parser import parse_clean_records
from components.trainer.settings import SamplingSettings, TrainSettings
from components.trainer.strategies.adaptation.adaptation_batch import AdaptationBatch, adaptation_batches
from components.trainer.strategies.strategy import TrainingInputs
from schema.label_map import LabelMap
from tests.components.trainer.tiny_detector import TinyDetector


@pytest.fixture
def inputs(
    squares: Callable[[str, int], str],
    write_records: Callable[..., str],
    make_record: Callable[..., bytes],
    make_square: Callable[..., tuple[bytes, list[float], int]],
) -> TrainingInputs:
    target = [make_record(make_square(number)[0], f"target/{number}", [], []) for number in range(20, 27)]
    settings = TrainSettings(batch_size=3, sampling=SamplingSettings(repeat_threshold=0.9))
    settings = settings.model_copy(
        update={"augmentation": settings.augmentation and settings.augmentation.model_copy(update={"copy_paste": 1.0})}
    )
    return TrainingInputs(
        settings,
        LabelMap.of_names("ab"),
        AnnotatedRecords([squares("train", 8)], parse_clean_records),
        "",
        target_records=AnnotatedRecords([write_records("target", target)], parse_clean_records),
    )


def batches(inputs: TrainingInputs, start: int, count: int) -> list[AdaptationBatch]:
    return list(adaptation_batches(TinyDetector(), inputs, 10, start).take(count))


def test_the_target_shows_no_objects_whatever_is_done_to_the_source(inputs: TrainingInputs) -> None:
    for batch in batches(inputs, 0, 3):
        assert batch.target.truth.weights.numpy().sum() == 0.0
        assert batch.source.truth.weights.numpy().sum() > 0.0


def test_a_batch_is_that_of_its_step(inputs: TrainingInputs) -> None:
    whole, resumed = batches(inputs, 0, 4), batches(inputs, 2, 2)
    assert [int(batch.step) for batch in resumed] == [2, 3]
    for one, other in zip(whole[2:], resumed, strict=True):
        np.testing.assert_array_equal(one.source.images.numpy(), other.source.images.numpy())
        np.testing.assert_array_equal(one.target.images.numpy(), other.target.images.numpy())
        np.testing.assert_array_equal(one.target.colour_maps.numpy(), other.target.colour_maps.numpy())


def test_without_a_target_there_is_nothing_to_adapt_to(inputs: TrainingInputs) -> None:
    alone = TrainingInputs(inputs.settings, inputs.label_map, inputs.records, "")
    with pytest.raises(ValueError, match=r"the config has no data\.target"):
        adaptation_batches(TinyDetector(), alone, 0, 0)
