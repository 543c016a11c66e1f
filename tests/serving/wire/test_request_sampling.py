"""Which answers go into which log: by the server's flags, and by each model's logging_config."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2, prediction_service_pb2_grpc

from serving.model_server import ModelServer, ServerSettings
from serving.models.models_config import ModelConfig, ModelLogging, ModelsConfigError, read_models_config
from serving.protocol.errors import RequestError
from serving.wire.answering import Answered
from serving.wire.request_sampling import RequestLogSettings, RequestSampling
from tests.serving.tiny_detector import jpeg, predict_request


def _answered(name: str = "detector") -> Answered:
    response = predict_pb2.PredictResponse(model_spec={"name": name})
    return Answered(predict_request(b"image", model_name=name), response, None, 0.1, "GRPC")


def _model(folder: pathlib.Path, name: str, log: str | None, rate: float = 1.0) -> ModelConfig:
    logging = ModelLogging(folder / log, rate) if log else None
    return ModelConfig(name, folder / "models" / name, logging=logging)


def _logged(folder: pathlib.Path, prefix: str) -> list[tuple[str, float]]:
    """Name of the model and rate of each record."""
    files = sorted(map(str, folder.glob(f"{prefix}-2*.tfrecord")))
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record)
        for record in (tf.data.TFRecordDataset(files).as_numpy_iterator() if files else ())
    ]
    return [(log.log_metadata.model_spec.name, log.log_metadata.sampling_config.sampling_rate) for log in logs]


def test_refused_requests_and_those_not_drawn_are_not_logged(tmp_path: pathlib.Path) -> None:
    error = RequestError(grpc.StatusCode.INTERNAL, "")
    for rate, answered in ((0.0, _answered()), (1.0, Answered(predict_request(), None, error, 0.1, "GRPC"))):
        sampling = RequestSampling(RequestLogSettings(tmp_path, rate), pytest.fail)
        sampling.answered(answered)
        sampling.stop(30)
    assert not list(tmp_path.iterdir())


def test_each_model_has_its_own_log_or_the_servers(tmp_path: pathlib.Path) -> None:
    sampling = RequestSampling(RequestLogSettings(tmp_path, 1.0), pytest.fail)
    sampling.follow(
        [
            _model(tmp_path, "a", "logs/signs"),
            _model(tmp_path, "b", "logs/signs", 0.9999999),
            _model(tmp_path, "c", "logs/signs-night"),
            _model(tmp_path, "d", "logs/signs", 0.0),
            _model(tmp_path, "e", None),
        ]
    )
    for name in "abcde":
        sampling.answered(_answered(name))
    sampling.stop(30)
    assert _logged(tmp_path / "logs", "signs") == [("a", 1.0), ("b", 0.9999999)]
    assert _logged(tmp_path / "logs", "signs-night") == [("c", 1.0)]
    assert _logged(tmp_path, "requests") == [("e", 1.0)]


def test_another_list_of_models_is_followed_and_what_nobody_uses_is_completed(tmp_path: pathlib.Path) -> None:
    sampling = RequestSampling(RequestLogSettings(), pytest.fail)
    # Without a log of its own or the server's.
    sampling.answered(_answered())
    for log in ("first", "second", "first"):
        sampling.follow([_model(tmp_path, "detector", log), _model(tmp_path, "other", "other")])
        sampling.answered(_answered())
        sampling.answered(_answered("other"))
    sampling.stop(30)
    assert not list(tmp_path.glob("*.part"))
    assert [len(_logged(tmp_path, log)) for log in ("first", "second", "other")] == [2, 1, 3]
    # One file from beginning to end.
    assert len(list(tmp_path.glob("other-*"))) == 1


def test_a_list_whose_folder_cannot_be_made_changes_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    sampling = RequestSampling(RequestLogSettings(), pytest.fail)
    sampling.follow([_model(tmp_path, "detector", "log")])
    with pytest.raises(ModelsConfigError, match=r"model 'other': logging_config.*/file/log: its folder cannot"):
        sampling.follow([_model(tmp_path, "detector", "elsewhere"), _model(tmp_path, "other", "file/log")])
    sampling.answered(_answered())
    sampling.stop(30)
    assert _logged(tmp_path, "log") == [("detector", 1.0)] and not list(tmp_path.glob("elsewhere*"))


def test_a_server_logs_as_its_file_says(tmp_path: pathlib.Path, push: Callable[[int], pathlib.Path]) -> None:
    push(1)
    file = tmp_path / "models.config"
    file.write_text(
        f"""model_config_list {{ config {{
          name: "detector" base_path: "{tmp_path}/models"
          logging_config {{
            log_collector_config {{ type: "tfrecord" filename_prefix: "{tmp_path}/logs/detector" }}
            sampling_config {{ sampling_rate: 1 }}
          }}
        }} }}"""
    )
    running = ModelServer(read_models_config(file), ServerSettings(port=0, poll_seconds=3600, config_file=file))
    running.start()
    try:
        with grpc.insecure_channel(f"localhost:{running.port}") as channel:
            prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(predict_request(jpeg()))
        # A list that the server cannot log as it says is refused as a whole.
        (tmp_path / "file").touch()
        [model] = running.servables.models()
        broken = ModelConfig(model.name, model.base_path, logging=ModelLogging(tmp_path / "file" / "log", 1.0))
        with pytest.raises(ModelsConfigError, match="its folder cannot be written to"):
            running.servables.reload([broken])
        assert running.servables.models() == [model]
    finally:
        running.stop(grace_seconds=10)
    assert _logged(tmp_path / "logs", "detector") == [("detector", 1.0)]
