"""What the server counts, as a page that Prometheus reads.

What TF Serving counts too has its name (`:tensorflow:serving:...`), labels and unit, so that a dashboard of one shows
the other.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Callable, Iterable
from typing import Final

import prometheus_client
from prometheus_client.metrics_core import GaugeMetricFamily

from schema.exported_model import CLASS_NAMES, SCORES
from serving.wire.answering import Answered

COUNTED_SCORE: Final = 0.5
"""Detections that score at least so much are counted: those below are answers to a caller's own threshold."""
_UNKNOWN_MODEL: Final = "(unknown)"
# servables/tensorflow/util.cc: Exponential(10, 1.8, 33), in microseconds.
_LATENCY_BUCKETS: Final = tuple(10 * 1.8**power for power in range(33))
_BATCH_BUCKETS: Final = tuple(2.0**power for power in range(9))
# prometheus_client ends the name of every counter with _total; TF Serving's do not.
_TOTAL_OF_TF_SERVING: Final = re.compile(r"^((?:# (?:HELP|TYPE) )?:tensorflow:[\w:]+)_total\b", re.MULTILINE)
# When a series began, which prometheus_client says of each, is nothing that TF Serving says.
_CREATED: Final = re.compile(r"^(?:# (?:HELP|TYPE) )?[\w:]+_created\b.*\n", re.MULTILINE)


class Metrics:
    """Counts; safe to use from several threads.

    Attributes:
      registry: what the page shows; for those who count something of their own.
      swaps: a version has begun to answer.
      log_dropped: sampled answers that are not in the request log, by reason.
    """

    def __init__(self, is_served: Callable[[str], bool]) -> None:
        """`is_served`: is there a model of this name? Names that callers make up get no series of their own."""
        self._is_served = is_served
        self.registry = prometheus_client.CollectorRegistry()
        self._requests = self._counter(
            ":tensorflow:serving:request_count", "The total number of requests.", "model_name", "status"
        )
        self._latency = prometheus_client.Histogram(
            ":tensorflow:serving:request_latency",
            "Distribution of wall time (in microseconds) for Tensorflow Serving request.",
            ("model_name", "API", "entrypoint"),
            registry=self.registry,
            buckets=_LATENCY_BUCKETS,
        )
        self._detections = self._counter(
            "serving_detections",
            f"Detections that score at least {COUNTED_SCORE}.",
            "model_name",
            "version",
            "class_name",
        )
        self._batch_images = prometheus_client.Histogram(
            "serving_batch_images", "Images that ran as one batch.", registry=self.registry, buckets=_BATCH_BUCKETS
        )
        self._batch_seconds = prometheus_client.Histogram(
            "serving_batch_seconds", "Time that a batch took.", registry=self.registry
        )
        self.log_dropped = self._counter(
            "serving_request_log_dropped", "Sampled answers that are not in the request log.", "reason"
        )
        self.swaps = self._counter("serving_swaps", "Versions that have begun to answer.")

    def watch_queue(self, waiting_images: Callable[[], int]) -> None:
        """Shows how many images wait for a batch, as they are when the page is read."""
        prometheus_client.Gauge(
            "serving_queue_images", "Images that wait for a batch.", registry=self.registry
        ).set_function(waiting_images)

    def watch_versions(self, versions: Callable[[], Iterable[tuple[str, int]]]) -> None:
        """Shows which versions answer: pairs of a model's name and a number, as they are when the page is read."""
        self.registry.register(_Versions(versions))

    def answered(self, answered: Answered) -> None:
        """Counts a Predict; an `Observer`."""
        name = answered.request.model_spec.name
        model = name if self._is_served(name) else _UNKNOWN_MODEL
        status = answered.error.code.name if answered.error else "OK"
        self._requests.labels(model, status).inc()
        api = "predict" if answered.entrypoint == "REST" else "Predict"
        self._latency.labels(model, api, answered.entrypoint).observe(answered.seconds * 1e6)
        if answered.response is None:
            return
        outputs = answered.response.outputs
        if SCORES in outputs and CLASS_NAMES in outputs:
            version = answered.response.model_spec.version.value
            # [B, N] each, in the fields that `tensors.fill_message` fills.
            found = zip(outputs[SCORES].float_val, outputs[CLASS_NAMES].string_val, strict=False)
            counts = collections.Counter(name for score, name in found if score >= COUNTED_SCORE)
            for class_name, count in counts.items():
                self._detections.labels(model, version, class_name.decode(errors="replace")).inc(count)

    def batch(self, images: int, seconds: float) -> None:
        """Counts a batch; a `BatchObserver`."""
        self._batch_images.observe(images)
        self._batch_seconds.observe(seconds)

    def page(self) -> str:
        """Everything, in Prometheus' text format."""
        text = prometheus_client.generate_latest(self.registry).decode()
        return _TOTAL_OF_TF_SERVING.sub(r"\1", _CREATED.sub("", text))

    def _counter(self, name: str, documentation: str, *labels: str) -> prometheus_client.Counter:
        return prometheus_client.Counter(name, documentation, labels, registry=self.registry)


class _Versions:
    """A collector of prometheus_client's."""

    def __init__(self, versions: Callable[[], Iterable[tuple[str, int]]]) -> None:
        self._versions = versions

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """What is shown."""
        family = GaugeMetricFamily(
            "serving_version_available", "Versions that answer.", labels=("model_name", "version")
        )
        for model_name, version in self._versions():
            family.add_metric((model_name, str(version)), 1)
        yield family
