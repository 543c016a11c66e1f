"""Which run is meant, and where the runs are."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest

from pipeline.config import load_config
from pipeline.past_runs.run_store import NoRunError, RunStore
from tests.components.report.fake_run import FakeRun

IDS = ("2026-11-28T07:00:00.1", "2026-11-29T07:00:00.2", "2026-11-29T08:00:00.3")


@pytest.fixture
def store(tmp_path: pathlib.Path) -> RunStore:
    root = tmp_path / "signs"
    root.mkdir()
    run = FakeRun(root)
    for number, run_id in enumerate(IDS):
        context = run.node(run_id, "ObjectDetectionExampleGen")
        assert context == number + 1
    run.node("another", "ObjectDetectionExampleGen", pipeline="another")
    return RunStore.of_folder(root)


def test_a_run_by_its_id_by_a_part_of_it_and_the_latest(store: RunStore) -> None:
    newest = store.read()[0].run_id
    assert store.find("latest").run_id == newest
    assert store.find(IDS[1]).run_id == IDS[1]
    assert store.find("28T07").run_id == IDS[0]


def test_an_id_that_is_part_of_another_one_is_that_run(tmp_path: pathlib.Path) -> None:
    (tmp_path / "signs").mkdir()
    run = FakeRun(tmp_path / "signs")
    for run_id in ("run-1", "run-10"):
        run.node(run_id, "ObjectDetectionExampleGen")
    assert RunStore.of_folder(tmp_path / "signs").find("run-1").run_id == "run-1"


def test_what_is_said_of_an_id_that_is_none_or_several(store: RunStore) -> None:
    with pytest.raises(NoRunError, match="is part of 2 ids of runs") as several:
        store.find("11-29")
    assert IDS[1] in str(several.value) and IDS[0] not in str(several.value)
    with pytest.raises(NoRunError, match="has 'another' in its id; there are:") as none:
        store.find("another")
    assert all(run_id in str(none.value) for run_id in IDS)


def test_many_runs_are_not_all_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "signs").mkdir()
    run = FakeRun(tmp_path / "signs")
    for number in range(13):
        run.node(f"run-{number}", "ObjectDetectionExampleGen")
    with pytest.raises(NoRunError, match="and 3 older ones"):
        RunStore.of_folder(tmp_path / "signs").find("nothing")


def test_no_store_and_no_runs(tmp_path: pathlib.Path) -> None:
    with pytest.raises(NoRunError, match=r"signs/metadata.sqlite: not there: the pipeline 'signs' has not run"):
        RunStore.of_folder(tmp_path / "signs").find("latest")
    (tmp_path / "signs").mkdir()
    FakeRun(tmp_path / "signs")
    with pytest.raises(NoRunError, match="has no runs"):
        RunStore.of_folder(tmp_path / "signs").find("latest")


def test_a_config_and_its_folder_are_one_store(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "signs.yaml"
    file.write_text(f"name: signs\nroot: {tmp_path}/runs\ndata: {{format: coco, path: data}}\n")
    of_config = RunStore.of_config(load_config(file))
    assert of_config.card is not None
    # A folder knows no words for the model card.
    assert dataclasses.replace(of_config, card=None) == RunStore.of_folder(tmp_path / "runs" / "signs")
