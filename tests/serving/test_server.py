"""The server as a process: what it says when it cannot start, health, and how it ends."""

from __future__ import annotations

import pathlib
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc, prediction_service_pb2_grpc

from serving import server as server_module
from serving.model_server import ModelServer, PortError, ServerSettings
from serving.models.batching_parameters import BatchingParameters
from serving.models.loaded_model import LoadedModel
from serving.models.models_config import ModelConfig
from serving.models.runnable import Array, Call
from tests.serving.tiny_detector import jpeg, predict_request


def _server(folder: pathlib.Path, **settings: Any) -> ModelServer:
    given = {"port": 0, "poll_seconds": 3600, **settings}
    return ModelServer([ModelConfig("detector", folder / "models")], ServerSettings(**given))


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        (lambda folder: None, "no such folder"),
        (lambda folder: folder.mkdir(), "holds no complete version"),
        (lambda folder: (folder / "1").mkdir(parents=True), "found 1"),
        (lambda folder: folder.write_text(""), "is not a folder"),
        (lambda folder: (folder.mkdir(), (folder / "saved_model.pb").touch()), "is itself a SavedModel"),
    ],
)
def test_a_folder_without_a_model_is_said_before_anything_is_loaded(
    tmp_path: pathlib.Path, prepare: Callable[[pathlib.Path], object], expected: str
) -> None:
    folder = tmp_path / "models"
    prepare(folder)
    with pytest.raises(SystemExit, match=expected):
        server_module.main(["--model_base_path", str(folder)])


def test_a_taken_port_is_said(server: ModelServer, tmp_path: pathlib.Path) -> None:
    with pytest.raises(PortError, match=f"cannot listen on 127.0.0.1:{server.port}"):
        _server(tmp_path, port=server.port)


def test_health_follows_the_model(tmp_path: pathlib.Path, push: Callable[[int], pathlib.Path]) -> None:
    running = _server(tmp_path)
    running.start()
    try:
        with grpc.insecure_channel(f"localhost:{running.port}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service="tensorflow.serving.PredictionService")
            assert health.Check(request).status == health_pb2.HealthCheckResponse.NOT_SERVING
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            with pytest.raises(grpc.RpcError, match="served here: nothing yet"):
                stub.Predict(predict_request(jpeg()))
            push(1)
            running.servables.look(trust_files=True)
            assert health.Check(request).status == health_pb2.HealthCheckResponse.SERVING
    finally:
        running.stop(grace_seconds=0)


def test_when_all_batches_run_and_the_queue_is_full_the_next_is_refused_and_statuses_are_answered(
    tmp_path: pathlib.Path, push: Callable[[int], pathlib.Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    push(1)
    batching = BatchingParameters(max_batch_size=1, num_batch_threads=20, max_enqueued_batches=4)
    running = _server(tmp_path, batching=batching)
    running.start()
    run, begun, gate = LoadedModel.run, threading.Semaphore(0), threading.Event()

    def waiting_run(model: LoadedModel, call: Call) -> dict[str, Array]:
        begun.release()
        gate.wait(60)
        return run(model, call)

    monkeypatch.setattr(LoadedModel, "run", waiting_run)
    try:
        with grpc.insecure_channel(f"localhost:{running.port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            answers = []
            for _ in range(batching.num_batch_threads):
                answers.append(stub.Predict.future(predict_request(jpeg())))
                assert begun.acquire(timeout=10)
            answers += [stub.Predict.future(predict_request(jpeg())) for _ in range(batching.max_waiting_images + 1)]
            ended: queue.Queue[grpc.Future] = queue.Queue()
            for answer in answers:
                answer.add_done_callback(ended.put)
            assert ended.get(timeout=10).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            request = get_model_status_pb2.GetModelStatusRequest()
            request.model_spec.name = "detector"
            assert model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, timeout=10)
            gate.set()
            assert sum(answer.code() == grpc.StatusCode.OK for answer in answers) == len(answers) - 1
    finally:
        gate.set()
        running.stop(grace_seconds=0)


def test_the_process_serves_without_tfx_and_ends_on_sigterm(
    tmp_path: pathlib.Path, push: Callable[[int], pathlib.Path]
) -> None:
    push(1)
    script = (
        "import sys; from serving import server; server.main(sys.argv[1:]);"
        "print('tfx' in sys.modules, 'components' in sys.modules)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "--model_base_path", str(tmp_path / "models"), "--port", "0"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        listening = next(line for line in process.stderr if "listening on" in line)
        port = int(listening.rsplit(":", 1)[1])
        with grpc.insecure_channel(f"localhost:{port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            assert stub.Predict(predict_request(jpeg()), timeout=60).model_spec.version.value == 1
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert output.strip() == "False False"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--rest_api_port", "70000"], "argument --rest_api_port: must be 0 to 65535"),
        (["--monitoring_config_file", __file__], "give --rest_api_port"),
        (["--enable_cors_support"], "means nothing without --rest_api_port"),
        (["--ssl_config_file", "absent"], "argument --ssl_config_file: absent is no file"),
        (["--request_log_sampling", "2"], "must be 0 to 1, found 2.0"),
        (["--shadow_share", "-1"], "argument --shadow_share: must be 0 to 1, found -1.0"),
        (["--shadow_label", "canary"], "argument --shadow_label: needs --model_config_file"),
        (["--shadow_version", "0"], "argument --shadow_version: must be positive, found 0"),
        (["--shadow_log", "log"], "means nothing without --shadow_label or --shadow_version"),
    ],
)
def test_a_wrong_flag_is_said_before_anything_heavy_is_loaded(flags: list[str], expected: str) -> None:
    script = (
        "import sys, atexit, serving.server as m; atexit.register(lambda: print(sorted(sys.modules)));"
        "m.main(['--model_base_path', '.', *sys.argv[1:]])"
    )
    ended = subprocess.run([sys.executable, "-c", script, *flags], capture_output=True, text=True, check=False)
    assert ended.returncode == 2 and expected in ended.stderr
    assert "'tensorflow'" not in ended.stdout and "'grpc'" not in ended.stdout and "'aiohttp'" not in ended.stdout


@pytest.mark.parametrize("module", ["serving.server", "serving.client"])
def test_help_does_not_load_tensorflow(module: str) -> None:
    script = (
        f"import sys, atexit, {module} as m; atexit.register(lambda: print(sorted(sys.modules))); m.main(['--help'])"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "usage: python -m serving." in printed
    assert "'tensorflow'" not in printed
