"""What TFDV found against the schema."""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Iterator, Sequence
from typing import Final, Self

import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.report.section import Run, Section, TextPair, UnreadableError, reading
from schema import features

_MOST_NAMED: Final = 6
_FILE: Final = "SchemaDiff.pb"


@dataclasses.dataclass(frozen=True)
class Anomaly:
    """One anomaly."""

    split: str
    feature: str
    found: str


@dataclasses.dataclass(frozen=True)
class Anomalies(Section):
    """Anomalies of all splits."""

    title = "Anomalies"
    template = "anomalies.html"

    anomalies: tuple[Anomaly, ...]

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Reads the artifact ``anomalies`` of ExampleValidator."""
        uri = run.record.uri("anomalies")
        if uri is None:
            return None
        with reading(uri):
            folders = sorted(tf.io.gfile.glob(posixpath.join(uri, "Split-*")))
        if not folders:
            raise UnreadableError(f"{uri}: holds no folder Split-*")
        return cls(tuple(anomaly for folder in folders for anomaly in _anomalies_of_split(folder)))

    def lines(self) -> Sequence[TextPair]:
        """The first few."""
        named = [f"{anomaly.feature} ({anomaly.split}): {anomaly.found}" for anomaly in self.anomalies[:_MOST_NAMED]]
        rest = [f"{len(self.anomalies) - len(named)} more"] if len(self.anomalies) > len(named) else []
        return ((self.title, "; ".join([*named, *rest]) or "none"),)

    def tiles(self) -> Sequence[TextPair]:
        """How many."""
        return (("anomalies", str(len(self.anomalies))),)


def _anomalies_of_split(folder: str) -> Iterator[Anomaly]:
    """Metadata columns that the schema does not know are none: they are meant to be unknown."""
    split, path = posixpath.basename(folder).removeprefix("Split-"), posixpath.join(folder, _FILE)
    anomalies = anomalies_pb2.Anomalies()
    with reading(path), tf.io.gfile.GFile(path, "rb") as file:
        anomalies.ParseFromString(file.read())
    for feature, info in sorted(anomalies.anomaly_info.items()):
        kinds = {reason.type for reason in info.reason}
        is_new_column = kinds == {anomalies_pb2.AnomalyInfo.SCHEMA_NEW_COLUMN}
        if not (is_new_column and feature.strip("'").startswith(features.META_PREFIX)):
            yield Anomaly(split, feature, info.description or info.short_description)
    if anomalies.HasField("dataset_anomaly_info"):
        yield Anomaly(split, "all features", anomalies.dataset_anomaly_info.description)
