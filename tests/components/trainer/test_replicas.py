"""Devices and workers that share batches learn what one device learns from whole ones."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import socket
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest

from components.trainer.replicas import Replicas, check_divides, cluster_place, make_replicas
from components.trainer.state.progress_log import HISTORY_FILE
from components.user_error import UserError
from tests.components.trainer import shared_training
from tests.forked_program import CaughtProgram

PROGRAM = pathlib.Path(__file__).with_name("shared_training.py")
Squares = Callable[[str, int], str]


def start(records: str, folder: pathlib.Path, *more: str, tf_config: str = "{}") -> CaughtProgram:
    return CaughtProgram([str(PROGRAM), records, str(folder), *more], os.environ | {"TF_CONFIG": tf_config})


def end(*programs: CaughtProgram) -> list[tuple[int, str, str]]:
    return [(program.wait(), *outputs) for program in programs for outputs in [program.communicate(timeout=600)]]


def cluster(count: int) -> list[str]:
    """TF_CONFIG of each worker, on free ports of this machine."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    addresses = [f"localhost:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return [
        json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})
        for index in range(count)
    ]


def outcome(folder: pathlib.Path) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    history = [json.loads(line) for line in (folder / HISTORY_FILE).read_text().splitlines()]
    arrays: dict[str, np.ndarray] = {}
    with h5py.File(folder / "final.weights.h5") as file:
        file.visititems(lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return history, arrays


def assert_same_outcome(one: pathlib.Path, other: pathlib.Path) -> None:
    (history, weights), (expected_history, expected) = outcome(one), outcome(other)
    assert [entry["step"] for entry in history] == [entry["step"] for entry in expected_history]
    for entry, like in zip(history, expected_history, strict=True):
        if "losses" in like:
            assert entry["losses"] == pytest.approx(like["losses"], rel=1e-3)
    assert weights.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(weights[name], values, atol=1e-3)


def test_two_devices_in_two_parts_learn_what_one_does_also_after_a_kill(
    squares: Squares, tmp_path: pathlib.Path
) -> None:
    records = squares("train", 10)
    devices = ("CPU:0,CPU:1", "2")
    [(status, _, errors)] = end(start(records, tmp_path / "two", *devices, "4"))
    assert status == -signal.SIGKILL, errors
    [(status, output, errors)] = end(start(records, tmp_path / "two", *devices))
    assert status == 0, errors
    assert "starts at step 3" in output
    shared_training.main(records, str(tmp_path / "one"), "auto", 1, None)
    assert_same_outcome(tmp_path / "two-0", tmp_path / "one-0")


def test_two_workers_learn_what_one_does_and_a_killed_one_is_named(squares: Squares, tmp_path: pathlib.Path) -> None:
    records = squares("train", 10)
    chief, worker = cluster(2)
    folder = tmp_path / "two"
    (status, _, errors), (killed, *_) = end(
        start(records, folder, "auto", "1", tf_config=chief), start(records, folder, "auto", "1", "4", tf_config=worker)
    )
    assert killed == -signal.SIGKILL
    assert status == 2, errors
    assert "worker 0 of 2 gets no answer from another one any more" in errors
    assert "last checkpoint" in errors

    chief, worker = cluster(2)
    both = end(*(start(records, folder, "auto", "1", tf_config=each) for each in (chief, worker)))
    for number, (status, output, errors) in enumerate(both):
        assert status == 0, errors
        assert f"worker {number} of 2 starts at step 4" in output
    shared_training.main(records, str(tmp_path / "one"), "auto", 1, None)
    assert_same_outcome(tmp_path / "two-0", tmp_path / "one-0")
    assert (folder / "checkpoint").exists()
    assert not list(folder.parent.glob("two-1/*.npz"))


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ("", (0, 1)),
        ("{}", (0, 1)),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}', (1, 2)),
        ('{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}', (1, 2)),
        ('{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "chief", "index": 0}}', (0, 2)),
    ],
)
def test_the_place_among_workers(monkeypatch: pytest.MonkeyPatch, config: str, place: tuple[int, int]) -> None:
    monkeypatch.setenv("TF_CONFIG", config)
    assert cluster_place() == place


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("chief", "expected JSON such as .* found 'chief'"),
        ('{"cluster": {"worker": ["a:1"]}}', "'task'"),
        (
            '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
            "only tasks `chief` and `worker` train, found ps",
        ),
    ],
)
def test_a_cluster_that_is_none(monkeypatch: pytest.MonkeyPatch, config: str, message: str) -> None:
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(UserError, match=message):
        cluster_place()


def test_workers_are_too_late_once_tensorflow_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    np.testing.assert_allclose(shared_training.tf.ones(()).numpy(), 1.0)
    monkeypatch.setenv("TF_CONFIG", cluster(2)[0])
    with pytest.raises(UserError, match="in a process of its own"):
        make_replicas("auto")


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"train\.devices: found GPU:7; this machine has CPU:0"):
        make_replicas(("CPU:0", "GPU:7"))


def test_images_divide_evenly() -> None:
    check_divides(Replicas(), 12, 3)
    with pytest.raises(UserError, match=r"found 12, expected a multiple of 10: 2 worker\(s\) with 1 device"):
        check_divides(Replicas(worker=0, workers=2), 12, 5)
