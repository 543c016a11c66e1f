"""The node: a good model is blessed, a broken one is not and says why, one that was not blessed is not looked at."""

from __future__ import annotations

import logging
import pathlib
import shutil
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from tfx.components.util import model_utils
from tfx.types import standard_artifacts

from components.code_digest import reachable_modules
from components.serving_contract import contract_process
from components.serving_contract.component import ServingContract
from components.serving_contract.contract_process import run_contract_check
from components.serving_contract.executor import Executor
from components.serving_contract.settings import ContractSettings
from schema import features
from schema.contract_report import ContractReport
from serving.contract.options import ContractOptions
from serving.contract.probe_images import as_png
from tests.serving.contract.tiny_export import write_export

FAST = ContractSettings(sides_pixels=[40, 80], images=3, latency_runs=2, latency_batch_sizes=[1])
MODEL_ID = 7

Run = Callable[..., standard_artifacts.InfraBlessing]


@pytest.fixture
def run_node(tmp_path: pathlib.Path) -> Run:
    """Runs the node on an export that is broken in a way, or not, and gives its output."""

    def run(broken: str, blessed: int = 1) -> standard_artifacts.InfraBlessing:
        (tmp_path / "export").mkdir()
        shutil.copytree(write_export(tmp_path / "export", broken), tmp_path / "model" / "Format-Serving")
        records = tmp_path / "examples" / "Split-eval" / "data_tfrecord-00000-of-00001.gz"
        records.parent.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(records), "GZIP") as writer:
            for number in range(4):
                example = tf.train.Example()
                pixels = np.full((30, 40 + number, 3), (220 - 50 * number, 50 * number, 80), np.uint8)
                example.features.feature[features.IMAGE_ENCODED].bytes_list.value.append(as_png(pixels))
                writer.write(example.SerializeToString())
        artifacts = {
            "examples": standard_artifacts.Examples(),
            "model": standard_artifacts.Model(),
            "model_blessing": standard_artifacts.ModelBlessing(),
            "infra_blessing": standard_artifacts.InfraBlessing(),
        }
        for name, artifact in artifacts.items():
            artifact.uri = str(tmp_path / name)
            pathlib.Path(artifact.uri).mkdir(exist_ok=True)
        artifacts["model"].id = MODEL_ID
        artifacts["model_blessing"].set_int_custom_property("blessed", blessed)
        output = artifacts.pop("infra_blessing")
        inputs = {name: [artifact] for name, artifact in artifacts.items()}
        Executor().Do(inputs, {"infra_blessing": [output]}, {"settings": FAST.model_dump_json()})
        return output

    return run


def read(blessing: standard_artifacts.InfraBlessing) -> ContractReport:
    return ContractReport.of_json((pathlib.Path(blessing.uri) / "contract.json").read_text(encoding="utf-8"))


def test_a_good_model_is_blessed_and_its_latencies_are_kept(run_node: Run) -> None:
    blessing = run_node("")
    report = read(blessing)
    assert model_utils.is_infra_validated(blessing), report.failures
    assert [(latency.batch_size, latency.runs) for latency in report.latencies] == [(1, 2)]
    assert blessing.get_int_custom_property("current_model_id") == MODEL_ID


def test_a_broken_model_is_not_blessed_and_says_why(run_node: Run) -> None:
    blessing = run_node("no empty batch")
    assert not model_utils.is_infra_validated(blessing)
    assert [check.name for check in read(blessing).failures] == ["empty batch"]
    assert blessing.get_int_custom_property("current_model_id") == MODEL_ID


def test_a_model_that_is_not_blessed_is_not_looked_at(run_node: Run) -> None:
    blessing = run_node("", blessed=0)
    assert not model_utils.is_infra_validated(blessing)
    assert not list(pathlib.Path(blessing.uri).iterdir())


@pytest.mark.parametrize(
    ("program", "seconds", "found", "advice"),
    [
        ("import os, signal; print('loading', flush=True); os.kill(os.getpid(), signal.SIGSEGV)", 60, "SIGSEGV", "run"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 60, "SIGKILL", "give the node more memory"),
        ("raise SystemExit('no such flag')", 60, "status 1, after it said: no such flag", "run `python -m"),
        ("import time; print('loading', flush=True); time.sleep(60)", 1, "no end after 1 s", "raise push"),
    ],
    ids=["crash", "killed", "error", "hangs"],
)  # fmt: skip
def test_a_process_without_an_answer_is_a_failed_check(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, program: str, seconds: int, found: str, advice: str
) -> None:
    (tmp_path / "contract_program.py").write_text(program)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(contract_process, "PROGRAM", "contract_program")
    report = run_contract_check(tmp_path, [], ContractSettings(timeout_seconds=seconds), tmp_path)
    assert not report.passed
    [failure] = report.failures
    assert found in failure.found
    assert failure.advice.startswith(advice)


def test_what_the_process_says_is_in_the_log_of_the_run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "contract_program.py").write_text("print('ok    empty batch')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(contract_process, "PROGRAM", "contract_program")
    with caplog.at_level(logging.INFO, logger="absl"):
        run_contract_check(tmp_path, [], ContractSettings(), tmp_path)
    assert "ok    empty batch" in caplog.text


def test_its_code_is_part_of_what_the_cache_sees() -> None:
    reached = reachable_modules(ServingContract.__module__)
    assert {"serving.contract.contract_check", "serving.models.cpp_session", "schema.exported_model"} <= reached


def test_settings_are_what_the_program_defaults_to() -> None:
    ours, theirs = ContractSettings(), ContractOptions()
    for name in ("sides_pixels", "latency_batch_sizes"):
        assert tuple(getattr(ours, name)) == getattr(theirs, name)
    for name in ("latency_runs", "max_reply_bytes"):
        assert getattr(ours, name) == getattr(theirs, name)
