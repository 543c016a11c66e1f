"""A good export passes every check, in both loaders and from a server; one broken in any way fails the check of it."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

from schema.contract_report import ContractReport
from serving.clients.connection import Connection
from serving.contract.__main__ import main
from serving.contract.contract_check import check_contract
from serving.contract.options import ContractOptions
from serving.model_server import ModelServer, ServerSettings
from serving.models.models_config import ModelConfig
from tests.serving.contract.tiny_export import write_export, write_photos
from tests.serving.guard import Guard

FAST = ContractOptions(sides_pixels=(40, 80, 120), latency_runs=3, latency_batch_sizes=(1, 3))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_export(tmp_path_factory.mktemp("good"))


def failures(report: ContractReport) -> dict[str, str]:
    """What was found, by the name of the failed check."""
    return {check.name: check.found for check in report.failures}


def test_a_good_export_passes(good: pathlib.Path) -> None:
    report = check_contract(good, FAST)
    assert report.passed, failures(report)
    assert len(report.checks) == 12
    lines = {check.name: check.line for check in report.checks}
    assert lines["warm-up"] == "warm-up: 2 requests answered, batches of 1, 2"
    # In both loaders, of eight images twice and of one.
    assert lines["thresholds"] == "thresholds: 68 detections have those of 2 classes"
    assert lines["alone and in a batch"].endswith("the same 16 detections in 8 images of mixed sizes")
    assert [(latency.loader, latency.batch_size, latency.runs) for latency in report.latencies] == [
        ("C++ loader", 1, 3),
        ("C++ loader", 3, 3),
    ]
    assert all(0 < latency.p50 <= latency.p95 <= latency.p99 for latency in report.latencies)
    assert ContractReport.of_json(report.to_json()) == report


@pytest.mark.parametrize(
    ("broken", "check", "found"),
    [
        ("incomplete copy", "loads", "Python loader: "),
        ("no signature", "signatures", "no serving_tolerant in the C++ loader"),
        ("wrong type", "dtypes", "serving_default.detection_classes int32 instead of int64 in the Python loader"),
        ("fixed batch", "free batch dimension", "serving_tensor.images [1, -1, -1, 3]"),
        ("no warm-up", "warm-up", "no request"),
        ("damaged warm-up", "warm-up", "INVALID_ARGUMENT"),
        ("batch statistics", "alone and in a batch", "image 0: class 1 score"),
        ("evaluate sees other pixels", "agreement with evaluate", "Python loader, serving_default: image 0: class 1"),
        ("wrong names", "agreement with evaluate", "class 1 is called b'yield', in assets/labels.txt b'stop'"),
        ("two handles", "agreement with evaluate", "C++ loader, serving_default: FAILED_PRECONDITION"),
        (
            "thresholds in some signatures",
            "signatures",
            "no output detection_thresholds of serving_tolerant in",
        ),
        ("thresholds of padding", "thresholds", "image 0, row 2: padding has the threshold 0 instead of 1"),
        ("thresholds of other classes", "thresholds", "row 0: class 1 has the threshold 0.5 instead of none"),
        ("torn operating points", "thresholds", "assets.extra/operating_points.json cannot be read: JSONDecodeError"),
        ("no operating points", "thresholds", "detection_thresholds, but no assets.extra/operating_points.json"),
        ("no empty batch", "empty batch", "C++ loader, serving_default: INVALID_ARGUMENT"),
        ("rows for an empty batch", "empty batch", "detection_scores float32 of shape [1, 3]"),
        ("unnamed damage", "damaged image named", "Python loader, serving_default: INVALID_ARGUMENT"),
        ("wrong index", "damaged image named", "where images [1] are damaged"),
        ("no error", "damaged image fails alone", "image_errors for the images []"),
        ("detections in damaged images", "damaged image fails alone", "detections in the images [1, 3, 4]"),
    ],
)
def test_a_broken_export_fails_the_check_of_what_is_broken(
    tmp_path: pathlib.Path, broken: str, check: str, found: str
) -> None:
    report = check_contract(write_export(tmp_path, broken), FAST)
    assert not report.passed
    assert found in failures(report)[check]
    failed = next(one for one in report.failures if one.name == check)
    assert failed.line == f"{check}: found {failed.found}; expected {failed.expected}; {failed.advice}"
    assert failed.expected
    assert failed.advice
    # What is whole is not called broken: these are seen by one check alone.
    if broken in ("evaluate sees other pixels", "wrong names", "no empty batch", "wrong index"):
        assert list(failures(report)) == [check]


def test_an_export_from_before_there_were_thresholds_passes(tmp_path: pathlib.Path) -> None:
    report = check_contract(write_export(tmp_path, "no thresholds"), FAST)
    assert report.passed, failures(report)
    (line,) = (check.line for check in report.checks if check.name == "thresholds")
    assert line == "thresholds: none; clients believe what scores 0.5, whatever its class"


def test_an_answer_too_large_for_clients(good: pathlib.Path) -> None:
    report = check_contract(good, ContractOptions(latency_runs=0, max_reply_bytes=100))
    assert list(failures(report)) == ["reply size"]
    assert failures(report)["reply size"].endswith("KiB for a batch of 2")
    assert report.latencies == ()


def test_a_server_is_asked_the_same_and_one_with_another_model_is_found_out(
    good: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "1").symlink_to(good)
    server = ModelServer([ModelConfig("detector", tmp_path / "models")], ServerSettings(port=0, poll_seconds=3600))
    server.start()
    try:
        options = ContractOptions(sides_pixels=(40,), latency_runs=1, server=Connection(f"localhost:{server.port}"))
        report = check_contract(good, options)
        assert report.passed, failures(report)
        assert {latency.loader for latency in report.latencies} == {"C++ loader", f"server localhost:{server.port}"}
        (tmp_path / "other").mkdir()
        other = check_contract(write_export(tmp_path / "other", "wrong names"), options)
    finally:
        server.stop(grace_seconds=0)
    assert list(failures(other)) == ["agreement with evaluate"]
    gone = check_contract(good, options)
    assert "UNAVAILABLE" in failures(gone)["loads"]


def test_a_server_with_tls_and_a_token(
    good: pathlib.Path, tmp_path: pathlib.Path, guard: Guard, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "1").symlink_to(good)
    settings = ServerSettings(port=0, poll_seconds=3600, **guard.settings)
    server = ModelServer([ModelConfig("detector", tmp_path / "models")], settings)
    server.start()
    command = [str(good), "--sides", "40", "--latency_runs", "0", "--server", f"localhost:{server.port}"]
    try:
        assert main([*command, *guard.flags]) == 0
        assert f"Python loader, C++ loader, server localhost:{server.port}" in capsys.readouterr().out
        assert main([*command, *guard.flags_without_token]) == 1
        assert f"FAIL  loads: found server localhost:{server.port}: UNAUTHENTICATED" in capsys.readouterr().out
    finally:
        server.stop(grace_seconds=0)


def test_by_hand_in_a_process_of_its_own(tmp_path: pathlib.Path) -> None:
    model = write_export(tmp_path, "no warm-up")
    photos = [str(file) for file in write_photos(tmp_path, 3)]
    command = [sys.executable, "-X", "importtime", "-m", "serving.contract", str(model), "--latency_runs", "0"]
    done = subprocess.run(
        [*command, "--sides", "50", "--images", *photos, "--json", str(tmp_path / "report.json")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert "ok    empty batch: 8 answers with empty outputs" in lines
    assert next(line for line in lines if line.startswith("FAIL")).startswith("FAIL  warm-up: found ")
    assert lines[-1] == f"{model}: 2 of 12 checks failed"
    assert json.loads((tmp_path / "report.json").read_text())["passed"] is False
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "tensorflow" in imported
    assert "tfx" not in imported


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/nowhere"], "/nowhere: found no saved_model.pb"),
        (["{good}", "--images", "/nowhere.jpg"], "/nowhere.jpg is no file"),
        (["{good}", "--sides", "0"], "expected 1 or more"),
        (["{good}", "--server", "nowhere"], "argument --server: must be HOST:PORT"),
        (["{good}", "--token_file", "tokens"], "argument --token_file: means nothing without --server"),
    ],
)
def test_a_wrong_command_is_told_at_once(
    good: pathlib.Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([argument.format(good=good) for argument in arguments])
    assert message in capsys.readouterr().err


def test_a_file_that_is_no_image_is_named(good: pathlib.Path, tmp_path: pathlib.Path) -> None:
    text = tmp_path / "photo.jpg"
    text.write_text("no photo")
    assert str(text) in failures(check_contract(good, ContractOptions(images=(text,))))["images"]
