"""TFX artifact types of our own. Vertex AI wants their names to be `namespace.Name`."""

from __future__ import annotations

from tfx.types.artifact import Artifact


class Findings(Artifact):
    """What was wrong in the input of ExampleGen: ``findings.jsonl`` and ``summary.json`` (see components.findings)."""

    TYPE_NAME = "detection.Findings"


class AnnotationReport(Artifact):
    """The annotation check's result: one JSON file (see components.validation)."""

    TYPE_NAME = "detection.AnnotationReport"


class PushedDeviceModels(Artifact):
    """Which device models were pushed, and where to: one JSON file (see components.device_pusher)."""

    TYPE_NAME = "detection.PushedDeviceModels"
