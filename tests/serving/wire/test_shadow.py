"""A candidate asked beside what is served: what is counted and kept, and that no caller notices it."""

from __future__ import annotations

import logging
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc
import numpy as np
import prometheus_client
import pytest
import tensorflow as tf
from prometheus_client.parser import text_string_to_metric_families
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2, prediction_service_pb2_grpc

from pipeline.served_drift.seen_images import read_log
from schema.exported_model import (
    BOXES,
    CLASS_NAMES,
    CLASSES,
    COUNTS,
    IMAGE_BYTES,
    IMAGE_ERRORS,
    OUTPUTS,
    SCORES,
    SERVING_SIGNATURE,
    TOLERANT_SIGNATURE,
)
from serving.models.models_config import ModelConfig
from serving.models.runnable import Array, Call, never
from serving.models.servables import Servables
from serving.models.version_policy import ALL
from serving.protocol.errors import RequestError
from serving.protocol.limits import Limits
from serving.wire import shadow as shadow_module
from serving.wire.answering import Answered, Answering
from serving.wire.request_log import LogFiles
from serving.wire.shadow import Shadow, ShadowSettings
from serving.wire.shadow_metrics import ShadowMetrics
from tests.serving.tiny_detector import jpeg, predict_request
from tests.serving.wire.door import http, open_door

_Found = Sequence[tuple[str, float, tuple[float, float, float, float]]]
_CORNER, _MIDDLE = (0.0, 0.0, 0.4, 0.4), (0.3, 0.3, 0.7, 0.7)


def _definition() -> meta_graph_pb2.SignatureDef:
    info = meta_graph_pb2.TensorInfo(dtype=tf.string.as_datatype_enum, tensor_shape={"dim": [{"size": -1}]})
    return meta_graph_pb2.SignatureDef(
        inputs={IMAGE_BYTES: info}, outputs=dict.fromkeys((*OUTPUTS, IMAGE_ERRORS), info)
    )


class _Finding:
    """Finds the same in every image that is not empty; waits at `gate`, raises `error`, remembers its calls."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.signature_defs = {SERVING_SIGNATURE: _definition(), TOLERANT_SIGNATURE: _definition()}
        self.found: _Found = [("stop", 0.9, _CORNER)]
        self.error: Exception | None = None
        self.calls: list[Call] = []
        self.gate = threading.Event()
        self.gate.set()

    def run(self, call: Call) -> dict[str, Array]:
        self.calls.append(call)
        self.gate.wait(60)
        if self.error:
            raise self.error
        images = call.inputs[IMAGE_BYTES].tolist()
        names, scores, boxes = zip(*self.found, strict=True) if self.found else ((), (), ())

        def of_each(row: Sequence[Any], dtype: object, tail: tuple[int, ...] = ()) -> Array:
            return np.array([row] * len(images), dtype).reshape(len(images), len(row), *tail)

        outputs = {
            BOXES: of_each(boxes, np.float32, (4,)),
            SCORES: of_each(scores, np.float32),
            CLASSES: of_each([1] * len(names), np.int64),
            CLASS_NAMES: of_each([name.encode() for name in names], object),
            COUNTS: np.array([len(names) * bool(image) for image in images], np.int64),
            IMAGE_ERRORS: np.array([b"" if image else b"unreadable" for image in images], object),
        }
        return {alias: outputs[alias] for alias in call.output_aliases or outputs}

    def close(self) -> None:
        pass


class _Served:
    """Versions 1 and 2, a shadow of the second, and what answers by the first."""

    def __init__(self, folder: pathlib.Path, settings: ShadowSettings, is_busy: Callable[[], bool]) -> None:
        self.versions = {number: _Finding(number) for number in (1, 2)}
        for number in self.versions:
            (folder / "models" / str(number)).mkdir(parents=True)
            (folder / "models" / str(number) / "saved_model.pb").touch()
        self.model = ModelConfig("detector", folder / "models", ALL, {"stable": 1})
        self.servables = Servables([self.model], lambda name, version, path: self.versions[version])
        self.servables.look(trust_files=True)
        self._registry = prometheus_client.CollectorRegistry()
        metrics = ShadowMetrics(self._registry)
        self.shadow = Shadow(settings, self.servables, Limits(), metrics, is_busy)
        self._answering = Answering(self.servables, Limits(), [self.shadow.answered])

    def ask(
        self, *images: bytes, version: int = 1, is_cancelled: Callable[[], bool] = never, **request: Any
    ) -> predict_pb2.PredictResponse:
        message = predict_request(*images)
        message.MergeFrom(predict_pb2.PredictRequest(**request))
        message.model_spec.version.value = version
        return self._answering.predict(message, is_cancelled=is_cancelled)

    def count(self, name: str, **labels: str) -> float:
        """Sum of a metric's samples with these labels."""
        return sum(
            sample.value
            for family in self._registry.collect()
            for sample in family.samples
            if sample.name == f"serving_shadow_{name}" and labels.items() <= sample.labels.items()
        )

    def wait_for(self, count: float, name: str, **labels: str) -> None:
        until = time.monotonic() + 30
        while self.count(name, **labels) < count and time.monotonic() < until:
            time.sleep(0.01)
        assert self.count(name, **labels) == count


