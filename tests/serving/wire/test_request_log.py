"""The request log: what readers find, what is dropped, and what it survives."""

from __future__ import annotations

import pathlib
import shutil
import time
from collections.abc import Callable

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2, prediction_service_pb2_grpc

from serving.wire import request_log
from serving.wire.request_log import LogFiles, RequestLog
from serving.wire.request_sampling import RequestLogSettings
from tests.serving.tiny_detector import jpeg, predict_request
from tests.serving.wire.door import http, open_door


def _answer(size: int = 10) -> tuple[predict_pb2.PredictRequest, predict_pb2.PredictResponse, float]:
    response = predict_pb2.PredictResponse()
    response.model_spec.name = "detector"
    response.model_spec.version.value = 3
    return predict_request(bytes(size)), response, 1.0


def _logs(folder: pathlib.Path) -> list[prediction_log_pb2.PredictionLog]:
    files = sorted(map(str, folder.glob("*.tfrecord")))
    return [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in (tf.data.TFRecordDataset(files) if files else ())
    ]


def _wait(is_done: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not is_done() and time.monotonic() < until:
        time.sleep(0.01)
    assert is_done()


def test_a_server_logs_request_response_and_the_version_that_answered(
    tmp_path: pathlib.Path, push: Callable[[int], pathlib.Path]
) -> None:
    push(1)
    folder = tmp_path / "log"
    with open_door(tmp_path, request_log=RequestLogSettings(folder, 1.0)) as running:
        with grpc.insecure_channel(f"localhost:{running.port}") as channel:
            prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(predict_request(jpeg()))
        assert http(running, "/v1/models/cat:predict", {"inputs": []})[0] == 404
        # A file that grows is not a reader's.
        assert not _logs(folder)
        running.stop(grace_seconds=10)
    (log,) = _logs(folder)
    assert log.predict_log.request == predict_request(jpeg())
    assert "detection_boxes" in log.predict_log.response.outputs
    assert log.log_metadata.model_spec.version.value == 1
    assert log.log_metadata.sampling_config.sampling_rate == 1.0


def test_files_end_by_size_and_the_disk_is_bounded(tmp_path: pathlib.Path) -> None:
    left_behind = tmp_path / "requests-20260101T000000-dead-1-000001.tfrecord.part"
    left_behind.write_bytes(bytes(1 << 20))
    # Of another log in the same folder, whose prefix begins like this one's.
    other = tmp_path / "requests-night-20260101T000000-a-1-000001.tfrecord"
    other.write_bytes(bytes(1 << 20))
    log = RequestLog(LogFiles(tmp_path, max_mib=0.5, file_mib=0.1), pytest.fail)
    for _ in range(20):
        log.write_later(*_answer(60_000))
    log.stop(30)
    assert other.exists()
    files = [path for path in tmp_path.iterdir() if path != other]
    assert len(files) > 2 and all(path.suffix == ".tfrecord" for path in files)
    assert sum(path.stat().st_size for path in files) <= 1 << 19


def test_a_queue_that_is_full_drops_and_says_so(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_log, "_QUEUED_BYTES", 1000)
    dropped: list[str] = []
    log = RequestLog(LogFiles(tmp_path), dropped.append)
    log.write_later(*_answer(2000))
    log.write_later(*_answer(10))
    log.stop(30)
    assert dropped == ["queue"] and len(_logs(tmp_path)) == 1


def test_a_disk_that_fails_is_logged_once_and_survived(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "log"
    dropped: list[str] = []
    log = RequestLog(LogFiles(folder), dropped.append)
    shutil.rmtree(folder)
    for _ in range(3):
        log.write_later(*_answer())
    _wait(lambda: len(dropped) == 3)
    folder.mkdir()
    log.write_later(*_answer())
    log.stop(30)
    assert dropped == ["disk"] * 3
    assert sum("request log cannot be written" in record.message for record in caplog.records) == 1
    assert len(_logs(folder)) == 1
