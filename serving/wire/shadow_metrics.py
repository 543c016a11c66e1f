"""What is counted of a shadow: where the candidate agrees with what is served, and what was not compared."""

from __future__ import annotations

import collections

import prometheus_client

from serving.comparison.matching import Difference

_PAIR = ("model_name", "version", "candidate")


class ShadowMetrics:
    """Counts; safe to use from several threads. All counters are of images, but `serving_shadow_detections`."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self._images = prometheus_client.Counter(
            "serving_shadow_images",
            "Images that a candidate was asked too, by whether both found the same objects (same, different).",
            (*_PAIR, "result"),
            registry=registry,
        )
        self._detections = prometheus_client.Counter(
            "serving_shadow_detections",
            "Objects in images that were compared, by who found them (both, served, candidate).",
            (*_PAIR, "class_name", "found_by"),
            registry=registry,
        )
        self._skipped = prometheus_client.Counter(
            "serving_shadow_skipped",
            "Images of the share that were not compared: queue (too many wait), missing (no such version is loaded), "
            "same_version (the candidate itself answered), outputs (not all of a detector's), unreadable.",
            ("model_name", "reason"),
            registry=registry,
        )
        self._errors = prometheus_client.Counter(
            "serving_shadow_errors",
            "Images that a candidate refused or failed at, by the status a caller would have got.",
            ("model_name", "candidate", "status"),
            registry=registry,
        )
        self._seconds = prometheus_client.Histogram(
            "serving_shadow_seconds",
            "Time that a candidate took for an image, alone.",
            ("model_name", "candidate"),
            registry=registry,
        )
        self._log_dropped = prometheus_client.Counter(
            "serving_shadow_log_dropped", "Answers that are not in the shadow's log.", ("reason",), registry=registry
        )

    def compared(self, model_name: str, versions: tuple[int, int], difference: Difference, seconds: float) -> None:
        """Counts an image.

        Args:
          model_name: of both.
          versions: the served one and the candidate.
          difference: the served one's detections first.
          seconds: that the candidate took.
        """
        pair = (model_name, *versions)
        self._images.labels(*pair, "different" if difference.has_unmatched else "same").inc()
        self._seconds.labels(model_name, versions[1]).observe(seconds)
        found = collections.Counter((one.a.class_name, "both") for one in difference.pairs)
        found.update((one.class_name, "served") for one in difference.only_a)
        found.update((one.class_name, "candidate") for one in difference.only_b)
        for (class_name, found_by), count in found.items():
            self._detections.labels(*pair, class_name, found_by).inc(count)

    def skipped(self, model_name: str, reason: str, images: int) -> None:
        """Counts images that were not compared."""
        self._skipped.labels(model_name, reason).inc(images)

    def failed(self, model_name: str, candidate: int, status: str, images: int) -> None:
        """Counts images that the candidate has no answer for."""
        self._errors.labels(model_name, candidate, status).inc(images)

    def log_dropped(self, reason: str) -> None:
        """Counts an answer that is not in the log; a `DropObserver`."""
        self._log_dropped.labels(reason).inc()