Serve = Callable[..., _Served]


@pytest.fixture
def serve(tmp_path: pathlib.Path) -> Iterator[Serve]:
    made: list[_Served] = []

    def build(is_busy: Callable[[], bool] = lambda: False, **settings: Any) -> _Served:
        given = {"version": 2, "share": 1.0, **settings}
        made.append(_Served(tmp_path, ShadowSettings(**given), is_busy))
        return made[-1]

    yield build
    for one in made:
        one.shadow.end()
        for version in one.versions.values():
            version.gate.set()
        assert one.shadow.wait(30)


def _logged(folder: pathlib.Path) -> list[prediction_log_pb2.PredictionLog]:
    files = sorted(map(str, folder.glob("shadow-*.tfrecord")))
    records = tf.data.TFRecordDataset(files).as_numpy_iterator() if files else ()
    return [prediction_log_pb2.PredictionLog.FromString(record) for record in records]


def _shadow_counts(page: str) -> dict[tuple[str, ...], float]:
    """Samples of the shadow's metrics by name and labels, these in the order of their names."""
    return {
        (
            sample.name.removeprefix("serving_shadow_"),
            *(value for _, value in sorted(sample.labels.items())),
        ): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name.startswith("serving_shadow_") and not sample.name.endswith(("_bucket", "_sum"))
    }


def test_a_server_compares_two_exports_and_keeps_what_differs(
    tmp_path: pathlib.Path, push: Callable[[int], pathlib.Path]
) -> None:
    push(1), push(2)
    settings = ShadowSettings(version=2, share=1.0, files=LogFiles(tmp_path / "log", "shadow"))
    bright, dark = jpeg(200), jpeg(10)
    with open_door(tmp_path, shadow=settings) as running:
        with grpc.insecure_channel(f"localhost:{running.port}") as channel:
            request = predict_request(dark, bright, dark)
            request.model_spec.version_label = "stable"
            answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request)
        assert answer.model_spec.version.value == 1
        until = time.monotonic() + 30
        found: dict[tuple[str, ...], float] = {}
        while found.get(("seconds_count", "2", "detector")) != 3 and time.monotonic() < until:
            page = http(running, "/metrics")[1]
            found = _shadow_counts(page)
        running.stop(grace_seconds=30)
    assert found == {
        ("images_total", "2", "detector", "different", "1"): 1,
        ("images_total", "2", "detector", "same", "1"): 2,
        ("detections_total", "2", "stop", "served", "detector", "1"): 1,
        ("detections_total", "2", "yield", "candidate", "detector", "1"): 1,
        ("seconds_count", "2", "detector"): 3,
    }
    # Callers' requests alone.
    assert ':tensorflow:serving:request_count{model_name="detector",status="OK"} 1.0' in page
    served, candidate = _logged(tmp_path / "log")
    for log, version, name in ((served, 1, b"stop"), (candidate, 2, b"yield")):
        assert tf.make_ndarray(log.predict_log.request.inputs[IMAGE_BYTES]).tolist() == [bright]
        assert log.predict_log.response.model_spec.version.value == log.log_metadata.model_spec.version.value == version
        assert tf.make_ndarray(log.predict_log.response.outputs[CLASS_NAMES])[0, 0] == name
        assert set(log.predict_log.response.outputs) == set(OUTPUTS)
    assert served.predict_log.request.model_spec.version_label == "stable"
    assert candidate.predict_log.request.model_spec.version.value == 2
    # Who chooses images to label reads it as any log, and finds each image once.
    for version, name in ((1, "stop"), (2, "yield")):
        [image], _ = read_log(tmp_path / "log", version, most=10)
        assert image.encoded == bright and image.found.class_names == (name,)


def test_objects_are_matched_by_class_and_place_above_a_score(serve: Serve) -> None:
    served = serve()
    served.versions[1].found = [("stop", 0.9, _CORNER), ("yield", 0.8, _MIDDLE), ("stop", 0.2, _MIDDLE)]
    served.versions[2].found = [("stop", 0.6, _CORNER), ("stop", 0.8, _MIDDLE)]
    served.ask(jpeg(), jpeg())
    served.wait_for(2, "images_total", result="different")
    assert served.count("detections_total", class_name="stop", found_by="both") == 2
    assert served.count("detections_total", class_name="stop", found_by="candidate") == 2
    assert served.count("detections_total", class_name="yield", found_by="served") == 2
    assert served.count("detections_total") == 6
    # Nobody's batch: each image alone, at once.
    assert [len(call.inputs[IMAGE_BYTES]) for call in served.versions[2].calls] == [1, 1]
    assert not any(call.joins_batches for call in served.versions[2].calls)


def test_a_label_that_is_not_there_yet_is_waited_for_and_said_once(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    served = serve(version=0, label="canary")
    served.ask(jpeg())
    served.ask(jpeg())
    served.wait_for(2, "skipped_total", reason="missing")
    served.servables.reload([ModelConfig("detector", served.model.base_path, ALL, {"canary": 2})])
    served.ask(jpeg())
    served.wait_for(1, "images_total", result="same")
    said = [record.getMessage() for record in caplog.records if record.name == shadow_module.__name__]
    assert len(said) == 2
    assert "Unrecognized servable version label: canary (known here: stable)" in said[0]
    assert said[1] == "detector: the shadow asks version 2 from now on"
    # Where it is what is served, there is nothing to compare.
    served.ask(jpeg(), jpeg(), version=2)
    served.wait_for(2, "skipped_total", reason="same_version")


def test_a_candidate_that_is_slow_delays_nobody_and_a_full_queue_skips(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow_module, "_QUEUED_BYTES", int(1.5 * predict_request(jpeg()).ByteSize() + 300))
    served = serve()
    served.versions[2].gate.clear()
    for _ in range(3):
        assert served.ask(jpeg()).model_spec.version.value == 1
    # What the candidate has in hand counts as waiting.
    served.wait_for(2, "skipped_total", reason="queue")
    served.versions[2].gate.set()
    served.wait_for(1, "images_total")


def test_a_candidate_that_fails_is_counted_said_once_and_unseen(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    served = serve()
    for error, status in (
        (RequestError(grpc.StatusCode.RESOURCE_EXHAUSTED, "out of memory"), "RESOURCE_EXHAUSTED"),
        (ZeroDivisionError("of nobody's making"), "INTERNAL"),
    ):
        served.versions[2].error = error
        assert len(served.ask(jpeg(), jpeg()).outputs) == 6
        served.wait_for(2, "errors_total", candidate="2", status=status)
    # It has no such signature: the whole request fails.
    del served.versions[2].signature_defs[TOLERANT_SIGNATURE]
    served.ask(jpeg(), jpeg(), model_spec={"signature_name": TOLERANT_SIGNATURE})
    served.wait_for(2, "errors_total", candidate="2", status="FAILED_PRECONDITION")
    said = [record for record in caplog.records if "the shadow's version 2 has no answer" in record.getMessage()]
    assert len(said) == 3
    served.versions[2].error = None
    served.ask(jpeg())
    served.wait_for(1, "images_total", result="same")


def test_what_nobody_got_is_not_shadowed(serve: Serve) -> None:
    served = serve()
    served.ask(jpeg(), is_cancelled=lambda: True)
    served.versions[1].error = RequestError(grpc.StatusCode.INTERNAL, "broken")
    with pytest.raises(RequestError):
        served.ask(jpeg())
    served.versions[1].error = None
    served.ask(jpeg())
    served.wait_for(1, "images_total")
    assert len(served.versions[2].calls) == 1 and served.count("skipped_total") == 0


def test_what_cannot_be_compared_is_counted_by_reason(serve: Serve) -> None:
    served = serve()
    served.ask(jpeg(), jpeg(), output_filter=[COUNTS])
    served.wait_for(2, "skipped_total", reason="outputs")
    served.ask(jpeg(), b"damaged", jpeg(), model_spec={"signature_name": TOLERANT_SIGNATURE})
    served.wait_for(1, "skipped_total", reason="unreadable")
    served.wait_for(2, "images_total", result="same")


def test_of_a_share_of_none_none_is_taken(serve: Serve) -> None:
    served = serve(share=0.0)
    served.ask(jpeg())
    served.shadow.end()
    assert served.shadow.wait(30)
    assert not served.versions[2].calls and served.count("skipped_total") == 0


def test_the_candidate_is_asked_when_nobody_waits(serve: Serve) -> None:
    looks = iter([True, True, True])
    served = serve(is_busy=lambda: next(looks, False))
    served.ask(jpeg())
    served.wait_for(1, "images_total")
    assert next(looks, None) is None


def test_it_ends_in_the_middle_of_a_request(serve: Serve) -> None:
    served = serve()
    candidate = served.versions[2]
    candidate.gate.clear()
    served.ask(jpeg(), jpeg(), jpeg())
    served.ask(jpeg())
    until = time.monotonic() + 30
    while not candidate.calls and time.monotonic() < until:
        time.sleep(0.01)
    served.shadow.end()
    assert not served.shadow.wait(0)
    candidate.gate.set()
    assert served.shadow.wait(30)
    assert len(candidate.calls) == 1 and served.count("images_total") == 1


def test_answers_of_other_models_are_theirs(serve: Serve) -> None:
    """A model that is gone by the time it is looked at has nobody to ask."""
    served = serve()
    response = served.versions[1].run(Call(SERVING_SIGNATURE, {IMAGE_BYTES: np.array([b"a"], object)}))
    message = predict_pb2.PredictResponse(model_spec={"name": "gone", "version": {"value": 1}})
    for alias, array in response.items():
        message.outputs[alias].CopyFrom(tf.make_tensor_proto(array))
    served.shadow.answered(Answered(predict_request(jpeg(), model_name="gone"), message, None, 0.1, "GRPC"))
    served.wait_for(1, "skipped_total", model_name="gone", reason="missing")
